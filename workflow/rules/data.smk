rule data:
    input:
        source=source_of,
        table=table_files_of,
        code=code("data"),
    output:
        data="<results>/data/{experiment}.safetensors",
        record="<results>/data/{experiment}.json",
    log:
        "<logs>/data/{experiment}.log",
    benchmark:
        "<benchmarks>/data/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        source=option("source"),
        spec=spec("data"),
    shell:
        "python -m ndsm.stages.data {params.source} --out {output.data}"
        " --spec {params.spec:q} > {log} 2>&1"
