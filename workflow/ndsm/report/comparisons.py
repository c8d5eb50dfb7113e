"""One comparison of a claim: a metric's values of a method and of its baseline, seed by seed.

The metric ``points_saved:<metric>`` asks, seed by seed, how many times as many training points the
baseline needs for the same quality, by the learning curves of both.
``seconds_to:<metric>:<quality>`` compares the seconds until either gets to a quality, and
``total_seconds_to`` adds those of the autoencoder. ``best_budget:<metric>`` is the metric with the
budget that serves a method best at a training size, on average over seeds: long trainings on few
points may overfit.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ndsm.artefacts.judged_study import Claim
from ndsm.errors import Refused
from ndsm.metrics.registry import DIFFERENCES, MAXIMISED
from ndsm.report.verdict import (
    DIFFERENCE,
    RELATIVE,
    SAVING,
    Comparison,
    Shared,
    compare,
    points_saved,
)
from ndsm.vocabulary import BEST, POINTS, SECONDS


def seconds_to(reached: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Rows as of metrics.csv for ``[total_]seconds_to:<metric>:<quality>``.

    Args:
        reached: as ``frontier.time_to_quality`` gives it.
        runs: as ``frontier.frontier`` gives it.

    Returns:
        these rows; the column ``censored`` marks where that quality is never reached: the value is
        then the cost of the largest budget. ``early``, ``rate_error`` and ``budgets`` are those of
        ``reached``.
    """
    names = reached.metric + ":" + reached.quality.astype(str)
    keys = ["experiment", "method", "n_train", "seed"]
    most = runs.sort_values("network_evaluations").groupby(keys).seconds.last()
    last = most.loc[pd.MultiIndex.from_frame(reached[keys])].to_numpy()
    latent_seconds = runs.groupby(keys).autoencoder_seconds.first()
    latent_seconds = latent_seconds.loc[pd.MultiIndex.from_frame(reached[keys])].to_numpy()
    seconds = reached.seconds.fillna(pd.Series(last))
    own = [*keys, "early", "rate_error", "budgets"]
    rows = [
        reached[own].assign(metric=prefix + names, value=value, censored=reached.seconds.isna())
        for prefix, value in zip(SECONDS, (seconds, seconds + latent_seconds), strict=True)
    ]
    return pd.concat(rows, ignore_index=True).astype({"n_train": "Int64"})


