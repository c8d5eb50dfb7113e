"""Mutated configurations: each is refused in plain lines, or all that a dry run asks works."""

import copy
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conftest import ROOT, snakemake
from ndsm.artefacts import result_paths
from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.method.forward_process import grid_of
from ndsm.method.registry import OBJECTIVES
from ndsm.method.settings import ProcessSettings
from ndsm.study import configuration, experiment_checks, figure_list, job_settings, messages, plan
from ndsm.study.methods import is_trained
from ndsm.vocabulary import CEILING, FLOOR

STUDIES = ["workflow/studies/smoke.yaml", "config.yaml", "workflow/studies/mnist.yaml"]
RAW = {name: yaml.safe_load((ROOT / name).read_text()) for name in STUDIES}
WHOLE = ("aggregate", "claims", "figures")  # stages of one job
STAGES = (*plan.PLACES, "classifier", "score", "gradients", "forward", *WHOLE)
EXAMPLES = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

DAY = date(2025, 5, 24)  # as YAML reads 2025-05-24
NUMBERS = [-1, 0, 1, 2, 7, 18, 30, 50, 100, 10**6, 10**9, 10**12, 10**400]
NUMBERS += [-0.5, 0.0, 0.5, 1.0, 1e-300, 1e-9, 1e9, 1e308]
TEXTS = ["", " ", "a b", "a/b", "..", "a\nb", "dsm\n", "\u2028", "'\"", "{x}", "<x>", "x" * 999]
OTHERS = [math.nan, math.inf, None, True, False, b"\xff", DAY, datetime(2025, 5, 24)]
NESTS = [[], {}, [[]], [None], {"a": {"b": 1}}, {1: 2}, {None: None}, {"a\nb": 1}, {1, "a"}]
FIXED = st.one_of(*map(st.sampled_from, (NUMBERS, TEXTS, OTHERS, NESTS)))
JUNK = (FIXED | st.integers() | st.floats() | st.text(max_size=9)).map(copy.deepcopy)
KEYS = st.sampled_from([0, 1.5, None, True, DAY, *TEXTS]) | st.text()

Raw = dict[Any, Any]

# Changes of the smoke study that were once planned, to fail in a job or be misunderstood there.
SEEDS: list[dict[str, Any]] = [
    {"methods.ndsm_anti.stride": 21},
    {"defaults.process.steps": 14},
    {"defaults.training.evaluations": 1},
    {"defaults.drifts.gmm.n_components": [30]},
    {"defaults.drifts.orbit.n_components": 52},
    {"gradients.drift": "mixture"},
    {"forward.drift": "mixture"},
    {"gradients.drift": "labels"},
    {"gradients.drift": "orbit"},
    {"forward.drift": "vae_prior"},
    {"defaults.process.log_noise": [-10, 0.1]},
    {"defaults.process.log_noise": [0, 1e-9]},
    {"defaults.process.t_min": 3.9999999},
    {"defaults.process.T": 18},
    {"defaults.process.T": 40},
    {"methods.ndsm_cv_euler.process.steps": 5},
    {"methods.dsm.process": {"kernel": "euler"}},
    {"methods.edm.weight": 1e308},
    {"methods.gmm_tempered.temperature": 1e-300},
    {"score.noise": [1e300]},
    {"experiments.digits_latent.autoencoder.latent": 1},
    {"experiments.digits_latent.autoencoder.learning_rate": 1e9},
    {"experiments.digits_latent.autoencoder.kl": 1e308},
    {"verdict.resamples": 10**9},
    {"experiments.digits.seeds": 5, "primary.C9.baseline_experiment": "digits"}
    | {"primary.C9.baseline": "gmm_drift"},
    {"primary.C9.metric": "seconds_to:fid:1000:9"},
    {"primary.C5.metric": "points_saved:seconds_to:kl:9"},
    {"primary.C9.metric": "points_saved:fid"},
    {"primary.C9.metric": "best_budget:drift_over_training"},
]


