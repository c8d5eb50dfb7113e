"""Quality against cost: runs of an experiment at several budgets, each with its whole schedule.

``frontier`` lists the runs; ``time_to_quality`` reads off them when a metric first passes a
threshold. Both are parts of the stage ``aggregate``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ndsm.inputs import read_record
from ndsm.results import autoencoder, fit_seconds, place
from ndsm.verdict import MAXIMISED, size_to_match

Spec = dict[str, Any]

RUN = ["experiment", "run", "method", "n_train", "seed"]
COSTS = ["seconds", "network_evaluations", "sampling_steps", "sampling_evaluations"]


def frontier(results: Path, metrics: pd.DataFrame, spec: Spec) -> pd.DataFrame:
    """Cost and quality of every run of the experiments with several budgets.

    Columns: experiment; run, it or one of its variants; method, n_train, seed; seconds, of its
    drift's fit and of its training, an equal share of the stack's; autoencoder_seconds; network
    evaluations in training; steps of the sampler and evaluations per sample; metric, value.
    """
    rows = [
        (experiment, run, *costs)
        for experiment, runs in spec["frontiers"].items()
        for run in dict.fromkeys([*runs["budgets"], *runs["steps"]])
        for costs in _costs(results, run, spec)
    ]
    table = pd.DataFrame(rows, columns=[*RUN, *COSTS, "autoencoder_seconds"])
    measured = metrics.rename(columns={"experiment": "run"})
    return table.merge(measured, on=RUN[1:]).astype({"n_train": int, "seed": int})


def _costs(results: Path, run: str, spec: Spec) -> Iterator[tuple]:
    """What each replica of each method cost."""
    settings = spec["experiments"][run]
    for method in settings["methods"]:
        for part in range(settings["parts"]):
            sample = read_record(results / place(spec, "sample", run, method, part))
            replicas = sample["spec"]["replicas"]
            fits = fit_seconds(results, spec, run, method, part)
            path = results / place(spec, "train", run, method, part)
            share, evaluations = 0.0, 0
            if path.with_suffix(".json").exists():
                measured = read_record(path)["measured"]
                share = measured["seconds"] / len(replicas)
                evaluations = measured["network_evaluations"]
            per_sample = sample["measured"].get("network_evaluations", 0)
            steps = sample["spec"]["sampling"]["steps"] if evaluations else 0
            for (n_train, seed), seconds in zip(replicas, fits, strict=True):
                coder = _autoencoder_seconds(results, run, n_train, seed, spec)
                cost = (round(seconds + share, 4), evaluations, steps, per_sample, coder)
                yield method, n_train, seed, *cost


def _autoencoder_seconds(results: Path, run: str, n_train: int, seed: int, spec: Spec) -> float:
    """What the replica's autoencoder took to train."""
    if not spec["experiments"][run]["autoencoders"]:
        return 0.0
    path = results / autoencoder(spec, run, n_train, seed)
    return read_record(path)["measured"]["seconds"]


def time_to_quality(table: pd.DataFrame, spec: Spec) -> pd.DataFrame:
    """When each replica first passes each threshold, in seconds and network evaluations.

    Between two budgets by interpolation (``verdict.size_to_match``); a run that is there with the
    smallest budget is given that budget's cost, an upper bound; one that never is, nothing.
    Columns: experiment, method, n_train, seed, metric, threshold, seconds, network_evaluations,
    sampling_steps, autoencoder_seconds.
    """
    rows = []
    for experiment, runs in spec["frontiers"].items():
        of = table[(table.experiment == experiment) & table.run.isin(runs["budgets"])]
        for metric, thresholds in runs["thresholds"].items():
            keys = ["method", "n_train", "seed"]
            for key, curve in of[of.metric == metric].groupby(keys, sort=False):
                for threshold in thresholds:
                    at = _reached(curve, threshold, metric in MAXIMISED)
                    rows.append((experiment, *key, metric, threshold, *at))
    return pd.DataFrame(
        rows,
        columns=["experiment", *RUN[2:], "metric", "threshold", *COSTS[:3], "autoencoder_seconds"],
    )


def _reached(curve: pd.DataFrame, threshold: float, maximise: bool) -> tuple:
    """Seconds, evaluations, steps of sampling, seconds of the autoencoder; nothing if never."""
    curve = curve.drop_duplicates("network_evaluations").sort_values("network_evaluations")
    costs = []
    for cost in ("seconds", "network_evaluations"):
        # A method without a network has one point, at no evaluations at all.
        sizes = curve[cost].to_numpy(dtype=float)
        match = size_to_match(sizes, curve.value, threshold, maximise=maximise)
        if match.censored == "above":
            return (np.nan,) * 4
        costs.append(match.size)
    last = curve.iloc[-1]
    return round(costs[0], 4), round(costs[1]), last.sampling_steps, last.autoencoder_seconds
