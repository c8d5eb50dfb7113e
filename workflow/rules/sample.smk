rule sample:
    input:
        drift=drift_of,
        known=known_of,
        data=unseen_of,
        train=network_of,
        autoencoder=autoencoder_of,
        code=code("sample"),
    output:
        samples="<results>/sample/{experiment}/{method}/{part}.safetensors",
        record="<results>/sample/{experiment}/{method}/{part}.json",
    log:
        "<logs>/sample/{experiment}/{method}/{part}.log",
    benchmark:
        "<benchmarks>/sample/{experiment}/{method}/{part}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPU,
    params:
        drift=option("drift"),
        known=option("known"),
        data=option("data"),
        train=option("train"),
        autoencoder=option("autoencoder"),
        spec=spec("sample"),
    shell:
        "python -m ndsm.stages.sample {params.drift} {params.known} {params.train} {params.data}"
        " {params.autoencoder} --out {output.samples} --spec {params.spec:q} > {log} 2>&1"
