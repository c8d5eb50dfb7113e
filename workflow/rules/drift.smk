rule drift:
    input:
        data=points_of,
        code=code("drift"),
    output:
        drift="<results>/drift/{experiment}/{drift}/{part}.safetensors",
        record="<results>/drift/{experiment}/{drift}/{part}.json",
    log:
        "<logs>/drift/{experiment}/{drift}/{part}.log",
    benchmark:
        "<benchmarks>/drift/{experiment}/{drift}/{part}.tsv"
    priority: 1  # its longest fits must not be left for last
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        data=option("data"),
        spec=spec("drift"),
    shell:
        "python -m ndsm.stages.drift {params.data} --out {output.drift}"
        " --spec {params.spec:q} > {log} 2>&1"
