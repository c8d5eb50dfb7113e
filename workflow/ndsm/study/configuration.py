"""The configuration of a study: found, merged with its defaults, and checked before any job starts.

Every problem is one line: the key, its value, what is allowed and, for a name, the nearest match.
Used by the Snakefile alone; a stage gets the part that it needs on its command line.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from ndsm.data.datasets import DATASETS
from ndsm.method.registry import FITS, OBJECTIVES, SAMPLERS
from ndsm.study.claim_checks import claim_problems
from ndsm.study.experiment_checks import experiment_problems
from ndsm.study.messages import allowed, as_list, short, shown, unknown
from ndsm.study.methods import merge
from ndsm.study.side_study_checks import SIDES, side_problems
from ndsm.vocabulary import UNTRAINED

WORKFLOW = Path(__file__).resolve().parents[2]
KEPT = "reference"  # of results/: what make reference keeps of studies


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration, with the names that the registries have."""
    own = Path(__file__).with_name("config.schema.yaml")  # a wheel has no other
    path = WORKFLOW / "schemas" / own.name
    found = yaml.safe_load((path if path.exists() else own).read_text("utf-8"))
    named = {"objective": ["none", *OBJECTIVES], "sampler": [*SAMPLERS], "fit": [*FITS]}
    for name, names in named.items():
        found["$defs"][name]["enum"] = names
    found["$defs"]["drift"]["allOf"] = [
        {"if": {"properties": {"fit": {"const": name}}}, "then": {"required": [*entry.asks]}}
        for name, entry in FITS.items()
    ]
    return found


SCHEMA = schema()


class ConfigError(SystemExit):
    """A configuration that cannot be used: one line for each problem.

    An exit, so that Snakemake ends with these lines and no traceback.
    """

    def __init__(self, *problems: str) -> None:
        """Each problem becomes a line of its own."""
        super().__init__("\n".join(f"error: {problem}" for problem in problems))


