"""The jobs of a study: which there are, what each is told, and which code each depends on.

A job trains, samples or evaluates one *part*: at most ``replicas_per_job`` replicas [n_train, seed]
of one (experiment, method). Used by the Snakefile alone; ``study`` is what ``config.resolve`` made.
"""

import ast
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndsm.config import is_image
from ndsm.datasets import DATASETS

PACKAGE = Path(__file__).resolve().parent
FLOOR = "real"  # the "method" that is held-out data itself

Study = dict[str, Any]


def modules(stage: str) -> list[str]:
    """Names of the ndsm modules that ``stage`` runs: itself and, transitively, what it imports.

    Snakemake does not see edits of imported modules by itself.
    """
    found, waiting = set(), {stage}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= _imports(PACKAGE / f"{name}.py") - found
    return sorted(found)


@functools.cache
def _imports(path: Path) -> set[str]:
    """Modules of the package that ``path`` imports anywhere; none if it is not there."""
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ndsm":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ndsm."):
            names.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("ndsm.")}
    return names


def parts(study: Study, experiment: str) -> list[list[list[int]]]:
    """The experiment's replicas [n_train, seed], cut into parts."""
    sizes, at_most = study["experiments"][experiment]["n_train"], study["replicas_per_job"]
    replicas = [[n, seed] for n in sizes for seed in range(study["seeds"])]
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
    return study["methods"][method]["objective"] != "none"


def jobs(study: Study, stage: str) -> list[dict[str, Any]]:
    """The wildcards of every job of a stage."""
    names = study["experiments"]
    match stage:
        case "data":
            return [{"experiment": e} for e in names]
        case "classifier":
            images = {images_of(study, e) for e in names if is_image(names[e])}
            return [{"images": i} for i in sorted(images)]
        case "drift":
            return [
                {"experiment": e, "drift": d, "part": p}
                for e in names
                for d in drifts(study, e)
                for p in range(len(parts(study, e)))
            ]
        case "train" | "sample" | "evaluate":
            runs = [
                {"experiment": e, "method": m, "part": p}
                for e in names
                for m in names[e]["methods"]
                for p in range(len(parts(study, e)))
                if stage != "train" or is_trained(study, m)
            ]
            floor = [{"experiment": e, "method": FLOOR, "part": 0} for e in names]
            return runs + floor if stage == "evaluate" else runs
        case "score":
            names = study.get("score", {"experiment": None, "methods": []})
            return [
                job
                for job in jobs(study, "train")
                if job["experiment"] == names["experiment"] and job["method"] in names["methods"]
            ]
        case "gradients" | "forward":
            return [{"experiment": study[stage]["experiment"]}] if stage in study else []
    raise ValueError(f"no such stage: {stage}")


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


def figures(study: Study) -> list[Figure]:
    """The study's figures."""
    shown = []
    for e, settings in study["experiments"].items():
        kinds = [("samples", "samples beside data")]
        if len(settings["n_train"]) > 1:
            kinds.append(("learning_curve", "metrics against training size"))
        else:
            kinds.append(("seeds", "metrics of every seed"))
        if "shares" in settings["dataset"] and "class_tv" in settings["metrics"]:
            kinds.append(("shares", "class proportions against the truth"))
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


def spec(study: Study, stage: str, **wildcards: str) -> dict[str, Any]:
    """What one job is told: the part of the settings that it needs, and no more.

    Args:
        study: the resolved settings.
        stage: the stage.
        wildcards: of the job, as in ``jobs``.
    """
    match stage:
        case "aggregate":
            return {
                "study": study["study"],
                "seeds": study["seeds"],
                "methods": study["methods"],
                "experiments": {
                    name: {key: e[key] for key in ("dataset", "n_train", "methods", "metrics")}
                    | {"parts": len(parts(study, name)), "drifts": drifts(study, name)}
                    for name, e in study["experiments"].items()
                },
                "classifiers": [job["images"] for job in jobs(study, "classifier")],
                "score": [
                    "{experiment}/{method}/{part}".format(**job) for job in jobs(study, "score")
                ],
                "gradients": [job["experiment"] for job in jobs(study, "gradients")],
                "forward": [job["experiment"] for job in jobs(study, "forward")],
            }
        case "claims":
            keys = [key for key in ("study", "scale", "verdict") if key in study]
            return {key: study[key] for key in keys} | {"claims": study.get("claims", [])}
        case "figures":
            experiments = {
                name: {key: e[key] for key in ("dataset", "n_train", "methods", "metrics")}
                for name, e in study["experiments"].items()
            }
            return {
                "experiments": experiments,
                "figures": [figure.name for figure in figures(study)],
            }
        case "gradients":
            own = study["gradients"]
            return study["experiments"][own["experiment"]]["drifts"][own["drift"]] | own
        case "forward":
            name = study["forward"]["experiment"]
            part = parts(study, name)[forward_part(study)]
            process = study["experiments"][name]["process"]
            return study["forward"] | {"seed": 0, "process": process, "replicas": part}
        case "classifier":
            example = study["experiments"][example_of(study, wildcards["images"])]
            own = example["dataset"].items()
            return {"dataset": {key: value for key, value in own if key in ("name", "side")}}
    return _part_spec(study, stage, **wildcards)


def _part_spec(study: Study, stage: str, experiment: str, **wildcards: str) -> dict[str, Any]:
    """What a job of one experiment, or of one part of it, is told."""
    settings = study["experiments"][experiment]
    told: dict[str, Any] = {"experiment": experiment}
    if stage == "data":
        return told | {"dataset": settings["dataset"], "samples": settings["sampling"]["samples"]}
    if stage == "evaluate":
        told |= {"method": wildcards["method"], "metrics": settings["metrics"]}
        if wildcards["method"] == FLOOR:
            return told
    told["replicas"] = parts(study, experiment)[int(wildcards["part"])]
    if stage == "drift":
        fit = settings["drifts"][wildcards["drift"]]
        return told | fit | {"drift": wildcards["drift"], "process": settings["process"]}
    method = wildcards["method"]
    told["method"] = method
    if stage == "evaluate":
        return told
    own = study["methods"][method]
    told |= {"objective": own["objective"], "stride": own.get("stride", 1)}
    told |= {"alpha": own.get("alpha"), "equivariant": own.get("equivariant", False)}
    told["device"] = study["device"]
    told |= {key: settings[key] for key in ("process", "network")}
    if stage == "score":
        return told | {"noise": study["score"]["noise"]}
    last = {"train": "training", "sample": "sampling"}[stage]
    return told | {last: settings[last]}
