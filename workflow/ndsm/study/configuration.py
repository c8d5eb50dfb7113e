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

from ndsm.data.datasets import DATASETS
from ndsm.errors import Refused
from ndsm.method.registry import FITS, OBJECTIVES, SAMPLERS
from ndsm.study import own_study
from ndsm.study.claim_checks import claim_problems
from ndsm.study.experiment_checks import experiment_problems
from ndsm.study.messages import as_list, shown, unknown
from ndsm.study.methods import merge
from ndsm.study.schema_problems import schema_problems
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
    raw = _of_table(raw) if "data" in raw else raw
    schema = _with_claims(raw.get("claims"))
    _refuse(schema_problems(raw, schema))
    if "scale" in raw:
        raw = _scaled(raw)
        _refuse(schema_problems(raw, schema))
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
        _refuse(schema_problems(experiment, complete, f"experiments.{name}"))
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


def _of_table(raw: dict[str, Any]) -> dict[str, Any]:
    """The whole configuration of a study of a table; what its owner says is laid on the choices."""
    own = {key: SCHEMA["properties"][key] for key in own_study.KEYS}
    _refuse(schema_problems(raw, {"properties": own, "$defs": SCHEMA["$defs"]}))
    others = [*raw.get("experiments", {})]
    if others not in ([], [own_study.EXPERIMENT]):
        hint = f"allowed: study=own, or the one experiment {own_study.EXPERIMENT}"
        raise ConfigError(f"data: {shown(raw['data'])} with experiments of its own; {hint}")
    default = yaml.safe_load(study_file("default").read_text("utf-8"))
    try:
        return merge(own_study.settings(raw, default), raw)
    except Refused as problem:
        raise ConfigError(f"data: {problem}") from None


def _with_claims(claims: Any) -> dict[str, Any]:
    """The schema, with the ids of the study's own claims in place of the paper's."""
    if not isinstance(claims, dict):
        return SCHEMA
    return SCHEMA | {"$defs": SCHEMA["$defs"] | {"claim": {"enum": [*claims]}}}


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
