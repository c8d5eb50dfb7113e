rule score:
    input:
        data=images_of,
        drift=drift_of,
        known=known_of,
        train=network_of,
        code=code("score"),
    output:
        metrics="<results>/score/{experiment}/{method}/{part}.csv",
        record="<results>/score/{experiment}/{method}/{part}.json",
    log:
        "<logs>/score/{experiment}/{method}/{part}.log",
    benchmark:
        "<benchmarks>/score/{experiment}/{method}/{part}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPU,
    params:
        known=option("known"),
        spec=spec("score"),
    shell:
        "python -m ndsm.stages.score --data {input.data} --drift {input.drift} {params.known}"
        " --train {input.train} --out {output.metrics} --spec {params.spec:q} > {log} 2>&1"
