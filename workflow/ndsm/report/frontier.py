"""Quality against cost: runs of an experiment at several budgets, each with its whole schedule.

``frontier`` lists the runs; ``time_to_quality`` reads off them when a metric first passes a
threshold: a number, or what a method has on average with its largest budget. Both are parts of the
stage ``aggregate``. The untrained model is the budget of no evaluations: where the mixture alone
passes the threshold, the method takes the time of its fit.

The seconds to a threshold are those of the fit and of the network evaluations, at the method's
rate: the geometric mean of what an evaluation took in its trainings, one for each budget. Their
scatter gives the rate's error, which all seeds share, since a stack trains them together.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.artefacts.reading import Inputs
from ndsm.artefacts.result_paths import autoencoder, fit_seconds, place
from ndsm.metrics.registry import MAXIMISED
from ndsm.vocabulary import UNTRAINED

RUN = ["experiment", "run", "method", "n_train", "seed"]
REACHED = ["seconds", "network_evaluations", "sampling_steps", "autoencoder_seconds", "early"]
COSTS = ["seconds", "fit_seconds", "network_evaluations", "sampling_steps", "sampling_evaluations"]


def frontier(
    inputs: Inputs, results: Path, metrics: pd.DataFrame, study: GatheredStudy
) -> pd.DataFrame:
    """Cost and quality of every run of the experiments with several budgets.

    Columns: experiment; run, it or one of its variants; method, n_train, seed; seconds, of its
    drift's fit and of its training, an equal share of the stack's; fit_seconds, of the fit alone;
    autoencoder_seconds; network evaluations in training; steps of the sampler and evaluations per
    sample; metric, value.
    """
    rows = [
        (experiment, run, *costs)
        for experiment, runs in study.frontiers.items()
        for run in dict.fromkeys([*runs.budgets, *runs.steps])
        for costs in _costs(inputs, results, run, study)
    ]
    table = pd.DataFrame(rows, columns=[*RUN, *COSTS, "autoencoder_seconds"])
    measured = metrics.rename(columns={"experiment": "run"})
    return table.merge(measured, on=RUN[1:]).astype({"n_train": int, "seed": int})


def _costs(inputs: Inputs, results: Path, run: str, study: GatheredStudy) -> Iterator[tuple]:
    """What each replica of each method cost."""
    settings = study.experiments[run]
    for method in settings.methods:
        for part in range(settings.parts):
            sample = inputs.record(results / place(study, "sample", run, method, part))
            replicas = sample["spec"]["replicas"]
            fits = fit_seconds(inputs, results, study, run, method, part)
            path = results / place(study, "train", run, method, part)
            share, evaluations = 0.0, 0
            if study.is_trained(method):
                measured = inputs.record(path)["measured"]
                share = measured["seconds"] / len(replicas)
                evaluations = measured["network_evaluations"]
            per_sample = sample["measured"].get("network_evaluations", 0)
            steps = sample["spec"]["sampling"]["steps"] if evaluations else 0
            for (n_train, seed), seconds in zip(replicas, fits, strict=True):
                latent_seconds = _autoencoder_seconds(inputs, results, run, n_train, seed, study)
                cost = (
                    round(seconds + share, 4),
                    seconds,
                    evaluations,
                    steps,
                    per_sample,
                    latent_seconds,
                )
                yield method, n_train, seed, *cost


def _autoencoder_seconds(
    inputs: Inputs, results: Path, run: str, n_train: int, seed: int, study: GatheredStudy
) -> float:
    """What the replica's autoencoder took to train."""
    if not study.experiments[run].autoencoders:
        return 0.0
    path = results / autoencoder(study, run, n_train, seed)
    return inputs.record(path)["measured"]["seconds"]


