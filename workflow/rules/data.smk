rule data:
    input:
        code=code("data"),
    output:
        data="<results>/data/{experiment}.safetensors",
        record="<results>/data/{experiment}.json",
    log:
        "<logs>/data/{experiment}.log",
    benchmark:
        "<benchmarks>/data/{experiment}.tsv"
    conda:
        "../../envs/ndsm.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec("data"),
    shell:
        "python -m ndsm.data --out {output.data} --spec {params.spec:q} > {log} 2>&1"
