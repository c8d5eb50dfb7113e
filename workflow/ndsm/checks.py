"""What a schema cannot say of a configuration: names that must exist, settings that contradict.

Each check yields one line per problem: the key, its value, what is allowed and, for a name, the
nearest match. Used by ``config`` alone.
"""

import difflib
from collections.abc import Iterable, Iterator
from math import isclose
from textwrap import shorten
from typing import Any

from ndsm.datasets import DATASETS, pool_size
from ndsm.metrics import METRICS, traits
from ndsm.names import CEILING, EXAMPLES, FLOOR, MATCH, SECONDS, UNTRAINED

GRADIENT_METRICS = ["objective_variance", "gradient_variance", "gradient_bias"]
SCORE_METRICS = ["score_error"]
TRAINED_METRICS = ["drift_over_training"]
CHAIN_OBJECTIVES = sorted(name for name, kind in EXAMPLES.items() if kind == "chain")
NONLINEAR = [*CHAIN_OBJECTIVES, "ndsm_jump"]  # those whose gradients are compared with dsm's
LINEAR = ["dsm", "flow_matching"]  # of data to N(0, I)
ODE_SAMPLERS = ["adams", "edm", "heun"]  # which follow the probability flow
# One within-component variance: what the exponential kernel, sampler and the long jump need.
ISOTROPIC = ["spherical", "tied"]


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def short(text: str) -> str:
    """The text on one line, without its end if it is long."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:60])
    return text if len(text) < 60 else f"{text[:59]}…"


def shown(value: Any) -> str:
    """A value as a message shows it."""
    return short(repr(value))


def allowed(value: Any, names: Iterable[Any]) -> str:
    """``allowed: a, b, c (did you mean b?)``."""
    names = [str(name) for name in names]
    near = difflib.get_close_matches(str(value)[:60], names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    listed = shorten(", ".join(names), 200, placeholder=" …") or "nothing"
    return f"allowed: {listed}{hint}"


def unknown(key: str, value: Any, names: Iterable[Any]) -> str:
    """The line for a name that does not exist."""
    return f"{key}: {shown(value)} is unknown; {allowed(value, names)}"


def experiment_problems(study: dict[str, Any]) -> Iterator[str]:
    """One line for each contradiction within an experiment."""
    for reserved in sorted({FLOOR, CEILING, "data"} & set(study["methods"])):
        yield f"methods.{reserved}: {reserved!r} stands for real data; allowed: other names"
    for name in study["methods"]:
        if name.endswith(UNTRAINED):
            stem = name.removesuffix(UNTRAINED)
            yield f"methods.{name}: the model of {stem} untrained has this name; allowed: others"
    for name, experiment in study["experiments"].items():
        key = f"experiments.{name}"
        yield from _dataset_problems(key, experiment, study.get("split", "test"))
        if experiment.get("space") == "latent":
            yield from _latent_problems(key, experiment)
        yield from _method_problems(key, experiment, study["methods"])


def _dataset_problems(key: str, experiment: dict[str, Any], split: str) -> Iterator[str]:
    """The dataset, its parameters, sizes taken from it, metrics that it allows."""
    name = experiment["dataset"]["name"]
    if name not in DATASETS:
        yield unknown(f"{key}.dataset.name", name, DATASETS)
        return
    dataset = DATASETS[name]
    parameters = ["name", *dataset.parameters]
    for parameter in experiment["dataset"]:
        if parameter not in parameters:
            yield unknown(f"{key}.dataset", parameter, parameters)
    there = pool_size(experiment["dataset"], split)
    for n in experiment["n_train"]:
        if n > there:
            yield f"{key}.n_train: {n} is more than {name} has; allowed: up to {there}"
    yield from _image_problems(key, experiment)
    there_is = traits(experiment)
    suited = [m for m, entry in METRICS.items() if not entry.asks or entry.asks in there_is]
    sampling = experiment["sampling"]
    if (images := sampling.get("decoded")) and experiment.get("space") != "latent":
        yield f"{key}.sampling.decoded: {images} in pixel space; allowed: nothing, or space: latent"
    elif images and images > sampling["samples"]:
        limit = f"allowed: up to sampling.samples, {sampling['samples']}"
        yield f"{key}.sampling.decoded: {images} is more than there are; {limit}"
    for metric in experiment["metrics"]:
        if metric not in suited:
            state = "does not suit " + name if metric in METRICS else "is unknown"
            yield f"{key}.metrics: {shown(metric)} {state}; {allowed(metric, suited)}"
    for metric in experiment.get("thresholds", {}):
        if metric not in experiment["metrics"] and "variant_of" not in experiment:
            yield unknown(f"{key}.thresholds", metric, experiment["metrics"])


def _latent_problems(key: str, experiment: dict[str, Any]) -> Iterator[str]:
    """What a latent space asks for: images, without their group, and a network for vectors."""
    dataset = experiment["dataset"]
    if dataset["name"] in DATASETS and not DATASETS[dataset["name"]].image:
        yield f"{key}.space: 'latent' with dataset {dataset['name']}; allowed: pixel, or images"
    if "symmetry" in dataset:
        yield f"{key}.space: 'latent' with a symmetry, which acts on pixels; allowed: pixel"
    if experiment["network"]["type"] == "unet":
        yield f"{key}.network.type: 'unet' in latent space; allowed: mlp"


def _image_problems(key: str, experiment: dict[str, Any]) -> Iterator[str]:
    """The proportions of the classes, and what the U-Net asks of its images."""
    shares = experiment["dataset"].get("shares", [1])
    if not isclose(total := sum(shares), 1, abs_tol=1e-6):
        yield f"{key}.dataset.shares: {shares} sum to {total:g}; allowed: a sum of 1"
    network, name = experiment["network"], experiment["dataset"]["name"]
    if network["type"] == "unet" and network["sees_drift"]:
        yield f"{key}.network.sees_drift: True with unet; allowed: False, or type mlp"
    if network["type"] == "unet" and not DATASETS[name].image:
        yield f"{key}.network.type: 'unet' with dataset {name}; allowed: mlp, or images"
    if network["type"] == "unet" and network["width"] % 8:
        yield f"{key}.network.width: {network['width']} with unet; allowed: a multiple of 8"


def _method_problems(
    key: str, experiment: dict[str, Any], methods: dict[str, Any]
) -> Iterator[str]:
    """Methods, the drifts that they name, and what these allow."""
    process, drifts = experiment["process"], experiment["drifts"]
    if process["t_min"] >= process["T"]:
        limit = f"allowed: less than T, {shown(process['T'])}"
        yield f"{key}.process.t_min: {shown(process['t_min'])} is too large; {limit}"
        return
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
            yield from _fit_problems(f"{key}.drifts.{name}", drifts[name], experiment)
        yield from _objective_problems(key, method, methods[method], experiment)
        yield from _own_problems(key, method, methods[method], experiment)


def _own_problems(
    key: str, method: str, settings: dict[str, Any], experiment: dict[str, Any]
) -> Iterator[str]:
    """What is a method's own, in place of the experiment's: its process, its tuned settings."""
    tuned = experiment.get("tuned", {}).get(method, {})
    process = experiment["process"] | settings.get("process", {}) | tuned.get("process", {})
    if process["t_min"] >= process["T"]:
        limit = f"allowed: less than T, {shown(process['T'])}"
        yield f"{key}.process.t_min: {shown(process['t_min'])} is too large for {method}; {limit}"
    stride, steps = settings.get("stride", 1), process["steps"]
    if stride > steps:
        limit = f"allowed: up to process.steps, {steps}"
        yield f"methods.{method}.stride: {stride} is more than the grid has; {limit}"
    if (
        stride > 1
        and process["kernel"] != "exponential"
        and settings["objective"] in CHAIN_OBJECTIVES
    ):
        others = f"allowed: 1, or kernel exponential in {key}"
        yield f"methods.{method}.stride: {stride} with kernel {process['kernel']}; {others}"
    for changes, where in ((settings, f"methods.{method}"), (tuned, f"{key}.tuned.{method}")):
        if settings["objective"] == "none" and (given := {"process", "training"} & changes.keys()):
            yield f"{where}.{min(given)}: is given with objective none; allowed: temperature"
        if settings["objective"] != "none" and "temperature" in changes:
            yield f"{where}.temperature: is given with a network; allowed: objective none"


def _fit_problems(key: str, drift: dict[str, Any], experiment: dict[str, Any]) -> Iterator[str]:
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
    fewest, smallest = min(as_list(drift.get("n_components", 1))), min(experiment["n_train"])
    if fewest > smallest:
        limit = f"allowed: one of them up to the smallest n_train, {smallest}"
        yield f"{key}.n_components: {fewest} components are more than points; {limit}"


def _objective_problems(
    key: str, method: str, settings: dict[str, Any], experiment: dict[str, Any]
) -> Iterator[str]:
    """What an objective asks of its drift, and of the chain and sampler built on it."""
    objective, stride = settings["objective"], settings.get("stride", 1)
    drift, process = experiment["drifts"][settings["drift"]], experiment["process"]
    kernel = (process | settings.get("process", {}))["kernel"]
    covariance = drift.get("covariance", "spherical")
    where = f"{key}.drifts.{settings['drift']}.covariance: {covariance!r} with"
    isotropic = f"allowed: {', '.join(ISOTROPIC)}"
    chain = objective in CHAIN_OBJECTIVES
    if objective in LINEAR and drift["fit"] != "ou":
        ou = [name for name, other in experiment["drifts"].items() if other["fit"] == "ou"]
        linear = f"is not linear, as {objective} asks; {allowed(settings['drift'], ou)}"
        yield f"methods.{method}.drift: {settings['drift']!r} {linear}"
    if "known" in settings:
        if objective != "dsm":
            given = f"methods.{method}.known: {settings['known']!r} with objective {objective}"
            yield f"{given}; allowed: objective dsm"
        elif experiment["drifts"][settings["known"]]["fit"] in ("ou", "standard"):
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
    if settings.get("equivariant") and not (drift["fit"] == "ou" and drift.get("symmetric")):
        others = f"allowed: a drift with fit ou and symmetric true in {key}"
        yield f"methods.{method}.drift: {settings['drift']!r} with equivariant; {others}"
    if covariance in ISOTROPIC or objective == "none":
        return
    if chain and kernel == "exponential":
        yield f"{where} kernel exponential ({method}); {isotropic}, or kernel euler"
    if objective == "ndsm_jump":
        yield f"{where} objective ndsm_jump ({method}); {isotropic}"
    if sampler == "exponential":
        yield f"{where} sampler exponential ({method}); {isotropic}, or sampler adams or euler"


def side_problems(study: dict[str, Any]) -> Iterator[str]:
    """The studies of gradients and of the forward process name what there is."""
    experiments = study["experiments"]
    for section in ("score", "gradients", "forward"):
        name = study.get(section, {}).get("experiment")
        if experiments.get(name, {}).get("space") == "latent":
            yield f"{section}.experiment: {name!r} is in latent space; allowed: space pixel"
    if score := study.get("score"):
        if score["experiment"] not in experiments:
            yield unknown("score.experiment", score["experiment"], experiments)
        else:
            own = study["methods"]
            there = [
                m
                for m in _trained(study, score["experiment"])
                if EXAMPLES[own[m]["objective"]] != "bridge"  # those learn a velocity
            ]
            for method in score["methods"]:
                if method not in there:
                    yield unknown("score.methods", method, there)
    for section in ("gradients", "forward"):
        if section not in study:
            continue
        name, drift = study[section]["experiment"], study[section]["drift"]
        if name not in experiments:
            yield unknown(f"{section}.experiment", name, experiments)
            continue
        fits = {other: fit["fit"] for other, fit in experiments[name]["drifts"].items()}
        if fits.get(drift, "ou") == "ou":
            yield unknown(f"{section}.drift", drift, [d for d, fit in fits.items() if fit != "ou"])
        if "ou" not in fits.values():
            yield f"{section}.experiment: {name!r} has no drift to compare with; allowed: fit: ou"
        if study[section]["n_train"] not in experiments[name]["n_train"]:
            sizes = experiments[name]["n_train"]
            yield unknown(f"{section}.n_train", study[section]["n_train"], sizes)


def _trained(study: dict[str, Any], experiment: str) -> list[str]:
    """The experiment's methods that have a network."""
    names = study["experiments"][experiment]["methods"]
    own = study["methods"]
    return [n for n in names if own[n]["objective"] != "none" and "untrained" not in own[n]]


