# What the rules share: the study's settings, where its files lie, look-ups in the plan of its jobs.
import shlex

from snakemake.settings.types import DeploymentMethod

STUDY = settings.resolve(config)
GPU = int(STUDY["device"] == "cuda")  # graphics cards that a training job asks for

# What was chosen for a table of the user's own, once.
OWN = "data" in STUDY
if OWN and workflow.is_main_process:
    print(*own_study.choices(STUDY), sep="\n", file=sys.stderr)


# Where tables, claims and figures go: those of one claim alone leave the whole study's as they are.
SHOWN = "_".join([f"results/{STUDY['study']}", *([STUDY["claim"]] if "claim" in STUDY else [])])


pathvars:
    results=f"results/{STUDY['study']}",
    shown=SHOWN,
    logs=f"results/{STUDY['study']}/logs",
    benchmarks=f"results/{STUDY['study']}/benchmarks",


wildcard_constraints:
    experiment="[^/]+",
    method="[^/]+",
    drift="[^/]+",
    images="[^/]+",
    codes="[^/]+",
    part=r"\d+",


def verbatim(text):
    """The text for Snakemake to format: braces, as in the name of a folder, are its own."""
    return text.replace("{", "{{").replace("}", "}}")


def preamble():
    """What the shell of every job runs first.

    The python of the jobs is the one that runs Snakemake, on PATH or not, but with conda that of
    its environment.
    """
    in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    python = "" if in_conda else f'python() {{ {shlex.quote(sys.executable)} "$@"; }}; '
    script = shlex.quote(os.path.join(WORKFLOW, "job.sh"))
    return f"set -euo pipefail; {python}source {script}; "


ENVIRONMENT = verbatim(os.path.join(os.path.dirname(WORKFLOW), "envs", "ndsm.yaml"))
shell.prefix(verbatim(preamble()))
# By this the commands of a profile find its scripts from any folder.
os.environ.update(NDSM_WORKFLOW=WORKFLOW)


def growing(amount):
    """What the first attempt asks for; the second asks for twice as much, and so on."""
    return lambda wildcards, attempt: amount * attempt


def code(stage):
    """The modules that a stage runs: inputs, so that editing one reruns what depends on it.

    Local, so that the prefix of a module of Snakemake's is not put before them.
    """
    folder = os.path.relpath(os.path.join(WORKFLOW, "ndsm"))
    if {"{", "}"} & set(folder):
        taken = "has braces, which Snakemake takes for wildcards in the name of an input"
        remedy = "run Snakemake in the folder of the Snakefile, or rename what has them"
        raise settings.ConfigError(f"workflow: {folder} {taken}; {remedy}")
    return [local(f"{folder}/{path}") for path in code_dependencies.modules(stage)]


def spec(stage, **more):
    """The part of the settings that a job of a stage needs, as JSON."""
    return lambda wildcards: job_settings.text(STUDY, stage, **more, **dict(wildcards.items()))


def options():
    """The options of the command line that say which study this is.

    Without the folder of MNIST, which is not of the study but of the machine.
    """
    snakefile = os.path.relpath(workflow.main_snakefile)
    files = [os.path.relpath(file) for file in workflow.overwrite_configfiles]
    told = [text for text in workflow.config_settings.config_args if text != "study=default"]
    told = [text for text in told if not text.startswith("mnist_dir=")]
    given = {"--snakefile": [snakefile] if snakefile != "Snakefile" else []}
    given |= {"--configfile": files, "--config": told}
    return shlex.join(text for key, texts in given.items() if texts for text in (key, *texts))


BOTH = (".safetensors", ".json")  # a result and its record


def every(stage, pattern, *endings):
    """The files that each job of a stage leaves; listed only if asked for, not by jobs on a cluster."""
    return lambda wildcards: [
        f"<results>/{stage}/{pattern.format(**job)}{ending}"
        for job in plan.jobs(STUDY, stage)
        for ending in endings or [""]
    ]


def option(name):
    """The option for an input that not every job of the rule has, once for each of its files."""
    return lambda wildcards, input: " ".join(
        f"--{name} {path}" for path in _as_list(input.get(name, []))
    )


def mnist_option(wildcards):
    """The option for the user's folder of MNIST, if there is one; braces in its name are its own."""
    return f"--folder {shlex.quote(STUDY['mnist_dir'])}" if "mnist_dir" in STUDY else ""


def _as_list(paths):
    return [paths] if isinstance(paths, str) else paths


def folder_of(name):
    """The folder of an output that is a list of files."""
    return lambda wildcards, output: os.path.dirname(output[name][0])


def result(stage, wildcards, **more):
    """What a stage wrote that serves a job: its own experiment's, or that of the one it varies."""
    job = dict(wildcards.items()) | more
    if "part" in job:
        job["part"] = int(job["part"])
    return f"<results>/{plan.place(STUDY, stage, job)}.safetensors"


def images_of(wildcards):
    """The data of an experiment, in the space of images or vectors."""
    return result("data", wildcards)


def points_of(wildcards):
    """The data that are noised: those of an experiment, or their codes, one file or one each."""
    return autoencoder_of(wildcards) or images_of(wildcards)


