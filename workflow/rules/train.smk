rule train:
    input:
        data=points_of,
        drift=drift_of,
        known=known_of,
        code=code("train"),
    output:
        weights="<results>/train/{experiment}/{method}/{part}.safetensors",
        record="<results>/train/{experiment}/{method}/{part}.json",
    log:
        "<logs>/train/{experiment}/{method}/{part}.log",
    benchmark:
        "<benchmarks>/train/{experiment}/{method}/{part}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(480),
        gpu=GPU,
    params:
        data=option("data"),
        known=option("known"),
        spec=spec("train"),
    shell:
        "python -m ndsm.stages.train {params.data} --drift {input.drift} {params.known}"
        " --out {output.weights} --spec {params.spec:q} > {log} 2>&1"