def time_to_quality(table: pd.DataFrame, study: GatheredStudy) -> pd.DataFrame:
    """When each replica first passes each threshold, in seconds and network evaluations.

    Between two budgets by interpolation (``first_passage``); a run that is there with the smallest
    budget, but not untrained, is given that budget's cost, an upper bound (``early``); one that
    never is, nothing.
    Columns: experiment, method, n_train, seed, metric, quality (the threshold as the settings have
    it), threshold, ``REACHED``, and of the method the error of its rate: rate_error, the standard
    error of its logarithm, and budgets, from how many it is.
    """
    rows = []
    for experiment, runs in study.frontiers.items():
        trained = table[(table.experiment == experiment) & table.run.isin(runs.budgets)]
        for metric, qualities in runs.thresholds.items():
            measured = trained[trained.metric == metric]
            for (n_train, method), own in measured.groupby(["n_train", "method"], sort=False):
                rate = rate_of(own)
                null = (measured.method == f"{method}{UNTRAINED}") & (measured.n_train == n_train)
                with_null = pd.concat([measured[null & (measured.run == experiment)], own])
                for seed, curve in with_null.groupby("seed", sort=False):
                    for quality in qualities:
                        threshold = _threshold(quality, measured, experiment, n_train)
                        reached = _reached(curve, threshold, metric in MAXIMISED, rate[0])
                        label = quality if isinstance(quality, str) else f"{quality:g}"
                        key = experiment, method, n_train, seed, metric, label, threshold
                        rows.append((*key, *reached, *rate[1:]))
    columns = ["experiment", *RUN[2:], "metric", "quality", "threshold", *REACHED]
    return pd.DataFrame(rows, columns=[*columns, "rate_error", "budgets"])


def rate_of(runs: pd.DataFrame) -> tuple[float, float, int]:
    """Seconds of a method's network evaluation, the standard error of its logarithm, of how many.

    Args:
        runs: of one method at one size; each of its budgets trained one stack.
    """
    means = runs.groupby("network_evaluations")[["seconds", "fit_seconds"]].mean()
    means = means[means.index > 0]
    if means.empty:
        return 0.0, 0.0, 0
    logs = np.log((means.seconds - means.fit_seconds) / means.index)
    error = logs.std() / np.sqrt(len(logs)) if len(logs) > 1 else 0.0
    return float(np.exp(logs.mean())), float(error), len(logs)


def _threshold(
    quality: float | str, measured: pd.DataFrame, experiment: str, n_train: int
) -> float:
    """A number as it is; of a method its mean over seeds with the whole budget.

    Of one seed alone the method itself would always be there, and one that is as good half the
    time.
    """
    if not isinstance(quality, str):
        return quality
    whole = measured[(measured.run == experiment) & (measured.method == quality)]
    return float(whole[whole.n_train == n_train].value.mean())


def _reached(curve: pd.DataFrame, threshold: float, maximise: bool, rate: float) -> tuple:
    """What ``REACHED`` names; but for early nothing if the threshold is never passed."""
    curve = curve.drop_duplicates("network_evaluations").sort_values("network_evaluations")
    cost = curve.network_evaluations
    found = first_passage(cost, curve.value, threshold, maximise=maximise)
    if np.isnan(found):
        return (*(np.nan,) * (len(REACHED) - 1), False)
    last, early = curve.iloc[-1], 0 < found <= cost[cost > 0].min()
    seconds = round(last.fit_seconds + rate * found, 4)
    return seconds, round(found), last.sampling_steps, last.autoencoder_seconds, early


def first_passage(
    costs: ArrayLike, values: ArrayLike, target: float, *, maximise: bool = False
) -> float:
    """The cost at which a curve of values first reaches ``target``; nan if it never does.

    Linear between two points in log cost and log value (in plain value where a value or the target
    is not positive, as an unbiased distance can be). At the smallest cost, and after a cost of
    zero, it is the cost of the point that is there, an upper bound.

    Args:
        costs: (k,) costs, one of which may be zero.
        values: (k,) metric at these costs, one seed.
        target: the value to reach.
        maximise: whether the metric is the better the higher.
    """
    order = np.argsort(costs)
    n = np.asarray(costs, dtype=float)[order]
    v = np.asarray(values, dtype=float)[order]
    reached = v >= target if maximise else v <= target
    if not reached.any():
        return np.nan
    k = int(np.argmax(reached))
    if k == 0 or n[k - 1] == 0:
        return float(n[k])
    before, after = v[k - 1], v[k]
    if min(before, after, target) > 0:
        before, after, target = np.log(before), np.log(after), np.log(target)
    share = (target - before) / (after - before)
    return float(n[k - 1] * (n[k] / n[k - 1]) ** share)
