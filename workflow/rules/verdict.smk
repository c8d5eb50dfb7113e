# Of a study of the user's own table alone: what it says to somebody who has not read the paper.
rule verdict:
    input:
        claims=rules.claims.output.claims,
        tables=rules.aggregate.output,
        data=every("data", "{experiment}.safetensors"),
        drifts=every("drift", "{experiment}/{drift}/{part}", ".json"),
        samples=every("sample", "{experiment}/{method}/{part}", *BOTH),
        code=code("verdict"),
    output:
        text="<shown>/verdict.md",
        page=report(
            "<shown>/pages/verdict.html", category="Verdict", labels={"shows": "the answers"}
        ),
        pictures=own_pictures(),
    log:
        "<shown>/logs/verdict.log",
    benchmark:
        "<shown>/benchmarks/verdict.tsv"
    localrule: True  # cheap
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        results=lambda wildcards, input: os.path.dirname(os.path.dirname(input.data[0])),
        tables=subpath(input.claims, parent=True),
        spec=spec("verdict"),
    shell:
        "python -m ndsm.stages.verdict --results {params.results} --shown {params.tables}"
        " --out {output.text} --spec {params.spec:q} > {log} 2>&1"
