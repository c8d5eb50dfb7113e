"""The configuration of a study: found, merged with its defaults, and checked before any job starts.

Every problem is one line: the key, its value, what is allowed and, for a name, the nearest match.
Used by the Snakefile alone; a stage gets the part that it needs on its command line.
"""

import difflib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from ndsm.datasets import DATASETS, pool_size
from ndsm.metrics import METRICS

WORKFLOW = Path(__file__).resolve().parents[1]
SCHEMA = yaml.safe_load((WORKFLOW / "schemas" / "config.schema.yaml").read_text())

OBJECTIVES = SCHEMA["properties"]["methods"]["additionalProperties"]["properties"]["objective"]
NONLINEAR = [name for name in OBJECTIVES["enum"] if name.startswith("ndsm")]
GRADIENT_METRICS = ["objective_variance", "gradient_variance", "gradient_bias"]
SCORE_METRICS = ["score_error"]
TRAINED_METRICS = ["drift_over_training"]
MATCH = "size_to_match:"
CHAIN_OBJECTIVES = {"ndsm", "ndsm_cv", "ndsm_anti"}
# One within-component variance: what the exponential kernel, sampler and the long jump need.
ISOTROPIC = {"spherical", "tied"}


class ConfigError(SystemExit):
    """A configuration that cannot be used: one line for each problem.

    An exit, so that Snakemake ends with these lines and no traceback.
    """

    def __init__(self, *problems: str) -> None:
        """Each problem becomes a line of its own."""
        super().__init__("\n".join(f"error: {problem}" for problem in problems))


def _is_number(_: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(_: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # 5.0 is no number of seeds


_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


def study_file(study: str, workflow: Path = WORKFLOW) -> Path:
    """Where a study is configured: config.yaml for ``default``, else workflow/studies/.

    Raises:
        ConfigError: there is no such study.
    """
    files = {path.stem: path for path in sorted((workflow / "studies").glob("*.yaml"))}
    files = {"default": workflow.parent / "config.yaml"} | files
    if study not in files:
        raise ConfigError(_unknown("study", study, files))
    return files[study]


def resolve(raw: dict[str, Any]) -> dict[str, Any]:
    """The study's settings, each experiment complete with the defaults.

    Args:
        raw: the configuration as written.

    Raises:
        ConfigError: with one line for each problem.
    """
    _refuse(_schema_problems(raw, SCHEMA))
    defaults = raw.get("defaults", {})
    experiments = {
        name: merge(defaults, experiment) for name, experiment in raw["experiments"].items()
    }
    complete = {"$defs": SCHEMA["$defs"], "$ref": "#/$defs/complete"}
    for name, experiment in experiments.items():
        _refuse(_schema_problems(experiment, complete, f"experiments.{name}"))
    study = {key: value for key, value in raw.items() if key != "defaults"}
    study |= {"experiments": experiments}
    _refuse(_experiment_problems(study))
    _refuse(_side_problems(study))
    for i, claim in enumerate(study.get("claims", [])):
        for metric in as_list(claim["metric"]):
            _refuse(_claim_problems(f"claims.{i}", claim | {"metric": metric}, study))
    return study


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it: mappings key by key, anything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def is_image(experiment: dict[str, Any]) -> bool:
    """Whether an experiment's data are images, and so need the evaluation classifier."""
    return DATASETS[experiment["dataset"]["name"]].image


def _refuse(problems: Iterable[str]) -> None:
    if distinct := dict.fromkeys(problems):
        raise ConfigError(*distinct)


def _allowed(value: Any, names: Iterable[str]) -> str:
    """``allowed: a, b, c (did you mean b?)``."""
    names = [str(name) for name in names]
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"allowed: {', '.join(names)}{hint}"


def _unknown(key: str, value: Any, names: Iterable[str]) -> str:
    return f"{key}: {value!r} is unknown; {_allowed(value, names)}"


def _schema_problems(instance: Any, schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """One line for each place where ``instance``, found at the key ``prefix``, departs."""
    errors = _Validator(schema).iter_errors(instance)
    for error in sorted(errors, key=lambda error: [str(step) for step in error.absolute_path]):
        steps = [prefix, *map(str, error.absolute_path)]
        yield from _explain(error, ".".join(filter(None, steps)))


def _explain(error: ValidationError, key: str) -> Iterator[str]:
    """The lines for one departure from the schema, at ``key``."""
    value, rule = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]
            for name in value.keys() - known.keys():
                path = f"{key}.{name}" if key else str(name)
                yield f"{path}: {value[name]!r} is given to no known key; {_allowed(name, known)}"
        case "required":
            missing = next(name for name in rule if repr(name) in error.message)
            path = f"{key}.{missing}" if key else missing
            yield f"{path}: is missing; required beside it: {', '.join(rule)}"
        case "enum":
            yield _unknown(key, value, rule)
        case "minimum":
            yield f"{key}: {value!r} is too small; allowed: {rule} or more"
        case "exclusiveMinimum":
            yield f"{key}: {value!r} is too small; allowed: more than {rule}"
        case "exclusiveMaximum":
            yield f"{key}: {value!r} is too large; allowed: less than {rule}"
        case "type":
            hint = "; YAML reads 1e3 as text, 1.0e+3 as a number" if isinstance(value, str) else ""
            yield f"{key}: {value!r} is of the wrong type; allowed: {_kinds(rule)}{hint}"
        case "uniqueItems":
            twice = next(item for i, item in enumerate(value) if item in value[:i])
            yield f"{key}: {twice!r} is there twice in {value!r}; allowed: each once"
        case "minItems" | "minProperties":
            yield f"{key}: {value!r} is too short; allowed: {rule} entries or more"
        case "pattern":
            yield f"{key}: {value!r} is no name; allowed: letters, digits, - and _"
        case _:
            yield f"{key}: {value!r}: {error.message}"


def _kinds(rule: Any) -> str:
    return " or ".join({"object": "a mapping", "array": "a list"}.get(k, k) for k in as_list(rule))


def _experiment_problems(study: dict[str, Any]) -> Iterator[str]:
    """One line for each contradiction within an experiment."""
    for reserved in sorted({"real", "data"} & set(study["methods"])):
        yield f"methods.{reserved}: {reserved!r} stands for held-out data; allowed: other names"
    for name, experiment in study["experiments"].items():
        key = f"experiments.{name}"
        yield from _dataset_problems(key, experiment)
        yield from _method_problems(key, experiment, study["methods"])


def _dataset_problems(key: str, experiment: dict[str, Any]) -> Iterator[str]:
    """The dataset, its parameters, sizes taken from it, metrics that it allows."""
    name = experiment["dataset"]["name"]
    if name not in DATASETS:
        yield _unknown(f"{key}.dataset.name", name, DATASETS)
        return
    dataset = DATASETS[name]
    parameters = ["name", *dataset.parameters]
    for parameter in experiment["dataset"]:
        if parameter not in parameters:
            yield _unknown(f"{key}.dataset", parameter, parameters)
    there = pool_size(experiment["dataset"])
    for n in experiment["n_train"]:
        if n > there:
            yield f"{key}.n_train: {n} is more than {name} has; allowed: up to {there}"
    allowed = [m for m, entry in METRICS.items() if not entry.asks or getattr(dataset, entry.asks)]
    for metric in experiment["metrics"]:
        if metric not in allowed:
            state = "does not suit " + name if metric in METRICS else "is unknown"
            yield f"{key}.metrics: {metric!r} {state}; {_allowed(metric, allowed)}"


def _method_problems(
    key: str, experiment: dict[str, Any], methods: dict[str, Any]
) -> Iterator[str]:
    """Methods, the drifts that they name, and what these allow."""
    process, drifts = experiment["process"], experiment["drifts"]
    if process["t_min"] >= process["T"]:
        limit = f"allowed: less than T, {process['T']}"
        yield f"{key}.process.t_min: {process['t_min']} is too large; {limit}"
    for method in experiment["methods"]:
        if method not in methods:
            yield _unknown(f"{key}.methods", method, methods)
        elif (name := methods[method]["drift"]) not in drifts:
            yield _unknown(f"methods.{method}.drift", name, drifts) + f" in {key}"
        else:
            yield from _fit_problems(f"{key}.drifts.{name}", drifts[name], experiment)
            yield from _objective_problems(key, method, methods[method], experiment)


def _fit_problems(key: str, drift: dict[str, Any], experiment: dict[str, Any]) -> Iterator[str]:
    """A mixture needs more points than components."""
    fewest, smallest = min(as_list(drift.get("n_components", 1))), min(experiment["n_train"])
    if fewest > smallest:
        limit = f"allowed: one of them up to the smallest n_train, {smallest}"
        yield f"{key}.n_components: {fewest} components are more than points; {limit}"


def _objective_problems(
    key: str, method: str, settings: dict[str, Any], experiment: dict[str, Any]
) -> Iterator[str]:
    """What an objective asks of its drift, and of the chain and sampler built on it."""
    objective, stride = settings["objective"], settings.get("stride", 1)
    drift, kernel = experiment["drifts"][settings["drift"]], experiment["process"]["kernel"]
    covariance = "spherical" if drift["fit"] == "ou" else drift["covariance"]
    where = f"{key}.drifts.{settings['drift']}.covariance: {covariance!r} with"
    allowed = f"allowed: {', '.join(sorted(ISOTROPIC))}"
    chain = objective in CHAIN_OBJECTIVES
    if objective == "dsm" and drift["fit"] != "ou":
        ou = [name for name, other in experiment["drifts"].items() if other["fit"] == "ou"]
        linear = _allowed(settings["drift"], ou)
        yield f"methods.{method}.drift: {settings['drift']!r} is not linear, as dsm asks; {linear}"
    if stride > 1 and not chain:
        others = f"allowed: 1, or objective {', '.join(sorted(CHAIN_OBJECTIVES))}"
        yield f"methods.{method}.stride: {stride} with objective {objective}; {others}"
    if stride > 1 and chain and kernel != "exponential":
        others = f"allowed: 1, or kernel exponential in {key}"
        yield f"methods.{method}.stride: {stride} with kernel {kernel}; {others}"
    if covariance in ISOTROPIC or objective == "none":
        return
    if chain and kernel == "exponential":
        yield f"{where} kernel exponential ({method}); {allowed}, or kernel euler"
    if objective == "ndsm_jump":
        yield f"{where} objective ndsm_jump ({method}); {allowed}"
    if experiment["sampling"]["sampler"] == "exponential":
        yield f"{where} sampler exponential ({method}); {allowed}, or sampler heun or euler"


def _side_problems(study: dict[str, Any]) -> Iterator[str]:
    """The studies of gradients and of the forward process name what there is."""
    experiments = study["experiments"]
    if score := study.get("score"):
        if score["experiment"] not in experiments:
            yield _unknown("score.experiment", score["experiment"], experiments)
        else:
            there = _trained(study, score["experiment"])
            for method in score["methods"]:
                if method not in there:
                    yield _unknown("score.methods", method, there)
    for section in ("gradients", "forward"):
        if section not in study:
            continue
        name, drift = study[section]["experiment"], study[section]["drift"]
        if name not in experiments:
            yield _unknown(f"{section}.experiment", name, experiments)
            continue
        fits = {other: fit["fit"] for other, fit in experiments[name]["drifts"].items()}
        if fits.get(drift, "ou") == "ou":
            yield _unknown(f"{section}.drift", drift, [d for d, fit in fits.items() if fit != "ou"])
        if "ou" not in fits.values():
            yield f"{section}.experiment: {name!r} has no drift to compare with; allowed: fit: ou"
        if study[section]["n_train"] not in experiments[name]["n_train"]:
            sizes = experiments[name]["n_train"]
            yield _unknown(f"{section}.n_train", study[section]["n_train"], sizes)


def _trained(study: dict[str, Any], experiment: str) -> list[str]:
    """The experiment's methods that have a network."""
    names = study["experiments"][experiment]["methods"]
    return [name for name in names if study["methods"][name]["objective"] != "none"]


def _claim_problems(key: str, claim: dict[str, Any], study: dict[str, Any]) -> Iterator[str]:
    """A claim names what the study runs, and one thing to compare with."""
    if ("baseline" in claim) == ("at_most" in claim):
        given = "both" if "baseline" in claim else "neither"
        yield f"{key}: {given} of baseline, at_most ({claim['id']}); allowed: exactly one"
    metric = claim["metric"].removeprefix(MATCH)
    if claim["metric"].startswith(MATCH) and "at_most" in claim:
        yield f"{key}.at_most: {claim['at_most']} with {claim['metric']}; allowed: a baseline"
    for name in as_list(claim["experiment"]):
        if name not in study["experiments"]:
            yield _unknown(f"{key}.experiment", name, study["experiments"])
            continue
        experiment = study["experiments"][name]
        methods, sizes = experiment["methods"], experiment["n_train"]
        metrics = [*experiment["metrics"], *TRAINED_METRICS]
        if metric in TRAINED_METRICS:
            methods = _trained(study, name)
        if (score := study.get("score")) and score["experiment"] == name:
            metrics += SCORE_METRICS
            if metric in SCORE_METRICS:
                methods = score["methods"]
        if (gradients := study.get("gradients")) and gradients["experiment"] == name:
            metrics += GRADIENT_METRICS
            if metric in GRADIENT_METRICS:
                methods, sizes = NONLINEAR, [gradients["n_train"]]
        if metric not in metrics:
            yield _unknown(f"{key}.metric", claim["metric"], metrics) + f" in {name}"
        for method in as_list(claim["method"]) + as_list(claim.get("baseline", [])):
            if method not in methods:
                role = "baseline" if method == claim.get("baseline") else "method"
                yield _unknown(f"{key}.{role}", method, methods) + f" in {name}"
        for n in as_list(claim.get("n_train", [])):
            if n not in sizes:
                yield _unknown(f"{key}.n_train", n, sizes) + f" in {name}"
