"""What a schema cannot say of an experiment's methods and of the drifts that they name.

Each check yields one line per problem. Used by ``experiment_checks`` and
``side_study_checks``.
"""

import math
from collections.abc import Iterator
from typing import Any

from ndsm.method.registry import CHAIN, DATA, FITS, OBJECTIVES, SAMPLERS, learning_from
from ndsm.study.grids import steps_of
from ndsm.study.messages import allowed, as_list, shown, unknown
from ndsm.study.methods import ISOTROPIC, evaluations_with, suits

CHAIN_OBJECTIVES = learning_from(CHAIN)
LEAST_SHARE = 0.01  # of the law of noise levels, between those of t_min and T
ODE_SAMPLERS = [name for name, entry in SAMPLERS.items() if entry.ode]
SHORTEST = 1e-5  # step of a grid, of its time: single precision knows it to a hundredth
LONGEST = 2  # step of the Euler kernel: from that on a component N(m, I) is left in oscillations
FLATTEST, STEEPEST = (
    2,
    10,
)  # weight whose loss does not grow with t; e to this is its largest growth


def method_problems(key: str, experiment: dict[str, Any], methods: dict[str, Any]) -> Iterator[str]:
    """Methods, the drifts that they name, and what these allow."""
    drifts = experiment["drifts"]
    for method in experiment.get("tuned", {}):
        if method not in methods:
            yield unknown(f"{key}.tuned", method, methods)
    for method in experiment["methods"]:
        if method not in methods:
            yield unknown(f"{key}.methods", method, methods)
            continue
        named = {
            role: methods[method][role] for role in ("drift", "known") if role in methods[method]
        }
        strange = {role: name for role, name in named.items() if name not in drifts}
        for role, name in strange.items():
            yield unknown(f"methods.{method}.{role}", name, drifts) + f" in {key}"
        if strange:
            continue
        for name in named.values():
            yield from fit_problems(f"{key}.drifts.{name}", drifts[name], experiment)
        yield from _objective_problems(key, method, methods[method], experiment)
        yield from _own_problems(key, method, methods[method], experiment)


def _own_problems(
    key: str, method: str, settings: dict[str, Any], experiment: dict[str, Any]
) -> Iterator[str]:
    """What is a method's own, in place of the experiment's: its process, its tuned settings."""
    tuned, objective = experiment.get("tuned", {}).get(method, {}), settings["objective"]
    both = (settings, f"methods.{method}"), (tuned, f"{key}.tuned.{method}")
    for changes, where in both:
        if objective == "none" and (off := {"process", "training", "weight"} & changes.keys()):
            yield f"{where}.{min(off)}: is given with objective none; allowed: temperature"
        if objective != "none" and "temperature" in changes:
            yield f"{where}.temperature: is given with a network; allowed: objective none"
        if objective == "flow_matching" and "process" in changes:
            yield f"{where}.process: is given with objective flow_matching; allowed: nothing"
    process, stride = own_process(experiment, settings, tuned), settings.get("stride", 1)
    homes = {
        name: next((w for c, w in both[::-1] if name in c.get("process", {})), key)
        for name in process
    }
    whose = "" if {*homes.values()} == {key} else method
    problems = [*_process_problems(process, homes, whose)]
    yield from problems or _kernel_problems(process, homes, method, objective)
    weight, home = tuned.get("weight", settings.get("weight", 0)), both["weight" in tuned][1]
    if weight > (most := FLATTEST + STEEPEST / process["T"]):
        limit = f"allowed: up to {most:.3g} with process.T, {shown(process['T'])}"
        yield f"{home}.weight: {shown(weight)} is too large; {limit}"
    if process["T"] < experiment["process"]["T"]:
        limit = f"allowed: from that of {key} on, {shown(experiment['process']['T'])}"
        yield f"{homes['T']}.process.T: {shown(process['T'])} is too small; {limit}"
    if stride > process["steps"]:
        limit = f"allowed: up to process.steps, {process['steps']}"
        yield f"methods.{method}.stride: {stride} is more than the grid has; {limit}"
    if stride > 1 and process["kernel"] != "exponential" and objective in CHAIN_OBJECTIVES:
        others = f"allowed: 1, or kernel exponential in {key}"
        yield f"methods.{method}.stride: {stride} with kernel {process['kernel']}; {others}"
    of_training = settings.get("training", {}) | tuned.get("training", {})
    batch = of_training.get("batch", experiment["training"]["batch"])
    evaluations = evaluations_with(experiment["training"], batch)
    if objective != "none" and evaluations < OBJECTIVES[objective].evaluations:
        given = f"{key}.training.evaluations: {experiment['training']['evaluations']}"
        few = f"make no step of {method}, whose batch is {batch}"
        yield f"{given} {few}; allowed: more, or a smaller batch"


