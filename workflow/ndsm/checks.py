"""What a schema cannot say of a configuration: names that must exist, settings that contradict.

Each check yields one line per problem. Used by ``config`` alone.
"""

from collections.abc import Iterator
from math import isclose
from typing import Any

from ndsm.datasets import DATASETS, pool_size
from ndsm.messages import allowed, as_list, shown, unknown
from ndsm.method_checks import CHAIN_OBJECTIVES, method_problems
from ndsm.methods import trained
from ndsm.metrics import METRICS, traits
from ndsm.names import (
    BEST,
    CEILING,
    DIAGNOSTIC,
    EXAMPLES,
    FIT_SHARE,
    FLOOR,
    POINTS,
    SECONDS,
    UNTRAINED,
)

VARIANCES = ["objective_variance", "gradient_variance"]
GRADIENT_METRICS = ["gradient_bias", *VARIANCES, *(f"{name}_late" for name in VARIANCES)]
SCORE_METRICS = ["score_error"]
TRAINED_METRICS = [FIT_SHARE]
NONLINEAR = [*CHAIN_OBJECTIVES, "ndsm_jump"]  # those whose gradients are compared with dsm's


def experiment_problems(study: dict[str, Any]) -> Iterator[str]:
    """One line for each contradiction within an experiment."""
    for reserved in sorted({FLOOR, CEILING, "data"} & set(study["methods"])):
        yield f"methods.{reserved}: {reserved!r} stands for real data; allowed: other names"
    for name in study["methods"]:
        if name.endswith(UNTRAINED):
            stem = name.removesuffix(UNTRAINED)
            yield f"methods.{name}: the model of {stem} untrained has this name; allowed: others"
    for name, experiment in study["experiments"].items():
        key = f"experiments.{name}"
        yield from _dataset_problems(key, experiment, study.get("split", "test"))
        if experiment.get("space") == "latent":
            yield from _latent_problems(key, experiment)
        yield from method_problems(key, experiment, study["methods"])


def _dataset_problems(key: str, experiment: dict[str, Any], split: str) -> Iterator[str]:
    """The dataset, its parameters, sizes taken from it, metrics that it allows."""
    name = experiment["dataset"]["name"]
    if name not in DATASETS:
        yield unknown(f"{key}.dataset.name", name, DATASETS)
        return
    dataset = DATASETS[name]
    parameters = ["name", *dataset.parameters]
    for parameter in experiment["dataset"]:
        if parameter not in parameters:
            yield unknown(f"{key}.dataset", parameter, parameters)
    there = pool_size(experiment["dataset"], split)
    for n in experiment["n_train"]:
        if n > there:
            yield f"{key}.n_train: {n} is more than {name} has; allowed: up to {there}"
    yield from _image_problems(key, experiment)
    there_is = traits(experiment)
    suited = [m for m, entry in METRICS.items() if not entry.asks or entry.asks in there_is]
    sampling = experiment["sampling"]
    if (images := sampling.get("decoded")) and experiment.get("space") != "latent":
        yield f"{key}.sampling.decoded: {images} in pixel space; allowed: nothing, or space: latent"
    elif images and images > sampling["samples"]:
        limit = f"allowed: up to sampling.samples, {sampling['samples']}"
        yield f"{key}.sampling.decoded: {images} is more than there are; {limit}"
    for metric in experiment["metrics"]:
        if metric not in suited:
            state = "does not suit " + name if metric in METRICS else "is unknown"
            yield f"{key}.metrics: {shown(metric)} {state}; {allowed(metric, suited)}"
    ordered = [m for m in experiment["metrics"] if m not in DIAGNOSTIC]
    if "variant_of" in experiment:
        return
    for metric, qualities in experiment.get("thresholds", {}).items():
        if metric not in ordered:
            yield unknown(f"{key}.thresholds", metric, ordered)
        for quality in qualities:
            if isinstance(quality, str) and quality not in experiment["methods"]:
                yield unknown(f"{key}.thresholds.{metric}", quality, experiment["methods"])


def _latent_problems(key: str, experiment: dict[str, Any]) -> Iterator[str]:
    """What a latent space asks for: images, without their group, and a network for vectors."""
    dataset = experiment["dataset"]
    if dataset["name"] in DATASETS and not DATASETS[dataset["name"]].image:
        yield f"{key}.space: 'latent' with dataset {dataset['name']}; allowed: pixel, or images"
    if "symmetry" in dataset:
        yield f"{key}.space: 'latent' with a symmetry, which acts on pixels; allowed: pixel"
    if experiment["network"]["type"] == "unet":
        yield f"{key}.network.type: 'unet' in latent space; allowed: mlp"


def _image_problems(key: str, experiment: dict[str, Any]) -> Iterator[str]:
    """The proportions of the classes, and what the U-Net asks of its images."""
    shares = experiment["dataset"].get("shares", [1])
    if not isclose(total := sum(shares), 1, abs_tol=1e-6):
        yield f"{key}.dataset.shares: {shares} sum to {total:g}; allowed: a sum of 1"
    network, name = experiment["network"], experiment["dataset"]["name"]
    if network["type"] == "unet" and network["sees_drift"]:
        yield f"{key}.network.sees_drift: True with unet; allowed: False, or type mlp"
    if network["type"] == "unet" and not DATASETS[name].image:
        yield f"{key}.network.type: 'unet' with dataset {name}; allowed: mlp, or images"
    if network["type"] == "unet" and network["width"] % 8:
        yield f"{key}.network.width: {network['width']} with unet; allowed: a multiple of 8"


