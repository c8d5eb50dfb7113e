"""What a schema cannot say of a claim: the study measures what it compares, on both sides alike.

Each check yields one line per problem. Used by ``configuration`` alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ndsm.metrics.registry import DIAGNOSTIC
from ndsm.study.messages import allowed, as_list, shown, unknown
from ndsm.study.method_checks import CHAIN_OBJECTIVES
from ndsm.study.methods import trained
from ndsm.study.stacks import Study
from ndsm.vocabulary import BEST, FIT_SHARE, POINTS, SECONDS, UNTRAINED

VARIANCES = ["objective_variance", "gradient_variance"]
GRADIENT_METRICS = ["gradient_bias", *VARIANCES, *(f"{name}_late" for name in VARIANCES)]
SCORE_METRICS = ["score_error"]
TRAINED_METRICS = [FIT_SHARE]
NONLINEAR = [*CHAIN_OBJECTIVES, "ndsm_jump"]  # those whose gradients are compared with dsm's

Claim = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """Where an experiment has a metric: methods, training sizes and seeds; and which metrics."""

    metrics: list[str]
    methods: list[str]
    sizes: list[int]
    seeds: int


def claim_problems(key: str, claim: Claim, study: Study) -> Iterator[str]:
    """A claim names what the study runs, and one thing to compare with.

    Args:
        key: where the claim stands.
        claim: with one metric.
        study: the resolved settings.
    """
    yield from _form_problems(key, claim)
    experiments, other = study["experiments"], claim.get("baseline_experiment")
    compared = sorted({"baseline", "rival", "control"} & claim.keys())
    if other is not None and other not in experiments:
        yield unknown(f"{key}.baseline_experiment", other, experiments)
    for name in as_list(claim["experiment"]):
        if name not in experiments:
            yield unknown(f"{key}.experiment", name, experiments)
            continue
        here = [] if other is not None else compared
        yield from _side_problems(key, claim, name, ["method", *here], study)
        if other is not None and other in experiments:
            yield from _side_problems(key, claim, other, compared, study)
            yield from _pair_problems(key, claim, name, other, study)


def _form_problems(key: str, claim: Claim) -> Iterator[str]:
    """Keys that go together."""
    said = shown(claim["metric"])
    if ("baseline" in claim) == ("at_most" in claim):
        given = "both" if "baseline" in claim else "neither"
        yield f"{key}: {given} of baseline, at_most; allowed: exactly one"
    for name in ("baseline_experiment", "rival", "control"):
        if name in claim and "baseline" not in claim:
            yield f"{key}.{name}: {claim[name]!r} without a baseline; allowed: a baseline"
    if claim["metric"].startswith(POINTS) and "n_train" in claim:
        given = f"{claim['n_train']} with {said}, which takes all sizes"
        yield f"{key}.n_train: {given}; allowed: nothing"
    if claim["metric"].startswith((POINTS, *SECONDS)) and "at_most" in claim:
        given = f"{shown(claim['at_most'])} with {said}"
        yield f"{key}.at_most: {given}; allowed: a baseline"


def _side_problems(
    key: str, claim: Claim, name: str, roles: list[str], study: Study
) -> Iterator[str]:
    """The experiment ``name`` has the metric, the sizes and the methods of these roles."""
    metric = claim["metric"].removeprefix(POINTS)
    if metric.startswith(SECONDS):
        yield from _seconds_problems(key, claim, metric, name, study)
        metric = metric.split(":")[1]
    if best := metric.startswith(BEST):
        runs = [n for n, e in study["experiments"].items() if _has_budgets(e)]
        metric = metric.removeprefix(BEST)
        if name not in runs:
            yield unknown(f"{key}.experiment", name, runs) + f" with {shown(claim['metric'])}"
    there = _measured(metric, name, study)
    own = [m for m in study["experiments"][name]["metrics"] if m in there.metrics]
    if metric not in (known := own if best else there.metrics):
        yield unknown(f"{key}.metric", claim["metric"], known) + f" in {name}"
    for role in roles:
        for method in as_list(claim[role]):
            if method not in there.methods:
                yield unknown(f"{key}.{role}", method, there.methods) + f" in {name}"
    for n in as_list(claim.get("n_train", [])):
        if n not in there.sizes:
            yield unknown(f"{key}.n_train", n, there.sizes) + f" in {name}"
    if claim["metric"].startswith(POINTS):
        if len(there.sizes) < 2:
            few = f"{shown(claim['metric'])} compares sizes, and {name} has {there.sizes} alone"
            yield f"{key}.metric: {few}; allowed: without {POINTS}"
    elif len(there.sizes) > 1 and "n_train" not in claim and "method" in roles:
        yield f"{key}.n_train: is missing, but {name} has several; {allowed('', there.sizes)}"


def _seconds_problems(
    key: str, claim: Claim, metric: str, name: str, study: Study
) -> Iterator[str]:
    """Seconds are to a quality of a metric that is one of the experiment's thresholds."""
    experiment, (prefix, _, goal) = study["experiments"][name], metric.partition(":")
    thresholds = experiment["thresholds"] if _has_budgets(experiment) else {}
    known = [
        f"{prefix}:{name}:{each if isinstance(each, str) else f'{each:g}'}"
        for name, qualities in thresholds.items()
        for each in qualities
    ]
    if f"{prefix}:{goal}" not in known or claim["metric"].startswith(POINTS):
        yield unknown(f"{key}.metric", claim["metric"], known) + f" in {name}"


def _has_budgets(experiment: dict[str, Any]) -> bool:
    """Whether quality is put against cost there, that of its variants included."""
    return "thresholds" in experiment and "variant_of" not in experiment


def _measured(metric: str, name: str, study: Study) -> Measured:
    """Where the experiment ``name`` has a metric, and which metrics it has."""
    experiment = study["experiments"][name]
    methods, sizes = experiment["methods"], experiment["n_train"]
    seeds = experiment.get("seeds", study["seeds"])
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
            methods, sizes, seeds = NONLINEAR, [gradients["n_train"]], gradients["seeds"]
    return Measured(metrics, methods, sizes, seeds)


def _pair_problems(key: str, claim: Claim, name: str, other: str, study: Study) -> Iterator[str]:
    """Method and baseline are paired over the same seeds and have sizes in common."""
    metric = claim["metric"].removeprefix(POINTS).removeprefix(BEST)
    own, theirs = (_measured(metric, each, study) for each in (name, other))
    where = f"{key}.baseline_experiment: {other!r} has"
    if own.seeds != theirs.seeds:
        yield f"{where} {theirs.seeds} seeds, {name} {own.seeds}; allowed: as many"
    both = [n for n in own.sizes if n in theirs.sizes]
    least = 2 if claim["metric"].startswith(POINTS) else 1
    if len(both) < least:
        few = f"the training sizes {theirs.sizes}, {name} {own.sizes}"
        yield f"{where} {few}; allowed: {least} or more in common"
