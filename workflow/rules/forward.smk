rule forward:
    input:
        data=rules.data.output.data,
        drift=forward_drift("fitted"),
        linear=forward_drift("linear"),
        network=forward_networks,
        code=code("forward"),
    output:
        points="<results>/forward/{experiment}.csv",
        record="<results>/forward/{experiment}.json",
    log:
        "<logs>/forward/{experiment}.log",
    benchmark:
        "<benchmarks>/forward/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        network=option("network"),
        spec=spec("forward"),
    shell:
        "python -m ndsm.stages.forward --data {input.data} --drift {input.drift}"
        " --drift-ou {input.linear} {params.network} --out {output.points} --spec {params.spec:q} > {log} 2>&1"