def seeded(changes: dict[str, Any]) -> Raw:
    """The smoke study with some settings changed, by their paths."""
    raw: Raw = copy.deepcopy(RAW[STUDIES[0]])
    for path, value in changes.items():
        *steps, last = path.split(".")
        tree = raw
        for step in steps:
            tree = tree.setdefault(step, {})
        tree[last] = value
    return raw


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every place below a node of a tree: a mapping or list, and a key or index in it."""
    keys: Iterable[Any] = tree if isinstance(tree, dict) else ()
    keys = range(len(tree)) if isinstance(tree, list) else keys
    return [place for key in keys for place in [(tree, key), *places(tree[key])]]


@st.composite
def mutated(draw: st.DrawFn, name: str) -> Raw:
    """A study's configuration, changed at one to three places, for a claim or at a scale."""

    def pick(options: list[Any]) -> Any:
        return options[draw(st.integers(0, len(options) - 1))]

    raw: Raw = copy.deepcopy(RAW[name])
    raw |= pick([{}, {}, {}, {"claim": pick(raw["secondary"])["id"]}, {"scale": "full"}])
    for _ in range(pick([1, 1, 2, 3])):
        section = pick(list(raw))
        tree, key = pick([(raw, section), *places(raw[section])])
        alike = [(t, k) for t, k in places(raw) if type(t[k]) is type(tree[key])]
        other, name_there = pick(alike)
        found = copy.deepcopy(other[name_there])
        match pick(["found", "found", "found", "name", "junk", "delete", "rename", "add", "swap"]):
            case "found":
                tree[key] = found
            case "name":
                tree[key] = name_there
            case "junk":
                tree[key] = draw(JUNK)
            case "delete" if len(raw) > 1:
                del tree[key]
            case "rename" if isinstance(tree, dict):
                tree[pick([name_there, draw(KEYS)])] = tree.pop(key)
            case "add" if isinstance(tree, dict):
                tree[draw(KEYS)] = draw(JUNK)
            case "add":
                tree.append(pick([copy.deepcopy(tree[key]), found, draw(JUNK)]))
            case "swap":
                other[name_there] = copy.deepcopy(tree[key])
                tree[key] = found
    return raw


def refusal(raw: Raw) -> list[str]:
    """The lines with which a configuration is refused, each a plain one; none if it is accepted."""
    before = copy.deepcopy(raw)
    try:
        plan_of(configuration.resolve(raw))
    except configuration.ConfigError as refused:
        lines = str(refused).split("\n")
        for line in lines:
            assert re.fullmatch(r"error: \S.*: .*; (allowed|required).*", line), line
            assert line.isprintable() and len(line) <= 400, line
        return lines
    assert raw == before
    return []


def plan_of(study: dict[str, Any]) -> None:
    """Asks all that a dry run asks: every job, what it is told, its inputs, which others leave."""
    jobs = {stage: [{}] if stage in WHOLE else plan.jobs(study, stage) for stage in STAGES}
    left = {plan.place(study, stage, job) for stage in plan.PLACES for job in jobs[stage]}
    left |= {f"classifier/{job['images']}" for job in jobs["classifier"]}
    for stage, each in jobs.items():
        for job in each:
            told = job_settings.spec(
                study, stage, **{key: str(value) for key, value in job.items()}
            )
            json.dumps(told, sort_keys=True, allow_nan=False)
            doable(stage, told)
            assert set(inputs(study, stage, job)) <= left
    for path in [*left, study["study"], *(figure.name for figure in figure_list.figures(study))]:
        assert re.fullmatch(r"[A-Za-z0-9/_-]{1,200}", path), path


def doable(stage: str, told: dict[str, Any]) -> None:
    """A job can do what it is told, as far as the settings say."""
    process, kind, fit = told.get("process", {}), learns_from(told), told.get("fit", {})
    if kind == "chain":
        assert told["stride"] <= process["steps"]
        # More were slow to make, and are made alike.
        times = grid_of(ProcessSettings(**process | {"steps": min(process["steps"], 1000)}))
        assert (times.diff() > 0).all()
    assert kind != "data" or process["kernel"] == "exponential"
    if stage == "train":
        assert told["training"]["evaluations"] >= OBJECTIVES[told["objective"]].evaluations
    if stage == "gradients" or (stage == "drift" and process.get("kernel") == "exponential"):
        assert fit.get("covariance", "spherical") in ("spherical", "tied")
    if stage == "gradients":
        assert fit["fit"] in ("em", "orbit")
    if stage in ("drift", "gradients") and fit["fit"] in ("em", "orbit"):
        fewest = min([told["n_train"]] if "n_train" in told else [n for n, _ in told["replicas"]])
        assert 2 * min(messages.as_list(fit["n_components"])) <= fewest


def learns_from(told: dict[str, Any]) -> str | None:
    """What a job's objective learns from, if it has one."""
    objective = told.get("objective", "none")
    return OBJECTIVES[objective].examples if objective in OBJECTIVES else None