def claim_problems(key: str, claim: dict[str, Any], study: dict[str, Any]) -> Iterator[str]:
    """A claim names what the study runs, and one thing to compare with."""
    if ("baseline" in claim) == ("at_most" in claim):
        given = "both" if "baseline" in claim else "neither"
        yield f"{key}: {given} of baseline, at_most ({claim['id']}); allowed: exactly one"
    metric = claim["metric"].removeprefix(MATCH)
    if metric.startswith(SECONDS):
        _, metric, threshold = f"{metric}:".split(":")[:3]
        bases = {n: e for n, e in study["experiments"].items() if "variant_of" not in e}
        for name in [*as_list(claim["experiment"]), *as_list(claim.get("baseline_experiment", []))]:
            there = bases.get(name, {}).get("thresholds", {}).get(metric, [])
            if threshold not in (known := [f"{value:g}" for value in there]):
                yield unknown(f"{key}.metric", claim["metric"], known) + f" in {name}"
    if claim["metric"].startswith((MATCH, *SECONDS)) and "at_most" in claim:
        given = f"{shown(claim['at_most'])} with {shown(claim['metric'])}"
        yield f"{key}.at_most: {given}; allowed: a baseline"
    if other := claim.get("baseline_experiment"):
        if other not in study["experiments"]:
            yield unknown(f"{key}.baseline_experiment", other, study["experiments"])
        elif claim.get("baseline") not in (there := study["experiments"][other]["methods"]):
            yield unknown(f"{key}.baseline", claim.get("baseline"), there) + f" in {other}"
    for name in as_list(claim["experiment"]):
        if name not in study["experiments"]:
            yield unknown(f"{key}.experiment", name, study["experiments"])
            continue
        experiment = study["experiments"][name]
        methods, sizes = experiment["methods"], experiment["n_train"]
        metrics = [*experiment["metrics"], *TRAINED_METRICS]
        if metric in TRAINED_METRICS:
            methods = _trained(study, name)
        if (score := study.get("score")) and score["experiment"] == name:
            metrics += SCORE_METRICS
            if metric in SCORE_METRICS:
                methods = [each for m in score["methods"] for each in (m, m + UNTRAINED)]
        if (gradients := study.get("gradients")) and gradients["experiment"] == name:
            metrics += GRADIENT_METRICS
            if metric in GRADIENT_METRICS:
                methods, sizes = NONLINEAR, [gradients["n_train"]]
        if metric not in metrics:
            yield unknown(f"{key}.metric", claim["metric"], metrics) + f" in {name}"
        named = [("method", method) for method in as_list(claim["method"])]
        if "baseline_experiment" not in claim:
            named += [("baseline", method) for method in as_list(claim.get("baseline", []))]
        for role, method in named:
            if method not in methods:
                yield unknown(f"{key}.{role}", method, methods) + f" in {name}"
        for n in as_list(claim.get("n_train", [])):
            if n not in sizes:
                yield unknown(f"{key}.n_train", n, sizes) + f" in {name}"
        if len(sizes) > 1 and "n_train" not in claim:
            yield f"{key}.n_train: is missing, but {name} has several; {allowed('', sizes)}"
