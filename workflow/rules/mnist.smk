rule mnist:
    input:
        code=code("mnist"),
    output:
        images="<results>/mnist/mnist.safetensors",
        record="<results>/mnist/mnist.json",
    log:
        "<logs>/mnist.log",
    benchmark:
        "<benchmarks>/mnist.tsv"
    localrule: True  # it needs the network, which a cluster's nodes may not have
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        folder=mnist_option,
    shell:
        "python -m ndsm.stages.mnist {params.folder} --out {output.images} > {log} 2>&1"
