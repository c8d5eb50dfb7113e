rule aggregate:
    input:
        data=every("data", "{experiment}.safetensors"),
        drifts=every("drift", "{experiment}/{drift}/{part}.json"),
        networks=every("train", "{experiment}/{method}/{part}.json"),
        samples=every("sample", "{experiment}/{method}/{part}.safetensors"),
        metrics=every("evaluate", "{experiment}/{method}/{part}.csv"),
        classifiers=every("classifier", "{images}.json"),
        scores=every("score", "{experiment}/{method}/{part}.csv"),
        gradients=every("gradients", "{experiment}.csv"),
        gradient_metrics=every("gradients", "{experiment}.metrics.csv"),
        forward=every("forward", "{experiment}.csv"),
        latent=every("latent", "{experiment}/{codes}.json"),
        code=code("aggregate"),
    output:
        metrics=report(
            "<results>/tables/metrics.csv",
            caption=caption("metrics"),
            category="Tables",
            labels={"shows": "every metric value"},
        ),
        summary=report(
            "<results>/tables/summary.csv",
            caption=caption("summary"),
            category="Tables",
            labels={"shows": "mean and deviation over seeds"},
        ),
        typeset=multiext("<results>/tables/summary", ".md", ".tex"),
        cost=report(
            "<results>/tables/cost.csv",
            caption=caption("cost"),
            category="Tables",
            labels={"shows": "what each method costs"},
        ),
        samples=drawn("samples", plan.bases(STUDY)),
        codes=drawn("codes", [e for e in plan.bases(STUDY) if plan.is_latent(STUDY, e)]),
        frontier=frontier_tables(),
        gradients=table_of("gradients"),
        forward=table_of("forward"),
    log:
        "<logs>/aggregate.log",
    benchmark:
        "<benchmarks>/aggregate.tsv"
    localrule: True  # cheap
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        results=subpath(output.metrics, ancestor=2),
        tables=subpath(output.metrics, parent=True),
        spec=spec("aggregate"),
    shell:
        "python -m ndsm.aggregate --results {params.results} --out {params.tables}"
        " --spec {params.spec:q} > {log} 2>&1"
