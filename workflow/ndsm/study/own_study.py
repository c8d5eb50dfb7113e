"""The study of a table of the user's own: every setting from its rows n and columns d.

What was tuned is that of the default study for data of the kind: few rows as in ``breast_cancer``,
more as in ``clusters16``. ``choices`` says each choice with its reason.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ndsm.data import own_images, own_table
from ndsm.data.own_images import Images
from ndsm.study.methods import merge
from ndsm.study.stacks import Study

EXPERIMENT = "table"
METHODS = ["gmm", "gmm_drift", "dsm", "dsm_mixture", "ndsm_cv", "ndsm_flow"]
OURS, PLAIN, MIXTURE, RIVAL = "ndsm_cv", "dsm", "gmm", "dsm_mixture"
CLAIMS = {
    "D1": "the structure helps on these data",
    "D2": "the trained network adds to the mixture alone",
    "D3": "nonlinear noise adds to the same mixture under linear noise",
}
BASELINES = {"D1": PLAIN, "D2": MIXTURE, "D3": RIVAL}
KEYS = ("data", "label", "columns", "image_side")  # what an own study says of its table
SEEDS = 5
MOST_ROWS = 10_000  # to train on
SHARES = (1 / 9, 1 / 3, 0.9)  # of the rows to train on: at the last as well seeds vary the rows
FEWEST = 20  # rows of the smallest size
MANY = 1000  # rows from which on there are more components, units and evaluations
COMPONENTS = [1, 2, 3, 5, 10, 20]
FULL_FROM = 5  # rows for each column from which on components have full covariances
WIDE = 16  # columns above which a network is wider; up to it likelihoods are exact as well
SAMPLES = 2000


def dataset(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The entry ``dataset`` of a study with ``data``, and perhaps others of ``KEYS``."""
    keys = {own: own for own in KEYS} | {"data": "path"}
    return {"name": "table"} | {ours: raw[own] for own, ours in keys.items() if own in raw}


def settings(raw: Mapping[str, Any], default: Study) -> Study:
    """The configuration of a study of a table.

    Args:
        raw: what its owner says; with ``data``.
        default: the default study, as written.

    Raises:
        Refused: the table cannot be used.
    """
    of = dataset(raw)
    table = own_table.read(of)
    sizes = sizes_of(own_table.pool_size(of))
    largest, d = sizes[-1], table.points.shape[1]
    many = largest >= MANY
    like = default["experiments"]["clusters16" if many else "breast_cancer"]
    full = "full" if largest >= FULL_FROM * d else "diag"
    search = {"fit": "em", "n_components": COMPONENTS, "selection": "heldout"}
    experiment = {
        "dataset": of,
        "n_train": sizes,
        "methods": METHODS,
        "metrics": ["nll", "energy_distance", "sliced_wasserstein", *["mode_tv"] * ("label" in of)],
        "drifts": {
            "ou": {"fit": "ou"},
            "gmm": search | {"covariance": "tied"},
            "mixture": search | {"covariance": full},
        },
        "process": like["process"],
        "tuned": {name: own for name, own in like["tuned"].items() if name in METHODS},
        "network": {"width": 128 if many or d > WIDE else 64},
        "training": {"evaluations": 1000 if many else 600},
        "sampling": {"samples": SAMPLES},
    }
    defaults = {k: default["defaults"][k] for k in ("process", "network", "training", "sampling")}
    return {
        "seeds": SEEDS,
        "replicas_per_job": default["replicas_per_job"],
        "device": default["device"],
        "verdict": default["verdict"],
        "methods": {name: default["methods"][name] for name in METHODS},
        "experiments": {EXPERIMENT: merge(defaults, experiment)},
        "claims": CLAIMS,
        "primary": {id_: _claim(largest, baseline) for id_, baseline in BASELINES.items()},
        "secondary": [
            {"id": id_} | _claim(largest, baseline) | change
            for id_, baseline in BASELINES.items()
            for change in (
                {"metric": experiment["metrics"][1:]},
                {"method": "ndsm_flow"},
            )
        ],
    }


def _claim(n_train: int, baseline: str) -> dict[str, Any]:
    """A comparison of log-likelihoods at the largest size."""
    compared = {"experiment": EXPERIMENT, "metric": "nll", "method": OURS}
    return compared | {"baseline": baseline, "n_train": n_train}


def sizes_of(pool: int) -> list[int]:
    """The training sizes for a pool of so many rows."""
    there = min(pool, round(MOST_ROWS / SHARES[-1]))
    return [n for n in (round(share * there) for share in SHARES) if n >= FEWEST]


def table_of(study: Study) -> own_table.OwnTable:
    """The table of a resolved study."""
    return own_table.read(study["experiments"][EXPERIMENT]["dataset"])


def files_of(dataset: Mapping[str, Any]) -> list[str]:
    """What a dataset is read from: the file of a table, each image of a folder, or nothing."""
    path = dataset.get("path")
    if path and os.path.isdir(path):
        return [str(file) for file in own_images.files(Path(path))]
    return [path] if path else []


def choices(study: Study) -> list[str]:
    """What was chosen and why, a sentence each, of a resolved study of a table."""
    own = study["experiments"][EXPERIMENT]
    pool, (rows, d) = own_table.pool_size(own["dataset"]), table_of(study).points.shape
    held_out = min(rows - pool, own_table.HELD_OUT)
    images = table_of(study).images
    sizes, training = ", ".join(map(str, own["n_train"])), own["training"]
    drifts, tuned = own["drifts"], "clusters16" if own["n_train"][-1] >= MANY else "breast_cancer"
    covariance = drifts["mixture"]["covariance"].replace("diag", "diagonal")
    exact = "exact" if d <= WIDE else f"an estimate, since there are more than {WIDE} columns"
    return [
        f"Data: {rows} rows, {d} columns; {pool} rows to train on, {held_out} held out (30 %, at "
        f"most {own_table.HELD_OUT}), each column in units of its own deviation.",
        *([_of_images(images)] if images else []),
        f"Training sizes: {sizes}; a ninth, a third and nine tenths of the rows to train on, at "
        f"least {FEWEST} and at most {MOST_ROWS}, so that seeds choose other rows even at the "
        "largest.",
        f"Seeds: {study['seeds']}; each has its own rows, first weights and noise.",
        f"Mixture: one of {_listed(drifts['mixture']['n_components'])} components, as a fifth of "
        f"the training rows finds likeliest; {covariance} covariances for the "
        f"mixture alone (diagonal below {FULL_FROM} rows a column), one that all components share "
        "for the noise, which the noising process asks for.",
        f"Network: {own['network']['depth']} layers of {own['network']['width']} units, the same "
        f"for every method; wider from {MANY} rows or above {WIDE} columns.",
        f"Budget: {training['evaluations']} network evaluations for each of {training['batch']} "
        "points of a batch, the same for every method; learning rates and smallest noise as tuned "
        f"on {tuned} of the default study, a table of about this size.",
        f"Likelihood: {exact}.",
    ]


def _of_images(images: Images) -> str:
    return (
        f"Columns: the first {len(images.basis)} principal components of the {images.side} × "
        f"{images.side} pixels, with {images.share:.1%} of their variance: the fewest with "
        f"{own_images.HELD:.0%}, at most {own_images.MOST_COMPONENTS}, so that likelihoods are "
        "exact. Verdicts are about these, not about the pixels that they leave out."
    )


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, numbers)) if isinstance(numbers, list) else str(numbers)
