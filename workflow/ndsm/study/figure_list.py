"""The figures that a study can have: when it has each, what draws it, what the report says of it.

A new figure is one function in a module of ``ndsm.report`` and one line here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from numpy.random import default_rng

from ndsm.data.datasets import DATASETS
from ndsm.study.methods import trained
from ndsm.study.plan import along, frontiers, is_latent, jobs
from ndsm.study.stacks import Study

# Figures of what variants change in one setting alone, by the path of that.
VARIED = {
    "budgets": ("training", "evaluations"),
    "components": ("drifts", "gmm", "n_components"),
}


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        draw: its module and function in ``ndsm.report``.
        shows: what it shows, in words.
        of: whether a study has it, or of an experiment with its name.
        moves: what makes an animation of it besides, as of ``draw``, if anything does.
    """

    draw: str
    shows: str
    of: Callable[..., bool]
    moves: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure of the study.

    Attributes:
        name: of its files.
        caption: name of its caption in workflow/report, and of its kind.
        labels: what it shows, as columns of the report.
        draw, moves: what draws it, as of ``Kind``.
    """

    name: str
    caption: str
    labels: dict[str, str]
    draw: str
    moves: str = ""


def varied(study: Study, experiment: str) -> dict[str, dict[str, float]]:
    """The ``VARIED`` settings of which an experiment has several runs: their number by the run."""
    each = {kind: along(study, experiment, *path) for kind, path in VARIED.items()}
    return {kind: runs for kind, runs in each.items() if len(runs) > 1}


def _several_sizes(study: Study, experiment: str) -> bool:
    return len(study["experiments"][experiment]["n_train"]) > 1


def _has_classes(study: Study, experiment: str) -> bool:
    settings = study["experiments"][experiment]
    return "shares" in settings["dataset"] and "class_tv" in settings["metrics"]


def _has_planar_modes(study: Study, experiment: str) -> bool:
    settings = study["experiments"][experiment]
    law = DATASETS[settings["dataset"]["name"]].law
    planar = law is not None and law().sample(1, default_rng(0))[0].shape[1] == 2
    learned = trained(study, experiment) and {"kl", "mode_shape"} <= {*settings["metrics"]}
    return planar and bool(learned)


def _has_frontier(study: Study, experiment: str) -> bool:
    budgets = along(study, experiment, "training", "evaluations")
    return experiment in frontiers(study) and len(budgets) > 1


# Of each experiment, in the order of the report.
KINDS = {
    "samples": Kind("sample_figures.samples", "samples beside data", lambda study, e: True),
    "learning_curve": Kind(
        "metric_figures.learning_curve", "metrics against training size", _several_sizes
    ),
    "modes": Kind("mode_figures.modes", "modes of the samples and of the law", _has_planar_modes),
    "seeds": Kind(
        "metric_figures.seeds",
        "metrics of every seed",
        lambda study, e: not _several_sizes(study, e),
    ),
    "shares": Kind("metric_figures.shares", "class proportions against the truth", _has_classes),
    "latent": Kind("sample_figures.codes", "codes of data, prior and samples", is_latent),
    "budgets": Kind(
        "cost_figures.budgets",
        "quality against the budget",
        lambda study, e: "budgets" in varied(study, e),
    ),
    "components": Kind(
        "cost_figures.components",
        "quality against the components",
        lambda study, e: "components" in varied(study, e),
    ),
    "frontier": Kind("cost_figures.frontier", "quality against what it costs", _has_frontier),
}
# Of which a study has one.
SINGLE = {
    "forest": Kind(
        "claim_figures.forest", "effects of the claims", lambda study: bool(study.get("primary"))
    ),
    "departure": Kind(
        "metric_figures.departure",
        "metrics against the departure from symmetry",
        lambda study: any("symmetry" in e["dataset"] for e in study["experiments"].values()),
    ),
    "forward_process": Kind(
        "sample_figures.forward_process",
        "from data to noise and back",
        lambda study: bool(jobs(study, "forward")),
        moves="animations.forward_process",
    ),
    "variance": Kind(
        "metric_figures.variance",
        "variance of objectives and gradients",
        lambda study: bool(jobs(study, "gradients")),
    ),
    "cost_quality": Kind("cost_figures.cost_quality", "cost against quality", lambda study: True),
}
# Tables that the report has as pages.
PAGES = {"summary": "Mean and deviation over seeds", "cost": "What each method costs"}
SIDE = {"forward_process": "forward", "variance": "gradients"}  # whose experiment they show


def figures(study: Study) -> list[Figure]:
    """The study's figures."""
    shown = [
        Figure(f"{name}_{e}", name, {"experiment": e, "shows": kind.shows}, kind.draw)
        for e, settings in study["experiments"].items()
        if "variant_of" not in settings
        for name, kind in KINDS.items()
        if kind.of(study, e)
    ]
    for name, kind in SINGLE.items():
        if kind.of(study):
            job = jobs(study, SIDE[name])[0] if name in SIDE else {"experiment": "all"}
            labels = job | {"shows": kind.shows}
            shown.append(Figure(name, name, labels, kind.draw, kind.moves))
    return shown
