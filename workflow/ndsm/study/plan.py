"""The jobs of a study: which there are, and where the results of each lie.

A job trains, samples or evaluates one *part*: at most ``replicas_per_job`` replicas [n_train, seed]
of one (experiment, method). A variant of an experiment shares what it does not change (``home``).
Used by the Snakefile alone; ``study`` is what ``configuration.resolve`` made.
"""

import functools
from collections.abc import Collection
from typing import Any

from ndsm.data.datasets import DATASETS
from ndsm.study import reach
from ndsm.study.configuration import is_image
from ndsm.study.methods import SIMULATED, merge, null_of, trained
from ndsm.study.stacks import Study, codes, parts, twins
from ndsm.vocabulary import CEILING, FLOOR, UNTRAINED


def forward_part(study: Study) -> int:
    """The number of the part that holds the replica shown by the forward process, seed 0."""
    shown = (study["forward"]["n_train"], 0)
    return [shown in part for part in parts(study, study["forward"]["experiment"])].index(True)


def drifts(study: Study, experiment: str) -> list[str]:
    """Names of the drifts that the experiment needs."""
    methods = [study["methods"][name] for name in study["experiments"][experiment]["methods"]]
    names = [own[key] for own in methods for key in ("drift", "known") if key in own]
    if study.get("forward", {}).get("experiment") == experiment:
        names += forward_drifts(study).values()
    return list(dict.fromkeys(names))


def forward_drifts(study: Study) -> dict[str, str]:
    """Names of the two drifts beside each other in the forward process: fitted, and linear (OU)."""
    shown = study["forward"]
    fits = study["experiments"][shown["experiment"]]["drifts"]
    linear = next(name for name, drift in fits.items() if drift["fit"] == "ou")
    return {"fitted": shown["drift"], "linear": linear}


def forward_methods(study: Study) -> dict[str, str]:
    """The methods whose networks lead back, of the fitted process (gmm) and of the linear one (ou).

    Of those that learn from it, and know no other mixture, one that a primary comparison names, or
    else the first. None if one of the two has none. In alphabetical order, as in a job's JSON.
    """
    e, drifts = study["forward"]["experiment"], forward_drifts(study)
    asked = [own for own in study.get("primary", {}).values() if own["experiment"] == e]
    named = [own.get(key) for own in asked for key in ("method", "baseline")]
    found: dict[str, str] = {}
    for process, which in (("gmm", "fitted"), ("ou", "linear")):
        for name in [*named, *trained(study, e)]:
            own = study["methods"].get(name, {})
            alike = own.get("drift") == drifts[which] and own["objective"] in SIMULATED
            if alike and "known" not in own and name in trained(study, e):
                found.setdefault(process, name)
    return found if len(found) == 2 else {}


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


def is_latent(study: Study, experiment: str) -> bool:
    """Whether the experiment noises and learns in the latent space of an autoencoder."""
    return study["experiments"][experiment].get("space") == "latent"


def autoencoders(study: Study, experiment: str, part: int | None = None) -> Collection[str]:
    """Names of an experiment's autoencoders, or of those of a part; ``all`` is shared by all."""
    settings = study["experiments"][experiment]
    if not is_latent(study, experiment):
        return []
    if settings["autoencoder"]["sees"] == "all":
        return ["all"]
    if part is None:
        return codes(study, experiment)
    return [f"{n}-{seed}" for n, seed in parts(study, experiment)[part]]


def bases(study: Study) -> list[str]:
    """The experiments that are no variants."""
    return [e for e, settings in study["experiments"].items() if "variant_of" not in settings]


def variants(study: Study, experiment: str) -> list[str]:
    """The experiment and its variants."""
    names = study["experiments"]
    return [experiment, *(e for e in names if names[e].get("variant_of") == experiment)]


def along(study: Study, experiment: str, *path: str) -> dict[str, float]:
    """The experiment and those variants that differ from it in one number alone, in its order.

    They may have fewer methods, training sizes or metrics. ``path`` leads to the number, which
    comes with each; an experiment that itself has a choice of several there is left out.
    """
    names, apart = study["experiments"], ("variant_of", "n_train", "methods", "metrics")
    without: Any = None
    for key in reversed(path):
        without = {key: without}

    def rest(name: str) -> dict[str, Any]:
        return merge({k: v for k, v in names[name].items() if k not in apart}, without)

    def value(name: str) -> Any:
        return functools.reduce(lambda inner, key: inner.get(key, {}), path, names[name])

    found = {e: value(e) for e in variants(study, experiment) if rest(e) == rest(experiment)}
    numbers = {e: number for e, number in found.items() if isinstance(number, int | float)}
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


