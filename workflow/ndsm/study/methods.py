"""The methods of an experiment: which are trained, and the settings that each has of its own.

Used by the Snakefile alone; ``study`` is what ``configuration.resolve`` made.
"""

from typing import Any

from ndsm.method.registry import BRIDGE, CHAIN, DATA, OBJECTIVES, SAMPLERS, learning_from
from ndsm.metrics.registry import LIKELIHOOD
from ndsm.study.stacks import Study
from ndsm.vocabulary import UNTRAINED, is_trained

# One within-component variance: what the exponential kernel, sampler and the long jump need.
ISOTROPIC = ["spherical", "tied"]
# The objectives whose examples are simulated with the drift.
SIMULATED = [*learning_from(CHAIN), *learning_from(DATA)]


def trained(study: Study, experiment: str) -> list[str]:
    """The methods of an experiment that have a trained network."""
    return [m for m in study["experiments"][experiment]["methods"] if is_trained(study, m)]


def has_likelihood(study: Study, experiment: str) -> bool:
    """Whether the models' log-densities of held-out data are asked for."""
    return not {*LIKELIHOOD}.isdisjoint(study["experiments"][experiment]["metrics"])


def noising(study: Study, experiment: str, drift: str) -> dict[str, Any] | None:
    """The process by which methods simulate the drift up to T, where it should have reached π.

    That of the experiment, unless no method has its kernel: then that of the first of them. None if
    there are none: the mixture is only drawn from.
    """
    settings, own = study["experiments"][experiment], study["methods"]
    noised = [
        settings_of(study, experiment, name)["process"]
        for name in settings["methods"]
        if own[name]["drift"] == drift and own[name]["objective"] in SIMULATED
    ]
    usual = settings["process"]
    alike = [process for process in noised if process["kernel"] == usual["kernel"]]
    return usual if alike else next(iter(noised), None)


def suits(kernel: str, drift: dict[str, Any]) -> bool:
    """Whether a kernel can have a drift's covariances."""
    return kernel != "exponential" or drift.get("covariance", "spherical") in ISOTROPIC


def settings_of(study: Study, experiment: str, method: str) -> dict[str, Any]:
    """An experiment's settings as they are for one of its methods, with what is the method's own.

    That is what the method says itself, and over it what the experiment's search found best for it.
    Another batch comes with fewer or more evaluations of each of its points, the same in all.
    """
    settings, own = study["experiments"][experiment], study["methods"][method]
    tuned = settings.get("tuned", {}).get(method.removesuffix(UNTRAINED), {})
    keys = ("process", "training", "temperature", "weight")
    for changes in (own, tuned):
        settings = merge(settings, {key: changes[key] for key in keys if key in changes})
    usual, batch = study["experiments"][experiment]["training"], settings["training"]["batch"]
    evaluations = evaluations_with(usual, batch)
    sampling = settings["sampling"] | own_sampler(own, settings["sampling"])
    return merge(settings, {"training": {"evaluations": evaluations}, "sampling": sampling})


def evaluations_with(training: dict[str, Any], batch: int) -> int:
    """Network evaluations for each point of a batch of another size, the same in all."""
    return int(training["evaluations"] * training["batch"] // batch)


def own_sampler(own: dict[str, Any], sampling: dict[str, Any]) -> dict[str, Any]:
    """A method's own sampler, with its own steps or about as many network evaluations as usual."""
    if "sampler" not in own:
        return {}
    evaluations = sampling["steps"] * SAMPLERS[sampling["sampler"]].evaluations
    steps = max(1, evaluations // SAMPLERS[own["sampler"]].evaluations)
    return {"sampler": own["sampler"], "steps": own.get("sampler_steps", steps)}


def null_of(study: Study, experiment: str, method: str) -> str:
    """The first untrained method of an experiment whose model is that of an untrained one.

    With F_θ = 0 the flow of bridges, and that of the linear process, stands still: the model is π.
    """

    def model(name: str) -> list[Any]:
        own, settings = study["methods"][name], settings_of(study, experiment, name)
        kind, sampling = OBJECTIVES[own["objective"]].examples, settings["sampling"]
        linear = settings["drifts"][own["drift"]]["fit"] == "ou"
        still = SAMPLERS[sampling["sampler"]].angle and (linear or kind == BRIDGE)
        if still and "known" not in own:
            return [own["drift"], sampling]
        named = own["objective"] if kind != CHAIN else kind
        keys = ("drift", "known", "stride")
        return [named, settings["process"], sampling, *(own.get(k) for k in keys)]

    nulls = [m for m in study["experiments"][experiment]["methods"] if m.endswith(UNTRAINED)]
    return next(name for name in nulls if model(name) == model(method))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it: mappings key by key, anything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged
