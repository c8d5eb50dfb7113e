"""The jobs of a study: which there are, and where the results of each lie.

A job trains, samples or evaluates one *part*: at most ``replicas_per_job`` replicas [n_train, seed]
of one (experiment, method). A variant of an experiment shares what it does not change (``home``).
Used by the Snakefile alone; ``study`` is what ``config.resolve`` made.
"""

from typing import Any

from ndsm.config import is_image
from ndsm.datasets import DATASETS
from ndsm.names import CEILING, FLOOR

Study = dict[str, Any]


def parts(study: Study, experiment: str) -> list[list[list[int]]]:
    """The experiment's replicas [n_train, seed], cut into parts."""
    settings = study["experiments"][experiment]
    seeds, at_most = (settings.get(k, study[k]) for k in ("seeds", "replicas_per_job"))
    replicas = [[n, seed] for n in settings["n_train"] for seed in range(seeds)]
    return [replicas[i : i + at_most] for i in range(0, len(replicas), at_most)]


def forward_part(study: Study) -> int:
    """The number of the part that holds the replica shown by the forward process, seed 0."""
    shown = [study["forward"]["n_train"], 0]
    return [shown in part for part in parts(study, study["forward"]["experiment"])].index(True)


def drifts(study: Study, experiment: str) -> list[str]:
    """Names of the drifts that the experiment needs."""
    methods = study["experiments"][experiment]["methods"]
    names = [study["methods"][method]["drift"] for method in methods]
    if study.get("forward", {}).get("experiment") == experiment:
        names += forward_drifts(study).values()
    return list(dict.fromkeys(names))


def forward_drifts(study: Study) -> dict[str, str]:
    """Names of the two drifts beside each other in the forward process: fitted, and linear (OU)."""
    shown = study["forward"]
    fits = study["experiments"][shown["experiment"]]["drifts"]
    linear = next(name for name, drift in fits.items() if drift["fit"] == "ou")
    return {"fitted": shown["drift"], "linear": linear}


def images_of(study: Study, experiment: str) -> str:
    """What an experiment's classifier is called: its dataset and, if given, the images' side."""
    dataset = study["experiments"][experiment]["dataset"]
    return f"{dataset['name']}{dataset.get('side', '')}"


def source_of(study: Study, experiment: str) -> str | None:
    """The stage that fetches the data of an experiment, if any."""
    return DATASETS[study["experiments"][experiment]["dataset"]["name"]].source


def example_of(study: Study, images: str) -> str:
    """An experiment with the images of a classifier."""
    names = [e for e, settings in study["experiments"].items() if is_image(settings)]
    return next(e for e in names if images_of(study, e) == images)


def is_trained(study: Study, method: str) -> bool:
    """Whether the method has a network."""
    return study["methods"].get(method, {"objective": "none"})["objective"] != "none"


def is_latent(study: Study, experiment: str) -> bool:
    """Whether the experiment noises and learns in the latent space of an autoencoder."""
    return study["experiments"][experiment].get("space") == "latent"


def autoencoders(study: Study, experiment: str, part: int | None = None) -> list[str]:
    """Names of an experiment's autoencoders, or of those of a part; ``all`` is shared by all."""
    settings = study["experiments"][experiment]
    if not is_latent(study, experiment):
        return []
    if settings["autoencoder"]["sees"] == "all":
        return ["all"]
    shown = parts(study, experiment) if part is None else [parts(study, experiment)[part]]
    return [f"{n}-{seed}" for replicas in shown for n, seed in replicas]


def bases(study: Study) -> list[str]:
    """The experiments that are no variants."""
    return [e for e, settings in study["experiments"].items() if "variant_of" not in settings]


def variants(study: Study, experiment: str) -> list[str]:
    """The experiment and its variants."""
    names = study["experiments"]
    return [experiment, *(e for e in names if names[e].get("variant_of") == experiment)]


def along(study: Study, experiment: str, section: str, key: str) -> list[str]:
    """The experiment and those variants that differ from it in one setting alone, in its order.

    They may have fewer methods or training sizes.
    """
    names, apart = study["experiments"], ("variant_of", "n_train", "methods")

    def rest(name: str) -> dict[str, Any]:
        settings = {k: v for k, v in names[name].items() if k not in apart}
        return settings | {section: {k: v for k, v in settings[section].items() if k != key}}

    found = [e for e in variants(study, experiment) if rest(e) == rest(experiment)]
    return sorted(found, key=lambda e: names[e][section][key])


