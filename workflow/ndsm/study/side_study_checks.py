"""What a schema cannot say of the studies at the side: score, gradients and forward process.

Each check yields one line per problem. Used by ``configuration`` alone.
"""

import math
from collections.abc import Iterator
from typing import Any

from ndsm.method.registry import BRIDGE, FITS, OBJECTIVES
from ndsm.study.messages import allowed, shown, unknown
from ndsm.study.method_checks import fit_problems
from ndsm.study.methods import settings_of, suits, trained
from ndsm.study.stacks import Study

SIDES = ("score", "gradients", "forward")
SCORED = 500  # points of real data: half are where the score is, half estimate it


def side_problems(study: Study) -> Iterator[str]:
    """The studies at the side name what there is, and what they can use."""
    experiments = study["experiments"]
    for section in [section for section in SIDES if section in study]:
        name = study[section]["experiment"]
        if name not in experiments:
            yield unknown(f"{section}.experiment", name, experiments)
        elif experiments[name].get("space") == "latent":
            yield f"{section}.experiment: {name!r} is in latent space; allowed: space pixel"
        elif section == "score":
            yield from _score_problems(study, name)
        else:
            yield from _drift_problems(section, study[section], experiments[name])


def _score_problems(study: Study, name: str) -> Iterator[str]:
    """Its methods learn a score, and reach the levels of noise."""
    experiment, methods = study["experiments"][name], trained(study, name)
    held_out = experiment["dataset"].get("held_out", SCORED)
    if held_out + 2 * (samples := experiment["sampling"]["samples"]) < SCORED:
        given = f"score.experiment: {name!r} has {held_out} held-out points and {samples} samples"
        yield f"{given}; allowed: {SCORED} or more of the former and twice the latter together"
    there = [m for m in methods if OBJECTIVES[study["methods"][m]["objective"]].examples != BRIDGE]
    for method in study["score"]["methods"]:
        if method not in there:  # which learns a velocity, if it is there at all
            yield unknown("score.methods", method, there)
            continue
        end = settings_of(study, name, method)["process"]["T"]
        most = math.sqrt(math.expm1(2 * end))
        for level in study["score"]["noise"]:
            if level > most:
                limit = f"allowed: up to {most:.3g}, or a larger process.T"
                yield f"score.noise: {shown(level)} is more than {method} has at its end; {limit}"


def _drift_problems(
    section: str, side: dict[str, Any], experiment: dict[str, Any]
) -> Iterator[str]:
    """The nonlinear drift and the linear one beside it, and the size: all can be had."""
    drifts, name, n = experiment["drifts"], side["drift"], side["n_train"]
    at_size, base = experiment | {"n_train": [n]}, f"experiments.{side['experiment']}"
    fits = {d: [*fit_problems(f"{base}.drifts.{d}", fit, at_size)] for d, fit in drifts.items()}
    strange = {d: _strange(section, fit, experiment) for d, fit in drifts.items()}
    if problem := strange.get(name, "unknown"):
        suited = [d for d in drifts if not strange[d] and not fits[d]]
        yield f"{section}.drift: {name!r} is {problem}; {allowed(name, suited)}"
    else:
        yield from fits[name]
    linear = [d for d, fit in drifts.items() if fit["fit"] == "ou"][:1]
    if not linear:
        where = f"{section}.experiment: {side['experiment']!r}"
        yield f"{where} has no drift to compare with; allowed: fit: ou"
    for drift in linear:
        yield from fits[drift]
    if n not in experiment["n_train"]:
        yield unknown(f"{section}.n_train", n, experiment["n_train"])


def _strange(section: str, fit: dict[str, Any], experiment: dict[str, Any]) -> str:
    """Why a drift cannot be shown, if so."""
    # The gradients have their own process, by this kernel.
    kernel = "exponential" if section == "gradients" else experiment["process"]["kernel"]
    if not FITS[fit["fit"]].mixture:
        return "linear"
    if fit["fit"] == "labels" and section == "gradients":
        return "fitted with labels"
    return "" if suits(kernel, fit) else f"of covariance {fit['covariance']}, with kernel {kernel}"
