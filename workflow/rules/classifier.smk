rule classifier:
    input:
        data=rules.data.output.data,
        code=code("classifier"),
    output:
        weights="<results>/classifier/{experiment}.safetensors",
        record="<results>/classifier/{experiment}.json",
    log:
        "<logs>/classifier/{experiment}.log",
    benchmark:
        "<benchmarks>/classifier/{experiment}.tsv"
    conda:
        "../../envs/ndsm.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec("classifier"),
    shell:
        "python -m ndsm.classifier --data {input.data} --out {output.weights}"
        " --spec {params.spec:q} > {log} 2>&1"
