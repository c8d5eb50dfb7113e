rule latent:
    input:
        data=images_of,
        code=code("latent"),
    output:
        autoencoder="<results>/latent/{experiment}/{codes}.safetensors",
        record="<results>/latent/{experiment}/{codes}.json",
    log:
        "<logs>/latent/{experiment}/{codes}.log",
    benchmark:
        "<benchmarks>/latent/{experiment}/{codes}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPU,
    params:
        spec=spec("latent"),
    shell:
        "python -m ndsm.stages.latent --data {input.data} --out {output.autoencoder}"
        " --spec {params.spec:q} > {log} 2>&1"