def own_process(
    experiment: dict[str, Any], settings: dict[str, Any], tuned: dict[str, Any]
) -> dict[str, Any]:
    """The process of a method: the experiment's, with what is its own, and what was tuned."""
    own: dict[str, Any] = settings.get("process", {}) | tuned.get("process", {})
    return experiment["process"] | own


def _process_problems(process: dict[str, Any], homes: dict[str, str], method: str) -> Iterator[str]:
    """The grid's ends are in order, and its noise levels between them.

    Args:
        process: with ``t_min``, ``T`` and perhaps ``log_noise``.
        homes: where each of them is given.
        method: whose process it is, if not that of all.
    """
    whose = f" for {method}" if method else ""
    if process["t_min"] >= process["T"]:
        limit = f"allowed: less than T, {shown(process['T'])}"
        given = f"{homes['t_min']}.process.t_min: {shown(process['t_min'])} is too large{whose}"
        yield f"{given}; {limit}"
    elif "log_noise" in process:
        mean, deviation = process["log_noise"]
        ends = (math.log(math.expm1(2 * process[t])) / 2 for t in ("T", "t_min"))
        above = [math.erfc((mean - end) / deviation / math.sqrt(2)) / 2 for end in ends]
        if above[0] - above[1] < LEAST_SHARE:
            given = f"{homes['log_noise']}.process.log_noise: {[mean, deviation]}{whose}"
            limit = f"allowed: {LEAST_SHARE:.0%} or more of its law between those of t_min and T"
            yield f"{given} has hardly a noise level on the grid; {limit}"


def _kernel_problems(
    process: dict[str, Any], homes: dict[str, str], method: str, objective: str
) -> Iterator[str]:
    """The steps of the grid are none of single precision's, and none that the kernel cannot take.

    Args:
        process: with ``t_min`` below ``T``.
        homes: as for ``_process_problems``.
        method: whose process it is.
        objective: the method's.
    """
    kind = OBJECTIVES[objective].examples if objective in OBJECTIVES else None
    where = f"{homes['steps']}.process.steps: {process['steps']}"
    if kind == DATA and process["kernel"] == "euler":
        given = f"{homes['kernel']}.process.kernel: 'euler' with objective {objective} ({method})"
        yield f"{given}, one jump from the data; allowed: exponential"
    if kind != CHAIN:
        return
    shortest, longest = steps_of(process)
    if shortest < SHORTEST:
        given = f"have one of {shortest:.2g} of its time ({method})"
        yield f"{where} {given}; allowed: fewer, a wider law of log_noise, or a smaller t_min"
    if longest >= LONGEST and process["kernel"] == "euler":
        given = f"have one of {longest:.3g} with kernel euler ({method})"
        yield f"{where} {given}; allowed: steps below {LONGEST}, by more of them or a smaller T"


