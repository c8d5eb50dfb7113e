rule evaluate:
    input:
        data=images_of,
        samples=samples_of,
        classifier=classifier_of,
        autoencoder=codes_of,
        code=code("evaluate"),
    output:
        metrics="<results>/evaluate/{experiment}/{method}/{part}.csv",
        record="<results>/evaluate/{experiment}/{method}/{part}.json",
    log:
        "<logs>/evaluate/{experiment}/{method}/{part}.log",
    benchmark:
        "<benchmarks>/evaluate/{experiment}/{method}/{part}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        samples=option("samples"),
        classifier=option("classifier"),
        autoencoder=option("autoencoder"),
        spec=spec("evaluate"),
    shell:
        "python -m ndsm.stages.evaluate --data {input.data} {params.samples} {params.classifier}"
        " {params.autoencoder} --out {output.metrics} --spec {params.spec:q} > {log} 2>&1"