def autoencoder_of(wildcards):
    """The autoencoders of a part, if it is in latent space: one, or one for each replica."""
    names = plan.autoencoders(STUDY, wildcards.experiment, int(wildcards.part))
    return [result("latent", wildcards, codes=name) for name in names]


def drift_of(wildcards):
    """The fitted drift of a method's part, if it has any."""
    if wildcards.method == plan.CEILING:
        return []
    return result("drift", wildcards, drift=STUDY["methods"][wildcards.method]["drift"])


def known_of(wildcards):
    """The drift whose diffused mixture a method's part knows, if any."""
    name = STUDY["methods"].get(wildcards.method, {}).get("known")
    return result("drift", wildcards, drift=name) if name else []


def unseen_of(wildcards):
    """The held-out data of which a method's part gives the density, if asked; else in the codes."""
    asked = methods.has_likelihood(STUDY, wildcards.experiment)
    return images_of(wildcards) if asked and not autoencoder_of(wildcards) else []


def codes_of(wildcards):
    """The autoencoders of a method's part; the floor is in the space of images."""
    return [] if wildcards.method == plan.FLOOR else autoencoder_of(wildcards)


def network_of(wildcards):
    """The trained networks of a method's part, if it has any."""
    return result("train", wildcards) if methods.is_trained(STUDY, wildcards.method) else []


def samples_of(wildcards):
    """The samples of a method's part; the floor has none."""
    return [] if wildcards.method == plan.FLOOR else result("sample", wildcards)


def classifier_of(wildcards):
    """The classifier behind the image metrics, if the experiment has images."""
    if not settings.is_image(STUDY["experiments"][wildcards.experiment]):
        return []
    return f"<results>/classifier/{plan.images_of(STUDY, wildcards.experiment)}.safetensors"


def source_of(wildcards):
    """What the stage wrote that fetches the data, if any; what it fetches is always the same."""
    experiment = wildcards.get("experiment") or plan.example_of(STUDY, wildcards.images)
    source = plan.source_of(STUDY, experiment)
    return ancient(f"<results>/{source}/{source}.safetensors") if source else []


def table_files_of(wildcards):
    """The user's own file, or each image of their folder, if the experiment's data are a table."""
    dataset = STUDY["experiments"][wildcards.experiment]["dataset"]
    return [local(path) for path in own_study.files_of(dataset)]


def verdict(pages):
    """The page of answers, of a study of the user's own table."""
    return pages if OWN else []


def own_pictures():
    """What the page of answers shows."""
    images = OWN and own_study.table_of(STUDY).images
    return [f"<shown>/figures/{name}.png" for name in ("pairs", *(["images"] if images else []))]


def forward_drift(which):
    """The part of a drift that holds the replica which the forward process is shown with."""
    return lambda wildcards: "<results>/drift/{}/{}/{}.safetensors".format(
        wildcards.experiment, plan.forward_drifts(STUDY)[which], plan.forward_part(STUDY)
    )


def forward_networks(wildcards):
    """The trained networks of the part with that replica which lead back, if there are any."""
    part, methods = plan.forward_part(STUDY), plan.forward_methods(STUDY).values()
    return [result("train", wildcards, method=method, part=part) for method in methods]


def table_of(stage):
    """The table of a side study, if the study has it."""
    return [f"<shown>/tables/{stage}.csv" for _ in plan.jobs(STUDY, stage)]


def drawn(kind, experiments):
    """The tables of points that the figures show, one for each of the experiments."""
    return [f"<shown>/tables/{kind}/{experiment}.csv" for experiment in experiments]


def frontier_tables():
    """Quality against cost, where an experiment has several budgets."""
    names = ("frontier", "time_to_quality")
    return [f"<shown>/tables/{name}.csv" for name in names if plan.frontiers(STUDY)]


def caption(name):
    """The caption of a figure or table in the report."""
    return os.path.join(WORKFLOW, "report", f"{name}.rst")


def captions():
    """The captions of the figures and of the tables that are pages."""
    names = [figure.caption for figure in figure_list.figures(STUDY)]
    files = [caption(name) for name in dict.fromkeys([*names, *figure_list.PAGES])]
    return [local(os.path.relpath(file)) for file in files]


def shown():
    """The figures for the screen."""
    return [f"<shown>/figures/{figure.name}.png" for figure in figure_list.figures(STUDY)]


def printed():
    """The figures for print."""
    return [f"<shown>/figures/{figure.name}.pdf" for figure in figure_list.figures(STUDY)]


def moving():
    """Those that move."""
    return [f"<shown>/figures/{f.name}.gif" for f in figure_list.figures(STUDY) if f.moves]


def page_of(folder, name, category, labels, **more):
    """A page as the report shows it."""
    return report(f"<shown>/{folder}/{name}.html", category=category, labels=labels, **more)


def figure_pages():
    """The figures with their captions."""
    figures = figure_list.figures(STUDY)
    return [page_of("figures", figure.name, "Figures", figure.labels) for figure in figures]


def table_pages():
    """The tables that are pages."""
    pages = figure_list.PAGES.items()
    return [page_of("pages", name, "Tables", {"shows": title}) for name, title in pages]