def frontiers(study: Study) -> list[str]:
    """The experiments whose quality is put against what it costs: those with thresholds."""
    return [e for e in bases(study) if "thresholds" in study["experiments"][e]]


def home(study: Study, stage: str, job: dict[str, Any]) -> dict[str, Any]:
    """The job whose results serve a job: itself, or that of the experiment that it varies.

    Of methods whose untrained models are one, the first has the results.

    Args:
        study: the resolved settings.
        stage: data, latent, drift, train, sample or evaluate.
        job: its wildcards.
    """
    base = study["experiments"][job["experiment"]].get("variant_of")
    if str(job.get("method")).endswith(UNTRAINED):  # which variants have not
        return job | {"method": null_of(study, job["experiment"], job["method"])}
    if base is None or not _serves(study, base, stage, job):
        return job
    twin = job | {"experiment": base}
    if "part" in job and job.get("method") != FLOOR:
        twin["part"] = twins(study, job["experiment"])[job["part"]]
    return job if twin.get("part", 0) is None else twin


def _serves(study: Study, base: str, stage: str, job: dict[str, Any]) -> bool:
    """Whether the experiment ``base`` has such a job with the same settings, whatever its part."""
    twin = job | {"experiment": base}
    return _has(study, stage, twin) and _reach(study, stage, job) == _reach(study, stage, twin)


def _reach(study: Study, stage: str, job: dict[str, Any]) -> dict[str, Any]:
    names = {key: job[key] for key in ("experiment", "drift", "method") if key in job}
    return reach.settings(study, stage, **names)


def _has(study: Study, stage: str, job: dict[str, Any]) -> bool:
    """Whether the job is one of its experiment, as if that shared nothing."""
    experiment = job["experiment"]
    match stage:
        case "data":
            return True
        case "latent":
            return job["codes"] in autoencoders(study, experiment)
        case "drift":
            return job["drift"] in drifts(study, experiment)
    return job["method"] in [*_methods(study, stage, experiment), FLOOR]


def _methods(study: Study, stage: str, experiment: str) -> list[str]:
    """The methods that have a job of the stage, and in latent space the ceiling."""
    if stage == "train":
        return trained(study, experiment)
    methods = [*study["experiments"][experiment]["methods"]]
    return [*methods, CEILING] if is_latent(study, experiment) else methods


def own_jobs(study: Study, stage: str, experiment: str) -> list[dict[str, Any]]:
    """The wildcards of the jobs of one experiment, as if it shared nothing."""
    e, numbers = {"experiment": experiment}, range(len(parts(study, experiment)))
    match stage:
        case "data":
            return [e]
        case "latent":
            return [e | {"codes": name} for name in autoencoders(study, experiment)]
        case "drift":
            return [e | {"drift": d, "part": p} for d in drifts(study, experiment) for p in numbers]
    methods = _methods(study, stage, experiment)
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
            if stage not in study:
                return []
            e, methods = study[stage]["experiment"], study[stage]["methods"]
            numbers = range(len(parts(study, e)))
            return [{"experiment": e, "method": m, "part": p} for m in methods for p in numbers]
        case "gradients" | "forward":
            return [{"experiment": study[stage]["experiment"]}] if stage in study else []
    found = [home(study, stage, job) for e in names for job in own_jobs(study, stage, e)]
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


def shared(study: Study) -> dict[str, dict[str, Any]]:
    """What serves each variant: results of the experiment ``base`` that it varies.

    ``results`` are stage/name (of a drift, method or autoencoder), or the stage for all its jobs;
    ``parts`` is the number there of each part, or none if the variant has the part alone.
    """
    bases = {e: settings.get("variant_of") for e, settings in study["experiments"].items()}
    return {
        variant: {"base": base, "results": _served(study, variant, base)}
        | {"parts": twins(study, variant)}
        for variant, base in bases.items()
        if base
    }


def _served(study: Study, variant: str, base: str) -> list[str]:
    """Which results of ``base`` serve the variant."""
    found = []
    for stage in PLACES:
        served = {
            "/".join([stage, *(v for k, v in job.items() if k not in ("experiment", "part"))]): (
                _serves(study, base, stage, job)
            )
            for job in own_jobs(study, stage, variant)
            if job.get("part", 0) == 0
        }
        whole = served and all(served.values())
        found += [stage] if whole else [name for name, serves in served.items() if serves]
    return found
