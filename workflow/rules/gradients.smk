rule gradients:
    input:
        data=rules.data.output.data,
        code=code("gradients"),
    output:
        curves="<results>/gradients/{experiment}.csv",
        record="<results>/gradients/{experiment}.json",
        metrics="<results>/gradients/{experiment}.metrics.csv",
    log:
        "<logs>/gradients/{experiment}.log",
    benchmark:
        "<benchmarks>/gradients/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=spec("gradients"),
    shell:
        "python -m ndsm.stages.gradients --data {input.data} --out {output.curves}"
        " --spec {params.spec:q} > {log} 2>&1"
