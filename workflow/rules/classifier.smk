rule classifier:
    input:
        source=source_of,
        code=code("classifier"),
    output:
        weights="<results>/classifier/{images}.safetensors",
        record="<results>/classifier/{images}.json",
    log:
        "<logs>/classifier/{images}.log",
    benchmark:
        "<benchmarks>/classifier/{images}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        source=option("source"),
        spec=spec("classifier"),
    shell:
        "python -m ndsm.stages.classifier {params.source} --out {output.weights}"
        " --spec {params.spec:q} > {log} 2>&1"