def inputs(study: dict[str, Any], stage: str, job: dict[str, Any]) -> Iterable[str]:
    """The places of a job's inputs, as the rules name them."""
    if stage in WHOLE:
        return gathered(study)
    experiment = job.get("experiment") or plan.example_of(study, job["images"])
    assert plan.source_of(study, experiment) in (None, "mnist")
    if stage in ("data", "classifier"):
        return []
    method, asked = job.get("method", FLOOR), [("data", job)]
    if stage == "forward":
        part = plan.forward_part(study)
        drifts = plan.forward_drifts(study).values()
        asked += [("drift", job | {"drift": drift, "part": part}) for drift in drifts]
        back = plan.forward_methods(study).values()
        asked += [("train", job | {"method": name, "part": part}) for name in back]
    if "part" in job:
        codes = plan.autoencoders(study, experiment, job["part"])
        asked += [("latent", job | {"codes": name}) for name in codes]
    if method not in (FLOOR, CEILING):
        own = study["methods"][method]
        asked += [("drift", job | {"drift": own[k]}) for k in ("drift", "known") if k in own]
    if stage != "train" and is_trained(study, method):
        asked.append(("train", job))
    if stage == "evaluate" and method != FLOOR:
        asked.append(("sample", job))
    found = [plan.place(study, *each) for each in asked]
    if stage == "evaluate" and configuration.is_image(study["experiments"][experiment]):
        found.append(f"classifier/{plan.images_of(study, experiment)}")
    return found


def gathered(study: dict[str, Any]) -> list[str]:
    """The places where the stages that gather results look for them: those of the plan."""
    own, found = GatheredStudy.model_validate(job_settings.spec(study, "aggregate")), []
    for stage in plan.PLACES:
        for job in (job for e in study["experiments"] for job in plan.own_jobs(study, stage, e)):
            found.append(str(result_paths.place(own, stage, *job.values()).with_suffix("")))
            assert found[-1] == plan.place(study, stage, job)
    return found


def examples(name: str, number: int) -> list[Raw]:
    """Mutated configurations, always the same."""
    drawn: list[Raw] = []

    @settings(EXAMPLES, max_examples=number, phases=[Phase.generate])
    @given(mutated(name))
    def draw(raw: Raw) -> None:
        drawn.append(raw)

    draw()
    return drawn


@pytest.mark.parametrize("name", STUDIES)
def test_a_mutated_study_is_refused_in_plain_lines_or_planned(name: str) -> None:
    outcomes: Counter[bool] = Counter()

    @settings(EXAMPLES, max_examples=250)
    @given(mutated(name))
    def check(raw: Raw) -> None:
        outcomes[bool(refusal(raw))] += 1

    check()
    assert min(outcomes[True], outcomes[False]) >= 25, outcomes


@pytest.mark.parametrize("changes", SEEDS, ids=str)
def test_what_once_failed_in_a_job_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(seeded(changes))


MISTAKES = [
    (experiment_checks, "method_problems", lambda *_: []),
    (configuration, "side_problems", lambda *_: []),
    (messages, "short", str),
]


@pytest.mark.parametrize(("module", "check", "instead"), MISTAKES, ids=["methods", "sides", "long"])
def test_a_check_that_is_gone_is_noticed(
    monkeypatch: pytest.MonkeyPatch, module: Any, check: str, instead: Any
) -> None:
    monkeypatch.setattr(module, check, instead)
    first = {"phases": [Phase.generate], "report_multiple_bugs": False}

    @settings(EXAMPLES, max_examples=5000, **first)
    @given(mutated(STUDIES[0]))
    def find(raw: Raw) -> None:
        refusal(raw)

    with pytest.raises((AssertionError, LookupError)):
        find()


def test_snakemake_refuses_and_plans_the_same(tree: Path) -> None:
    drawn = [raw for raw in examples(STUDIES[0], 80) if "experiments" in raw]
    accepted = [raw for raw in drawn if not refusal(raw) and raw != RAW[STUDIES[0]]]
    refused = [raw for raw in drawn if refusal(raw)]
    for raw in [*accepted[-5:], *refused[-3:]]:
        (tree / "my.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
        options = ("--dry-run", "--quiet", "--configfile", "my.yaml")
        said = snakemake(tree, *options, status=int(raw in refused)).stdout
        assert "Traceback" not in said
        assert [line for line in said.splitlines() if line.startswith("error")] == refusal(raw)