def best_budgets(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows as of metrics.csv for ``best_budget:<metric>``, of the runs with the usual sampler.

    Args:
        runs: as ``frontier.frontier`` gives it.
    """
    keys = ["experiment", "method", "n_train", "metric"]
    usual = runs[runs.run == runs.experiment].drop_duplicates(keys)
    usual = usual.set_index(keys).sampling_steps.reindex(pd.MultiIndex.from_frame(runs[keys]))
    runs = runs[runs.sampling_steps.to_numpy() == usual.to_numpy()]
    means = runs.groupby([*keys, "run"]).value.mean().reset_index()
    means["loss"] = means.value.where(~means.metric.isin(MAXIMISED), -means.value)
    best = means.sort_values("loss").drop_duplicates(keys)
    rows = runs.merge(best[[*keys, "run"]]).assign(metric=lambda own: BEST + own.metric)
    return rows[[*keys, "seed", "value"]].astype({"n_train": "Int64"})


def compared(claim: Claim, metrics: pd.DataFrame, level: float, resamples: int) -> dict[str, Any]:
    """One row of the claims table, without role and verdict.

    Args:
        claim: of the study.
        metrics: tidy metrics of the study.
        level: the interval has confidence 1 - level.
        resamples: bootstrap resamples.

    Raises:
        Refused: the study lacks a value.
    """
    metric = claim.metric.removeprefix(POINTS)
    values = metrics[(metrics.experiment == claim.experiment) & (metrics.metric == metric)]
    elsewhere = claim.baseline_experiment or claim.experiment
    theirs = metrics[(metrics.experiment == elsewhere) & (metrics.metric == metric)]
    if claim.metric.startswith(POINTS):
        n_train, found = None, _points(claim, values, theirs, level, resamples)
    else:
        n_train = _n_train(claim, values)
        found = _values(claim, values, theirs, n_train, level, resamples)
    return {
        **vars(found),
        "id": claim.id,
        "experiment": claim.experiment,
        "metric": claim.metric,
        "method": claim.method,
        "baseline": _baseline(claim),
        "n_train": n_train,
        "scale": _scale(claim.metric),
    }


def _scale(metric: str) -> str:
    """Of the effect on a metric (``verdict``)."""
    if metric.startswith((POINTS, *SECONDS)):
        return SAVING
    return DIFFERENCE if metric.removeprefix(BEST) in DIFFERENCES else RELATIVE


def _maximised(metric: str) -> bool:
    """Whether a metric is the better the higher."""
    return metric.removeprefix(POINTS).removeprefix(BEST) in MAXIMISED


def _n_train(claim: Claim, values: pd.DataFrame) -> int:
    """The training size of a claim, which need not be given where there is one alone."""
    if claim.n_train is not None:
        return claim.n_train
    sizes = values.n_train.dropna().unique()
    if len(sizes) != 1:
        raise Refused(f"{_name(claim)}: n_train must be given, one of {sorted(sizes)}")
    return int(sizes[0])


def _values(
    claim: Claim,
    values: pd.DataFrame,
    theirs: pd.DataFrame,
    n_train: int,
    level: float,
    resamples: int,
) -> Comparison:
    """Compares the metric's values at one training size."""
    method = _curves(values, claim.method, claim).get(n_train)
    if method is None or method.isna().any():
        raise Refused(f"{_name(claim)}: no values at n_train {n_train} for every seed")
    note, shared, bounded = "", Shared(), False
    if claim.at_most is not None:
        baseline = pd.Series(float(claim.at_most), method.index)
    else:
        curves = _curves(theirs, claim.baseline, claim)
        if n_train not in curves:
            raise Refused(f"{_name(claim)}: the baseline has no values at {n_train}")
        baseline = curves[n_train]
        if claim.metric.startswith(SECONDS):
            own = _timed(values, claim.method, n_train, method)
            other = _timed(theirs, claim.baseline, n_train, baseline)
            longer, late, late_too = np.maximum(method, baseline), own.censored, other.censored
            method, baseline = method.where(~late, longer), baseline.where(~late_too, longer)
            note = _who_never({claim.method: late, claim.baseline: late_too})
            bounded = bool(
                other.early.any()
            )  # its cost is an upper bound, which favours the method
            early = f"{claim.baseline} is there with its smallest budget: no verdict"
            note = "; ".join(filter(None, [early * bounded, note]))
            shared = _shared(own.iloc[0], other.iloc[0])
    if set(baseline.index) != set(method.index) or baseline.isna().any():
        raise Refused(f"{_name(claim)}: method and baseline have different seeds")
    found = compare(
        baseline.loc[method.index],
        method,
        maximise=_maximised(claim.metric),
        scale=_scale(claim.metric),
        shared=shared,
        level=level,
        resamples=resamples,
    )
    return _noted(replace(found, p_value=None) if bounded else found, note)


def _points(
    claim: Claim, values: pd.DataFrame, theirs: pd.DataFrame, level: float, resamples: int
) -> Comparison:
    """Compares the points that method and baseline need for the same quality, seed by seed."""
    method = _curves(values, claim.method, claim)
    baseline = _curves(theirs, claim.baseline, claim)
    sizes = method.columns.intersection(baseline.columns)
    if len(sizes) < 2:
        raise Refused(f"{_name(claim)}: two training sizes or more are needed")
    if set(baseline.index) != set(method.index):
        raise Refused(f"{_name(claim)}: method and baseline have different seeds")
    baseline, method = baseline.loc[method.index, sizes], method[sizes]
    if min(baseline.min(axis=None), method.min(axis=None)) <= 0:
        note = "a value is not positive, so that no power law can be fitted"
        return Comparison(np.nan, None, None, None, len(method), note=note)
    maximise, most = _maximised(claim.metric), max(sizes) / min(sizes)
    saved = np.array(
        [
            points_saved(
                sizes.to_numpy(float), baseline.loc[seed], method.loc[seed], maximise=maximise
            )
            for seed in method.index
        ]
    )
    found = compare(saved, np.ones_like(saved), scale=SAVING, level=level, resamples=resamples)
    notes = []
    gaps = (np.log(baseline) - np.log(method)).mean() * (-1 if maximise else 1)
    ahead = [str(n) for n, gap in gaps.items() if gap > 0]
    if 0 < len(ahead) < len(gaps):
        notes += [f"the learning curves cross: the method is ahead at n = {', '.join(ahead)} only"]
    if held := int((np.abs(np.log(saved)) >= np.log(most) * (1 - 1e-9)).sum()):
        notes += [
            f"in {held} of {len(saved)} seeds the ratio is held to the range of sizes, {most:g}"
        ]
    return _noted(found, "; ".join(notes))


def _noted(found: Comparison, note: str) -> Comparison:
    return replace(found, note="; ".join(filter(None, [note, found.note])))


def _baseline(claim: Claim) -> str:
    """What the method is compared with, in words."""
    if claim.at_most is not None:
        return f"at most {claim.at_most}"
    elsewhere = claim.baseline_experiment
    return f"{claim.baseline} in {elsewhere}" if elsewhere else claim.baseline


def _timed(rows: pd.DataFrame, method: str, n_train: int, values: pd.Series) -> pd.DataFrame:
    """How a method was timed, in the seeds of ``values``."""
    own = rows[(rows.method == method) & (rows.n_train == n_train)].set_index("seed")
    return own.reindex(values.index).astype({"censored": bool, "early": bool})


def _shared(*timed: pd.Series) -> Shared:
    """The error of both rates together; of one budget alone it is not known, and none."""
    errors = [(own.rate_error**2, own.budgets - 1) for own in timed if own.rate_error > 0]
    if not errors:
        return Shared()
    total = sum(variance for variance, _ in errors)
    freedom = total**2 / sum(variance**2 / df for variance, df in errors)
    return Shared(float(np.sqrt(total)), float(freedom))


def _who_never(late: dict[str, pd.Series]) -> str:
    """A note on the methods that do not get to the quality in all seeds."""
    notes = [
        f"in {each.sum()} of {len(each)} seeds {method} does not get there"
        for method, each in late.items()
        if each.any()
    ]
    more = "its largest budget stands for it, or the other's time if that is longer"
    return "; ".join([*notes, more]) if notes else ""


def _name(claim: Claim) -> str:
    return f"claim {claim.id} ({claim.experiment}, {claim.metric}, {claim.method})"


def _curves(values: pd.DataFrame, method: str, claim: Claim) -> pd.DataFrame:
    """Values of one method, (seeds, sizes): the pairing of seeds is that of the index."""
    rows = values[values.method == method]
    if rows.empty:
        known = ", ".join(sorted(values.method.unique())) or "none"
        raise Refused(f"{_name(claim)}: no values of {method}; there are those of {known}")
    return rows.pivot(index="seed", columns="n_train", values="value")
