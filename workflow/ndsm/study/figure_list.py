"""The figures of a study, with what the report says of each. Used by the Snakefile alone."""

from dataclasses import dataclass

from ndsm.study.plan import Study, along, frontiers, is_latent, jobs

# Figures of what variants change in one setting alone: its path, what they show.
VARIED = {
    "budgets": (("training", "evaluations"), "quality against the budget"),
    "components": (("drifts", "gmm", "n_components"), "quality against the components"),
}


@dataclass(frozen=True)
class Figure:
    """A figure of the study.

    Attributes:
        name: of its files.
        caption: name of its caption in workflow/report.
        labels: what it shows, as columns of the report.
    """

    name: str
    caption: str
    labels: dict[str, str]


def varied(study: Study, experiment: str) -> dict[str, dict[str, float]]:
    """The ``VARIED`` settings of which an experiment has several runs: their number by the run."""
    each = {kind: along(study, experiment, *path) for kind, (path, _) in VARIED.items()}
    return {kind: runs for kind, runs in each.items() if len(runs) > 1}


def figures(study: Study) -> list[Figure]:
    """The study's figures."""
    shown = []
    for e, settings in study["experiments"].items():
        if "variant_of" in settings:
            continue
        kinds = [("samples", "samples beside data")]
        if len(settings["n_train"]) > 1:
            kinds.append(("learning_curve", "metrics against training size"))
        else:
            kinds.append(("seeds", "metrics of every seed"))
        if "shares" in settings["dataset"] and "class_tv" in settings["metrics"]:
            kinds.append(("shares", "class proportions against the truth"))
        if is_latent(study, e):
            kinds.append(("latent", "codes of data, prior and samples"))
        kinds += [(kind, VARIED[kind][1]) for kind in varied(study, e)]
        if e in frontiers(study) and len(along(study, e, "training", "evaluations")) > 1:
            kinds.append(("frontier", "quality against what it costs"))
        for caption, words in kinds:
            shown.append(Figure(f"{caption}_{e}", caption, {"experiment": e, "shows": words}))
    if any("symmetry" in e["dataset"] for e in study["experiments"].values()):
        words = "metrics against the departure from symmetry"
        shown.append(Figure("departure", "departure", {"experiment": "all", "shows": words}))
    for stage, name, words in (
        ("forward", "forward_process", "the noising process"),
        ("gradients", "variance", "variance of objectives and gradients"),
    ):
        for job in jobs(study, stage):
            shown.append(Figure(name, name, job | {"shows": words}))
    labels = {"experiment": "all", "shows": "cost against quality"}
    return [*shown, Figure("cost_quality", "cost_quality", labels)]