def fit_problems(key: str, drift: dict[str, Any], experiment: dict[str, Any]) -> Iterator[str]:
    """A mixture needs more points than components; an orbit needs a group, labels need classes."""
    symmetry = "symmetry" in experiment["dataset"]
    if (drift["fit"] == "orbit" or drift.get("symmetric")) and not symmetry:
        what = "fit: 'orbit'" if drift["fit"] == "orbit" else "symmetric: True"
        yield f"{key}.{what} without a symmetry; allowed: a dataset with symmetry"
    covariance = drift.get("covariance", "spherical")
    if drift["fit"] in ("labels", "orbit") and covariance != "spherical":
        yield f"{key}.covariance: {covariance!r} with fit {drift['fit']}; allowed: spherical"
    if drift["fit"] == "standard" and experiment.get("space") != "latent":
        yield f"{key}.fit: 'standard' in pixel space; allowed: other fits, or space: latent"
    if drift["fit"] == "labels":
        return
    if drift["fit"] == "orbit":
        for number in as_list(drift["n_components"]):
            if number % 2:
                yield f"{key}.n_components: {number} with fit orbit; allowed: even numbers"
    fewest, most = min(as_list(drift.get("n_components", 1))), min(experiment["n_train"]) // 2
    if fewest > most:
        limit = f"allowed: one of them up to half the smallest n_train, {most}"
        yield f"{key}.n_components: {fewest} components have too few points; {limit}"


def _objective_problems(
    key: str, method: str, settings: dict[str, Any], experiment: dict[str, Any]
) -> Iterator[str]:
    """What an objective asks of its drift, and of the chain and sampler built on it."""
    objective, stride = settings["objective"], settings.get("stride", 1)
    drift = experiment["drifts"][settings["drift"]]
    tuned = experiment.get("tuned", {}).get(method, {})
    kernel = own_process(experiment, settings, tuned)["kernel"]
    where = f"{key}.drifts.{settings['drift']}.covariance: {drift.get('covariance')!r} with"
    isotropic = f"allowed: {', '.join(ISOTROPIC)}"
    chain = objective in CHAIN_OBJECTIVES
    if objective != "none" and OBJECTIVES[objective].linear and drift["fit"] != "ou":
        ou = [name for name, other in experiment["drifts"].items() if other["fit"] == "ou"]
        linear = f"is not linear, as {objective} asks; {allowed(settings['drift'], ou)}"
        yield f"methods.{method}.drift: {settings['drift']!r} {linear}"
    if "known" in settings:
        if objective != "dsm":
            given = f"methods.{method}.known: {settings['known']!r} with objective {objective}"
            yield f"{given}; allowed: objective dsm"
        elif not FITS[experiment["drifts"][settings["known"]]["fit"]].mixture:
            fits = [n for n, other in experiment["drifts"].items() if "covariance" in other]
            yield unknown(f"methods.{method}.known", settings["known"], fits) + f" in {key}"
    sampler = settings.get("sampler", experiment["sampling"]["sampler"])
    if objective == "ndsm_flow" and sampler not in ODE_SAMPLERS:
        others = f"allowed: {', '.join(ODE_SAMPLERS)}"
        yield f"methods.{method}.sampler: {sampler!r} with objective ndsm_flow; {others}"
    if stride > 1 and not chain:
        others = f"allowed: 1, or objective {', '.join(CHAIN_OBJECTIVES)}"
        yield f"methods.{method}.stride: {stride} with objective {objective}; {others}"
    for name in {"weight", "sampler"} & settings.keys():
        if objective == "none":
            given = f"methods.{method}.{name}: {settings[name]} with objective none"
            yield f"{given}, which draws from the drift's law; allowed: nothing"
    if "alpha" in settings and objective != "ndsm_cv":
        given = f"methods.{method}.alpha: {settings['alpha']} with objective {objective}"
        yield f"{given}; allowed: objective ndsm_cv"
    if settings.get("equivariant") and not drift.get("symmetric"):
        others = f"allowed: a drift with symmetric true in {key}"
        yield f"methods.{method}.drift: {settings['drift']!r} with equivariant; {others}"
    if suits("exponential", drift) or objective == "none":
        return
    if chain and kernel == "exponential":
        yield f"{where} kernel exponential ({method}); {isotropic}, or kernel euler"
    if objective == "ndsm_jump":
        yield f"{where} objective ndsm_jump ({method}); {isotropic}"
    if sampler == "exponential":
        yield f"{where} sampler exponential ({method}); {isotropic}, or sampler adams or euler"
