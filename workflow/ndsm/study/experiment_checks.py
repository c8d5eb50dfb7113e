"""What a schema cannot say of a configuration: names that must exist, settings that contradict.

Each check yields one line per problem. Used by ``configuration`` alone.
"""

from collections.abc import Iterator
from math import isclose
from typing import Any

from ndsm.data.datasets import DATASETS, held_out_size, pool_size
from ndsm.errors import Refused
from ndsm.metrics.registry import DIAGNOSTIC, METRICS, traits
from ndsm.study.messages import allowed, shown, unknown
from ndsm.study.method_checks import method_problems
from ndsm.vocabulary import CEILING, FLOOR, UNTRAINED

WILDCARDS = {*"{}<>"}  # characters that the path of an input cannot have
LEAST_OF_MODES = 500  # held-out points; of the rarest mode, a hundredth, a covariance is then left
# Held-out images that each class, and each branch of a symmetry, has at least; branches are drawn.
IN_CLASS, IN_BRANCH = 5, 20


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
    parameters = ["name", *dataset.needs, *dataset.parameters]
    for parameter in experiment["dataset"]:
        if parameter not in parameters:
            yield unknown(f"{key}.dataset", parameter, parameters)
    if missing := [need for need in dataset.needs if need not in experiment["dataset"]]:
        yield f"{key}.dataset.{missing[0]}: is missing; required beside it: name"
        return
    path = experiment["dataset"].get("path", "")
    if found := sorted(WILDCARDS & set(path)):
        taken = f"{shown(path)} has {' '.join(found)}, which Snakemake takes for wildcards"
        yield f"{key}.dataset.path: {taken}; rename the file or its folder"
        return
    try:
        there = pool_size(experiment["dataset"], split)
    except Refused as problem:
        yield f"{key}.dataset: {problem}"
        return
    for n in experiment["n_train"]:
        if n > there:
            yield f"{key}.n_train: {n} is more than {name} has; allowed: up to {there}"
    yield from _image_problems(key, experiment)
    if dataset.image:
        yield from _share_problems(key, experiment["dataset"], split)
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
    few = experiment["dataset"].get("held_out", LEAST_OF_MODES)
    if "mode_shape" in experiment["metrics"] and few < LEAST_OF_MODES:
        given = f"{key}.dataset.held_out: {few} are too few of the rarest mode for mode_shape"
        yield f"{given}; allowed: {LEAST_OF_MODES} or more"
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


def _share_problems(key: str, dataset: dict[str, Any], split: str) -> Iterator[str]:
    """Proportions of the classes and of the inverted images: enough of each are held out."""
    shares = dataset.get("shares", [1])
    if not isclose(total := sum(shares), 1, abs_tol=1e-6):
        yield f"{key}.dataset.shares: {shares} sum to {total:g}; allowed: a sum of 1"
        return
    there = held_out_size(dataset, split)
    least = min(share for share in shares if share > 0)
    if (count := least * there) < IN_CLASS:
        limit = f"allowed: 0, or enough for {IN_CLASS}"
        yield f"{key}.dataset.shares: {least:g} leaves a class {count:.2g} held-out images; {limit}"
    if symmetry := dataset.get("symmetry"):
        edge = IN_BRANCH / there
        if not edge <= (share := symmetry["share"]) <= 1 - edge:
            limit = f"allowed: {edge:.2g} to {1 - edge:.2g}, {IN_BRANCH} held-out images of each"
            yield f"{key}.dataset.symmetry.share: {share:g} leaves a branch too few; {limit}"


def _image_problems(key: str, experiment: dict[str, Any]) -> Iterator[str]:
    """What the U-Net asks of its images."""
    network, name = experiment["network"], experiment["dataset"]["name"]
    if network["type"] == "unet" and network["sees_drift"]:
        yield f"{key}.network.sees_drift: True with unet; allowed: False, or type mlp"
    if network["type"] == "unet" and not DATASETS[name].image:
        yield f"{key}.network.type: 'unet' with dataset {name}; allowed: mlp, or images"
    if network["type"] == "unet" and network["width"] % 8:
        yield f"{key}.network.width: {network['width']} with unet; allowed: a multiple of 8"