def side_problems(study: dict[str, Any]) -> Iterator[str]:
    """The studies of gradients and of the forward process name what there is."""
    experiments = study["experiments"]
    for section in ("score", "gradients", "forward"):
        name = study.get(section, {}).get("experiment")
        if experiments.get(name, {}).get("space") == "latent":
            yield f"{section}.experiment: {name!r} is in latent space; allowed: space pixel"
    if score := study.get("score"):
        if score["experiment"] not in experiments:
            yield unknown("score.experiment", score["experiment"], experiments)
        else:
            own = study["methods"]
            there = [
                m
                for m in trained(study, score["experiment"])
                if EXAMPLES[own[m]["objective"]] != "bridge"  # those learn a velocity
            ]
            for method in score["methods"]:
                if method not in there:
                    yield unknown("score.methods", method, there)
    for section in ("gradients", "forward"):
        if section not in study:
            continue
        name, drift = study[section]["experiment"], study[section]["drift"]
        if name not in experiments:
            yield unknown(f"{section}.experiment", name, experiments)
            continue
        fits = {other: fit["fit"] for other, fit in experiments[name]["drifts"].items()}
        if fits.get(drift, "ou") == "ou":
            yield unknown(f"{section}.drift", drift, [d for d, fit in fits.items() if fit != "ou"])
        if "ou" not in fits.values():
            yield f"{section}.experiment: {name!r} has no drift to compare with; allowed: fit: ou"
        if study[section]["n_train"] not in experiments[name]["n_train"]:
            sizes = experiments[name]["n_train"]
            yield unknown(f"{section}.n_train", study[section]["n_train"], sizes)


def claim_problems(key: str, claim: dict[str, Any], study: dict[str, Any]) -> Iterator[str]:
    """A claim names what the study runs, and one thing to compare with."""
    if ("baseline" in claim) == ("at_most" in claim):
        given = "both" if "baseline" in claim else "neither"
        yield f"{key}: {given} of baseline, at_most; allowed: exactly one"
    metric = claim["metric"].removeprefix(POINTS)
    if claim["metric"].startswith(POINTS) and "n_train" in claim:
        given = f"{claim['n_train']} with {shown(claim['metric'])}"
        yield f"{key}.n_train: {given}, which takes all sizes; allowed: nothing"
    if metric.startswith(SECONDS):
        _, metric, quality = f"{metric}:".split(":")[:3]
        bases = {n: e for n, e in study["experiments"].items() if "variant_of" not in e}
        for name in [*as_list(claim["experiment"]), *as_list(claim.get("baseline_experiment", []))]:
            there = bases.get(name, {}).get("thresholds", {}).get(metric, [])
            known = [each if isinstance(each, str) else f"{each:g}" for each in there]
            if quality not in known:
                yield unknown(f"{key}.metric", claim["metric"], known) + f" in {name}"
    if metric.startswith(BEST):
        metric, there = metric.removeprefix(BEST), study["experiments"].items()
        runs = [n for n, e in there if "thresholds" in e and "variant_of" not in e]
        for name in as_list(claim["experiment"]):
            if name not in runs:
                yield unknown(f"{key}.experiment", name, runs) + f" with {shown(claim['metric'])}"
    if claim["metric"].startswith((POINTS, *SECONDS)) and "at_most" in claim:
        given = f"{shown(claim['at_most'])} with {shown(claim['metric'])}"
        yield f"{key}.at_most: {given}; allowed: a baseline"
    if other := claim.get("baseline_experiment"):
        if other not in study["experiments"]:
            yield unknown(f"{key}.baseline_experiment", other, study["experiments"])
        elif claim.get("baseline") not in (there := study["experiments"][other]["methods"]):
            yield unknown(f"{key}.baseline", claim.get("baseline"), there) + f" in {other}"
    for name in as_list(claim["experiment"]):
        if name in study["experiments"]:
            yield from _measured_problems(key, claim, metric, name, study)
        else:
            yield unknown(f"{key}.experiment", name, study["experiments"])


def _measured_problems(
    key: str, claim: dict[str, Any], metric: str, name: str, study: dict[str, Any]
) -> Iterator[str]:
    """Metric, methods and sizes of a claim are measured in the experiment ``name``."""
    experiment = study["experiments"][name]
    methods, sizes = experiment["methods"], experiment["n_train"]
    metrics = [m for m in experiment["metrics"] if m not in DIAGNOSTIC] + TRAINED_METRICS
    if metric in TRAINED_METRICS:
        methods = trained(study, name)
    if (score := study.get("score")) and score["experiment"] == name:
        metrics += SCORE_METRICS
        if metric in SCORE_METRICS:
            methods = [each for m in score["methods"] for each in (m, m + UNTRAINED)]
    if (gradients := study.get("gradients")) and gradients["experiment"] == name:
        metrics += GRADIENT_METRICS
        if metric in GRADIENT_METRICS:
            methods, sizes = NONLINEAR, [gradients["n_train"]]
    if metric not in metrics:
        yield unknown(f"{key}.metric", claim["metric"], metrics) + f" in {name}"
    named = [("method", method) for method in as_list(claim["method"])]
    if "baseline_experiment" not in claim:
        named += [(role, claim[role]) for role in ("baseline", "rival") if role in claim]
    for role, method in named:
        if method not in methods:
            yield unknown(f"{key}.{role}", method, methods) + f" in {name}"
    for n in as_list(claim.get("n_train", [])):
        if n not in sizes:
            yield unknown(f"{key}.n_train", n, sizes) + f" in {name}"
    if len(sizes) > 1 and "n_train" not in claim and not claim["metric"].startswith(POINTS):
        yield f"{key}.n_train: is missing, but {name} has several; {allowed('', sizes)}"
