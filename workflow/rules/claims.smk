rule claims:
    input:
        metrics=rules.aggregate.output.metrics,
        code=code("claims"),
    output:
        claims=report(
            "<shown>/claims.csv",
            caption=caption("claims"),
            category="Claims",
            labels={"shows": "verdicts (CSV)"},
        ),
        record="<shown>/claims.json",
        text="<shown>/claims.md",
    log:
        "<shown>/logs/claims.log",
    benchmark:
        "<shown>/benchmarks/claims.tsv"
    localrule: True  # cheap
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        tables=subpath(input.metrics, parent=True),
        spec=spec("claims", options=options()),
    shell:
        "python -m ndsm.stages.claims --tables {params.tables} --out {output.claims}"
        " --spec {params.spec:q} > {log} 2>&1"
