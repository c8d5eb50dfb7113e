"""From the parameters of ``NDSM`` to the settings that the method's code takes, all checked first.

What is None is what served best in the study (``tuned``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ndsm.errors import Refused
from ndsm.library import tuned as study
from ndsm.library.tuned import Tuned
from ndsm.method.registry import BRIDGE, CHAIN, OBJECTIVES, SAMPLERS
from ndsm.method.settings import (
    FitSettings,
    ModelSettings,
    NetworkSettings,
    ProcessSettings,
    SamplingSettings,
    TrainingSettings,
)
from ndsm.study.grids import steps_of
from ndsm.study.messages import shown, unknown
from ndsm.study.method_checks import LONGEST, SHORTEST
from ndsm.study.methods import ISOTROPIC

COVARIANCES = ["tied", "spherical", "diag", "full"]
FIXED = ["gmm", "ou"]  # the drifts that have a name
OWN = ("score", "log_prob", "sample")  # what any other drift must have


@dataclass(frozen=True)
class Plan:
    """What a fit does.

    Attributes:
        fit: of the drift; None for an object of the user's.
        known: of the mixture whose score is known.
        model: None for ``objective="none"``.
        training: likewise.
        weight: w of the objective's λ = v e^{wt}.
        by_column: whether each column may have a scale of its own.
    """

    fit: FitSettings | None
    known: FitSettings | None
    model: ModelSettings | None
    training: TrainingSettings | None
    weight: float
    by_column: bool


def refuse(name: str, value: Any, why: str) -> None:
    """Raises the line that a parameter's value is refused with."""
    raise Refused(f"{name}: {shown(value)} {why}")


def of_number(given: Mapping[str, Any], name: str, whole: bool, usual: Any = None) -> Any:
    """A parameter that is a number above zero, or ``usual`` where it is None.

    Raises:
        Refused: it is none.
    """
    value = given[name]
    if value is None and usual is not None:
        return usual
    kind, what = (Integral, "a whole number") if whole else (Real, "a number")
    if not isinstance(value, kind) or isinstance(value, bool):
        refuse(name, value, f"is not {what}; give {what} above zero")
    if not 0 < float(value) < math.inf:
        refuse(name, value, f"is out of range; give {what} above zero")
    return int(value) if whole else float(value)


def of_name(name: str, value: Any, names: list[str]) -> str:
    """A parameter that is one of some names.

    Raises:
        Refused: it is none of them, with the nearest.
    """
    if not isinstance(value, str) or value not in names:
        raise Refused(unknown(name, value, names))
    return value


def drift_of(given: Mapping[str, Any]) -> Any:
    """The drift that the parameters ask for: ``gmm``, ``ou`` or an object.

    Raises:
        Refused: it does not go with the objective.
    """
    objective = of_name("objective", given["objective"], [*OBJECTIVES, "none"])
    drift = given["drift"]
    linear = objective != "none" and OBJECTIVES[objective].linear
    if isinstance(drift, str):
        of_name("drift", drift, [*FIXED, "auto"])
        if drift == "auto":
            drift = "ou" if linear else "gmm"
    elif missing := [name for name in OWN if not callable(getattr(drift, name, None))]:
        has = ", ".join(OWN)
        refuse("drift", drift, f"has no {missing[0]}; give 'gmm', 'ou' or an object with {has}")
    if linear and drift != "ou":
        remedy = "give drift='ou'" + (", and known='gmm'" if objective == "dsm" else "")
        refuse("drift", drift, f"is not linear, as objective {objective!r} asks; {remedy}")
    if not isinstance(drift, str) and (
        objective == "none" or OBJECTIVES[objective].examples != CHAIN
    ):
        chain = [name for name, entry in OBJECTIVES.items() if entry.examples == CHAIN]
        refuse("objective", objective, f"with a drift of your own; allowed: {', '.join(chain)}")
    return drift


def mixture_settings(given: Mapping[str, Any], n: int) -> FitSettings:
    """How a mixture is fitted to n points.

    The number of components is chosen by BIC, as that of the study's drift, and where each has its
    own covariance by held-out likelihood, as that of the study's best mixture.
    """
    covariance = of_name("covariance", given["covariance"], COVARIANCES)
    grid = study.GRIDS.get(covariance, study.BEST_GRID)
    wanted = given["n_components"]
    if wanted is None:
        wanted = [k for k in grid if 2 * k <= n] or [1]
    elif isinstance(wanted, str) or not hasattr(wanted, "__iter__"):
        wanted = [wanted]
    numbers = [of_number({"n_components": k}, "n_components", True) for k in wanted]
    if not [k for k in numbers if 2 * k <= n]:
        refuse("n_components", given["n_components"], f"with {n} points; give at most {n // 2}")
    return FitSettings(
        fit="em",
        covariance=covariance,
        n_components=[k for k in numbers if 2 * k <= n],
        selection="bic" if covariance in ISOTROPIC else "heldout",
    )


