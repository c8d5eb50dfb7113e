# Of some of these it reads the record alone, which says what they cost. The results are inputs all the
# same: one that was removed, as a message asks, is made again.
rule aggregate:
    input:
        data=every("data", "{experiment}.safetensors"),
        drifts=every("drift", "{experiment}/{drift}/{part}", *BOTH),
        networks=every("train", "{experiment}/{method}/{part}", *BOTH),
        samples=every("sample", "{experiment}/{method}/{part}", *BOTH),
        metrics=every("evaluate", "{experiment}/{method}/{part}.csv"),
        classifiers=every("classifier", "{images}", *BOTH),
        scores=every("score", "{experiment}/{method}/{part}.csv"),
        gradients=every("gradients", "{experiment}.csv"),
        gradient_metrics=every("gradients", "{experiment}.metrics.csv"),
        forward=every("forward", "{experiment}.csv"),
        latent=every("latent", "{experiment}/{codes}", *BOTH),
        code=code("aggregate"),
    output:
        metrics=report(
            "<shown>/tables/metrics.csv",
            caption=caption("metrics"),
            category="Tables",
            labels={"shows": "every metric value (CSV)"},
        ),
        summary=report(
            "<shown>/tables/summary.csv",
            caption=caption("summary"),
            category="Tables",
            labels={"shows": "mean and deviation over seeds (CSV)"},
        ),
        typeset=multiext("<shown>/tables/summary", ".md", ".tex"),
        cost=report(
            "<shown>/tables/cost.csv",
            caption=caption("cost"),
            category="Tables",
            labels={"shows": "what each method costs (CSV)"},
        ),
        samples=drawn("samples", plan.bases(STUDY)),
        codes=drawn("codes", [e for e in plan.bases(STUDY) if plan.is_latent(STUDY, e)]),
        frontier=frontier_tables(),
        gradients=table_of("gradients"),
        forward=table_of("forward"),
    log:
        "<shown>/logs/aggregate.log",
    benchmark:
        "<shown>/benchmarks/aggregate.tsv"
    localrule: True  # cheap
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        results=lambda wildcards, input: os.path.dirname(os.path.dirname(input.data[0])),
        tables=subpath(output.metrics, parent=True),
        spec=spec("aggregate"),
    shell:
        "python -m ndsm.stages.aggregate --results {params.results} --out {params.tables}"
        " --spec {params.spec:q} > {log} 2>&1"
