rule figures:
    input:
        metrics=rules.aggregate.output.metrics,
        tables=rules.aggregate.output,
        code=code("figures"),
    output:
        screen=shown(),
        print=printed(),
    log:
        "<shown>/logs/figures.log",
    benchmark:
        "<shown>/benchmarks/figures.tsv"
    localrule: True  # cheap
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        tables=subpath(input.metrics, parent=True),
        figures=folder_of("screen"),
        spec=spec("figures"),
    shell:
        "python -m ndsm.stages.figures --tables {params.tables}"
        " --out {params.figures} --spec {params.spec:q} > {log} 2>&1"
