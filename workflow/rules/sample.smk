rule sample:
    input:
        drift=drift_of,
        train=network_of,
        code=code("sample"),
    output:
        samples="<results>/sample/{experiment}/{method}/{part}.safetensors",
        record="<results>/sample/{experiment}/{method}/{part}.json",
    log:
        "<logs>/sample/{experiment}/{method}/{part}.log",
    benchmark:
        "<benchmarks>/sample/{experiment}/{method}/{part}.tsv"
    conda:
        "../../envs/ndsm.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=GPU,
    params:
        train=option("train"),
        spec=spec("sample"),
    shell:
        "python -m ndsm.sample --drift {input.drift} {params.train} --out {output.samples}"
        " --spec {params.spec:q} > {log} 2>&1"