def plan(given: Mapping[str, Any], n: int, d: int) -> Plan:
    """The settings for n points of d dimensions.

    Args:
        given: the parameters of ``NDSM``.
        n: number of points.
        d: their dimension.

    Raises:
        Refused: a parameter cannot be used, with its name, value and the remedy.
    """
    drift, objective, known = drift_of(given), given["objective"], given["known"]
    if known is not None:
        of_name("known", known, ["gmm"])
        if objective != "dsm":
            refuse("known", known, f"with objective {objective!r}; give objective='dsm'")
    mixture = mixture_settings(given, n)
    has_centre = drift == "ou" or (drift == "gmm" and mixture.covariance in ISOTROPIC)
    sampling(given["sampler"], given["steps"], objective, has_centre)
    by_column = mixture.covariance != "spherical"
    fit = {"gmm": mixture, "ou": FitSettings(fit="ou")}[drift] if isinstance(drift, str) else None
    of_known = mixture if known else None
    if objective == "none":
        return Plan(fit, of_known, None, None, 0.0, by_column)
    tuned = study.tuned_for(objective, known, d)
    model = model_settings(given, tuned, drift, d)
    training = training_settings(given, tuned, n, d, by_euler=fit is None)
    return Plan(fit, of_known, model, training, tuned.weight, by_column)


def model_settings(given: Mapping[str, Any], tuned: Tuned, drift: Any, d: int) -> ModelSettings:
    """The network and the chain."""
    objective, own = given["objective"], not isinstance(drift, str)
    goal, covariance = OBJECTIVES[objective], given["covariance"]
    chain = goal.examples == CHAIN
    if drift == "gmm" and covariance not in ISOTROPIC and goal.examples != BRIDGE:
        remedy = "give 'tied' or 'spherical', or objective='ndsm_flow'"
        refuse("covariance", covariance, f"with objective {objective!r}; {remedy}")
    stride = of_number(given, "stride", True, study.STRIDE if chain and not own else 1)
    if stride > 1 and (own or not chain):
        why = "a drift of your own" if own else f"objective {objective!r}"
        refuse("stride", stride, f"with {why}; give 1 or None")
    kernel, count = ("euler", study.EULER_STEPS) if own else ("exponential", study.GRID_STEPS)
    if stride > count:
        refuse("stride", stride, f"is more than the grid has; give at most {count}")
    t_min, end = of_number(given, "t_min", False, tuned.t_min), of_number(given, "T", False)
    if t_min >= end:
        refuse("t_min", t_min, f"is not below T; give less than {end:g}")
    process: dict[str, Any] = {"kernel": kernel, "steps": count, "t_min": t_min, "T": end}
    shortest, longest = steps_of(process)
    if chain and shortest < SHORTEST:
        refuse("t_min", t_min, "makes steps too short for single precision; give a larger one")
    if kernel == "euler" and longest >= LONGEST:
        refuse("T", end, f"makes Euler steps of {longest:.2g}; give a smaller one")
    network = NetworkSettings(
        type="mlp",
        sees_drift=d <= study.SEES_DRIFT and not own,
        width=of_number(given, "width", True, 64 if d <= 2 else 128),
        depth=of_number(given, "depth", True),
    )
    return ModelSettings(
        objective=objective,
        process=ProcessSettings(**process),
        network=network,
        stride=stride,
        equivariant=False,
    )


def training_settings(
    given: Mapping[str, Any], tuned: Tuned, n: int, d: int, by_euler: bool
) -> TrainingSettings:
    """How the network is trained on n points of d dimensions."""
    objective = given["objective"]
    usual, each = study.EVALUATIONS, study.FOR_EACH
    if d > 2:
        usual, each = study.EVALUATIONS_ABOVE, study.FOR_EACH_ABOVE
    if given["known"] or not OBJECTIVES[objective].linear:
        usual = min(usual, each * n)
    batch = of_number(given, "batch", True, tuned.batch)
    evaluations = of_number(given, "evaluations", True, max(usual, 20 * batch))
    least = batch * OBJECTIVES[objective].evaluations
    if evaluations < least:
        refuse("evaluations", evaluations, f"make no step with batch {batch}; give {least} or more")
    return TrainingSettings(
        evaluations=evaluations // batch,
        batch=batch,
        learning_rate=of_number(given, "learning_rate", False, tuned.learning_rate),
        ema=tuned.ema,
        pool=study.PATHS if by_euler else study.POOL,
    )


def sampling(
    sampler: Any, steps: Any, objective: str, has_centre: bool, samples: int = 1
) -> SamplingSettings:
    """How so many samples are drawn.

    Args:
        sampler: the parameter.
        steps: likewise.
        objective: of the model.
        has_centre: whether its drift is a mixture whose components share their covariance.
        samples: their number.
    """
    of_name("sampler", sampler, [*SAMPLERS])
    if objective == "ndsm_flow" and not SAMPLERS[sampler].ode:
        ode = ", ".join(name for name, entry in SAMPLERS.items() if entry.ode)
        refuse("sampler", sampler, f"with objective 'ndsm_flow'; allowed: {ode}")
    if sampler == "exponential" and not has_centre:
        refuse("sampler", sampler, "needs components that share one covariance; give 'adams'")
    number = of_number({"steps": steps}, "steps", True)
    return SamplingSettings(sampler=sampler, steps=number, samples=samples)
