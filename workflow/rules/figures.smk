rule figures:
    input:
        metrics=rules.aggregate.output.metrics,
        tables=rules.aggregate.output,
        claims=rules.claims.output.claims,
        captions=captions(),
        code=code("figures"),
    output:
        screen=shown(),
        print=printed(),
        moving=moving(),
        pages=figure_pages(),
        tables=table_pages(),
        claims=report(
            "<shown>/pages/claims.html",
            caption=caption("claims"),
            category="Claims",
            labels={"shows": "every comparison"},
        ),
        front_page="<shown>/report.rst",
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
        captions=lambda wildcards, input: os.path.dirname(input.captions[0]),
        figures=folder_of("screen"),
        spec=spec("figures"),
    shell:
        "python -m ndsm.stages.figures --tables {params.tables} --captions {params.captions}"
        " --out {params.figures} --spec {params.spec:q} > {log} 2>&1"