def frontiers(study: Study) -> list[str]:
    """The experiments whose quality is put against what it costs: those with thresholds."""
    return [e for e in bases(study) if "thresholds" in study["experiments"][e]]


def _reaches(study: Study, stage: str, job: dict[str, Any]) -> list[Any]:
    """The settings of its experiment that reach a job, or any job before it."""
    settings, method = study["experiments"][job["experiment"]], job.get("method")
    told = [settings["dataset"], settings["sampling"]["samples"]]
    if stage == "evaluate":
        told.append(settings["metrics"])
    if stage == "data" or method == FLOOR:
        return told
    told += [settings.get("space"), settings.get("autoencoder")]
    if stage == "latent" or method == CEILING:
        return told
    drift = job.get("drift") or study["methods"][method]["drift"]
    told += [settings["drifts"][drift], settings["process"]]
    if stage == "drift" or not is_trained(study, str(method)):
        return told
    told += [settings["network"], settings["training"]]
    return told if stage == "train" else [*told, settings["sampling"]]


def home(study: Study, stage: str, job: dict[str, Any]) -> dict[str, Any]:
    """The job whose results serve a job: itself, or that of the experiment that it varies.

    Args:
        study: the resolved settings.
        stage: data, latent, drift, train, sample or evaluate.
        job: its wildcards.
    """
    base = study["experiments"][job["experiment"]].get("variant_of")
    if base is None:
        return job
    twin = job | {"experiment": base}
    if "part" in job and job.get("method") != FLOOR:
        own, theirs = parts(study, job["experiment"])[job["part"]], parts(study, base)
        if own not in theirs:
            return job
        twin["part"] = theirs.index(own)
    there = twin in _own_jobs(study, stage, base)
    return twin if there and _reaches(study, stage, job) == _reaches(study, stage, twin) else job


def _own_jobs(study: Study, stage: str, experiment: str) -> list[dict[str, Any]]:
    """The wildcards of the jobs of one experiment, as if it shared nothing."""
    e, numbers = {"experiment": experiment}, range(len(parts(study, experiment)))
    methods = list(study["experiments"][experiment]["methods"])
    if is_latent(study, experiment):
        methods.append(CEILING)
    match stage:
        case "data":
            return [e]
        case "latent":
            return [e | {"codes": name} for name in autoencoders(study, experiment)]
        case "drift":
            return [e | {"drift": d, "part": p} for d in drifts(study, experiment) for p in numbers]
        case "train":
            methods = [m for m in methods if is_trained(study, m)]
    floor = [e | {"method": FLOOR, "part": 0}] if stage == "evaluate" else []
    return [e | {"method": m, "part": p} for m in methods for p in numbers] + floor


def jobs(study: Study, stage: str) -> list[dict[str, Any]]:
    """The wildcards of every job of a stage."""
    names = study["experiments"]
    match stage:
        case "classifier":
            images = {images_of(study, e) for e in names if is_image(names[e])}
            return [{"images": i} for i in sorted(images)]
        case "score":
            shown = study.get("score", {"experiment": None, "methods": []})
            return [
                job
                for job in jobs(study, "train")
                if job["experiment"] == shown["experiment"] and job["method"] in shown["methods"]
            ]
        case "gradients" | "forward":
            return [{"experiment": study[stage]["experiment"]}] if stage in study else []
    found = [home(study, stage, job) for e in names for job in _own_jobs(study, stage, e)]
    return list({str(job): job for job in found}.values())


PLACES = {
    "data": "{experiment}",
    "latent": "{experiment}/{codes}",
    "drift": "{experiment}/{drift}/{part}",
    "train": "{experiment}/{method}/{part}",
    "sample": "{experiment}/{method}/{part}",
    "evaluate": "{experiment}/{method}/{part}",
}


def place(study: Study, stage: str, job: dict[str, Any]) -> str:
    """Where the results that serve a job, or one after it, lie below the study's folder."""
    job = {key: value for key, value in job.items() if f"{{{key}}}" in PLACES[stage]}
    return f"{stage}/{PLACES[stage].format(**home(study, stage, job))}"


def shared(study: Study) -> dict[str, str]:
    """The place of each job that another one serves, and the place of that one."""
    pairs = [
        (f"{stage}/{pattern.format(**job)}", place(study, stage, job))
        for stage, pattern in PLACES.items()
        for experiment in study["experiments"]
        if "variant_of" in study["experiments"][experiment]
        for job in _own_jobs(study, stage, experiment)
    ]
    return {own: serving for own, serving in pairs if own != serving}