def _is_number(_: Any, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # so neither nan nor infinite


def _is_integer(_: Any, value: Any) -> bool:
    return isinstance(value, int) and _is_number(_, value)  # 5.0 is no number of seeds


_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


def refuse_encoding() -> None:
    """Refuses a locale in which files and texts of UTF-8 have other names, or cannot be read.

    Raises:
        ConfigError: its encoding is not UTF-8.
    """
    if (name := sys.getfilesystemencoding()) != "utf-8":
        remedy = "export PYTHONUTF8=1, then run the same command again"
        raise ConfigError(f"locale: its encoding is {name!r}; allowed: utf-8; {remedy}")


def study_file(study: Any, workflow: Path = WORKFLOW) -> Path:
    """Where a study is configured: config.yaml for ``default``, else workflow/studies/.

    Raises:
        ConfigError: there is no such study.
    """
    files = {path.stem: path for path in sorted((workflow / "studies").glob("*.yaml"))}
    files = {"default": workflow.parent / "config.yaml"} | files
    if not isinstance(study, str) or study not in files:
        own = "a study of your own is given by --configfile"
        raise ConfigError(f"{unknown('study', study, files)}; {own}")
    return files[study]


def resolve(raw: dict[str, Any]) -> dict[str, Any]:
    """The study's settings, each experiment complete with the defaults.

    Args:
        raw: the configuration as written.

    Raises:
        ConfigError: with one line for each problem.
    """
    _refuse(_schema_problems(raw, SCHEMA))
    if "scale" in raw:
        raw = _scaled(raw)
        _refuse(_schema_problems(raw, SCHEMA))
    if raw["study"] == KEPT:
        raise ConfigError(f"study: {KEPT!r} is the folder of what is kept; allowed: other names")
    if "mnist_dir" in raw:
        raw = raw | {"mnist_dir": os.path.expanduser(raw["mnist_dir"])}
        if not os.path.isdir(raw["mnist_dir"]):
            hint = "allowed: the folder of the four MNIST files, or nothing to download them"
            raise ConfigError(f"mnist_dir: {shown(raw['mnist_dir'])} is no folder; {hint}")
    defaults = raw.get("defaults", {})
    experiments = dict(_with_variants(raw["experiments"], defaults))
    complete = {"$defs": SCHEMA["$defs"], "$ref": "#/$defs/complete"}
    for name, experiment in experiments.items():
        _refuse(_schema_problems(experiment, complete, f"experiments.{name}"))
    study = {key: value for key, value in raw.items() if key not in ("defaults", "scales")}
    study |= {"experiments": experiments}
    bases = {name: e for name, e in experiments.items() if "variant_of" not in e}
    for checked in (bases, experiments):  # so that one mistake is not said once for each variant
        _refuse(experiment_problems(study | {"experiments": checked}))
    study = _with_nulls(study)
    _refuse(side_problems(study))
    for key, claim in claims_of(study):
        for metric in as_list(claim["metric"]):
            _refuse(claim_problems(key, claim | {"metric": metric}, study))
    return _for_claim(study, raw["claim"]) if "claim" in raw else study


def _with_variants(
    raw: dict[str, Any], defaults: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each experiment, complete with the defaults, and after it its variants, named after it.

    Raises:
        ConfigError: a variant of a variant, or one with the name of an experiment.
    """
    taken = set(raw)
    for name, settings in raw.items():
        whole = merge(defaults, settings)
        variants = whole.pop("variants", {})
        yield name, whole
        for variant, changes in variants.items():
            key, full = f"experiments.{name}.variants.{variant}", f"{name}_{variant}"
            if full in taken:
                raise ConfigError(f"{key}: {full!r} is an experiment; allowed: other names")
            if "variants" in changes:
                raise ConfigError(f"{key}.variants: a variant of a variant; allowed: none")
            taken.add(full)
            yield full, merge(whole, changes) | {"variant_of": name}


def _with_nulls(study: dict[str, Any]) -> dict[str, Any]:
    """The study with every method's null: after each that has a network its model untrained.

    A search for settings (``split: validation``) has none, and variants have none: what they vary
    has them.
    """
    if study.get("split") == "validation":
        return study

    def beside(name: str) -> list[str]:
        return [name, name + UNTRAINED] if study["methods"][name]["objective"] != "none" else [name]

    methods = {
        name: own | {"untrained": True} if name != method else own
        for method, own in study["methods"].items()
        for name in beside(method)
    }
    experiments = {
        name: e
        if "variant_of" in e
        else e | {"methods": [each for method in e["methods"] for each in beside(method)]}
        for name, e in study["experiments"].items()
    }
    return study | {"methods": methods, "experiments": experiments}


def _scaled(raw: dict[str, Any]) -> dict[str, Any]:
    """The configuration at the scale that it names, as a study of its own."""
    scales = raw.get("scales", {})
    if raw["scale"] not in scales:
        raise ConfigError(unknown("scale", raw["scale"], scales))
    return merge(raw, scales[raw["scale"]]) | {"study": f"{raw['study']}_{raw['scale']}"}


def claims_of(study: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The primary and the secondary comparisons of a study, each with its key and its id."""
    for id_, claim in study.get("primary", {}).items():
        yield f"primary.{id_}", claim | {"id": id_}
    for i, claim in enumerate(study.get("secondary", [])):
        yield f"secondary.{i}", claim


def _for_claim(study: dict[str, Any], claim: str) -> dict[str, Any]:
    """The study with the experiments of one claim alone."""
    claims = [each for _, each in claims_of(study) if each["id"] == claim]
    names = {name for each in claims for name in as_list(each["experiment"])}
    names |= {each["baseline_experiment"] for each in claims if "baseline_experiment" in each}
    if not names:
        there = sorted({each["id"] for _, each in claims_of(study)})
        raise ConfigError(unknown("claim", claim, there))
    names |= {study["experiments"][name].get("variant_of", name) for name in names}
    kept = {
        name: e
        for name, e in study["experiments"].items()
        if name in names or e.get("variant_of") in names
    }
    gone = {side for side in SIDES if study.get(side, {}).get("experiment") not in names}
    rest = {key: value for key, value in study.items() if key not in gone}
    secondary = [each for each in study.get("secondary", []) if each["id"] == claim]
    primary = {id_: each for id_, each in study.get("primary", {}).items() if id_ == claim}
    return rest | {"experiments": kept, "primary": primary, "secondary": secondary}


def is_image(experiment: dict[str, Any]) -> bool:
    """Whether an experiment's data are images, and so need the evaluation classifier."""
    return DATASETS[experiment["dataset"]["name"]].image


def _refuse(problems: Iterable[str]) -> None:
    if distinct := dict.fromkeys(problems):
        raise ConfigError(*distinct)


def _schema_problems(instance: Any, schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """One line for each place where ``instance``, found at the key ``prefix``, departs."""
    errors = _Validator(schema).iter_errors(instance)
    for error in sorted(errors, key=lambda error: [str(step) for step in error.absolute_path]):
        steps = [prefix, *map(step, error.absolute_path)]
        yield from _explain(error, ".".join(filter(None, steps)))


def _explain(error: ValidationError, key: str) -> Iterator[str]:
    """The lines for one departure from the schema, at ``key``."""
    value, rule, said = error.instance, error.validator_value, shown(error.instance)
    match error.validator:
        case "additionalProperties":
            known = error.schema["properties"]
            for name in [name for name in value if name not in known]:
                path = ".".join(filter(None, [key, step(name)]))
                given = f"{shown(value[name])} is given to no known key"
                yield f"{path}: {given}; {allowed(name, known)}"
        case "required":
            missing = next(name for name in rule if repr(name) in error.message)
            path = f"{key}.{missing}" if key else missing
            yield f"{path}: is missing; required beside it: {', '.join(rule)}"
        case "enum":
            yield unknown(key, value, rule)
        case "minimum":
            yield f"{key}: {said} is too small; allowed: {rule} or more"
        case "exclusiveMinimum":
            yield f"{key}: {said} is too small; allowed: more than {rule}"
        case "maximum":
            yield f"{key}: {said} is too large; allowed: {rule} or less"
        case "exclusiveMaximum":
            yield f"{key}: {said} is too large; allowed: less than {rule}"
        case "type":
            number = isinstance(value, str) and not {"integer", "number"}.isdisjoint(as_list(rule))
            hint = "; YAML reads 1e3 as text, 1.0e+3 as a number" if number else ""
            yield f"{key}: {said} is of the wrong type; allowed: {_kinds(rule)}{hint}"
        case "uniqueItems":
            twice = next(item for i, item in enumerate(value) if item in value[:i])
            yield f"{key}: {shown(twice)} is there twice in {said}; allowed: each once"
        case "minItems" | "minProperties":
            yield f"{key}: {said} is too short; allowed: {rule} entries or more"
        case "maxItems":
            yield f"{key}: {said} is too long; allowed: {rule} entries or fewer"
        case "pattern":
            yield f"{key}: {said} is no name; allowed: up to 60 letters, digits, - and _"
        case _:
            yield f"{key}: {said} is not allowed; allowed: {error.validator} {short(str(rule))}"


def step(name: Any) -> str:
    """A key as the path to it shows it."""
    plain = isinstance(name, str) and name and name == name.strip()
    return short(name if plain else repr(name))


def _kinds(rule: Any) -> str:
    return " or ".join({"object": "a mapping", "array": "a list"}.get(k, k) for k in as_list(rule))
