"""What is a method's own: its settings, what of them is refused, its untrained model."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from changed import DELETED, SMOKE, changed, refusal
from ndsm.artefacts import result_paths
from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.study import configuration, job_settings, plan
from ndsm.study.methods import is_trained, null_of, settings_of

OWN = [
    # names
    ("methods.dsm_untrained", {"objective": "dsm", "drift": "ou"}, r"methods.dsm_untrained: .*"),
    ("methods.a_untrained", {"objective": "none", "drift": "ou"}, r"methods.a_untrained: .*others"),
    ("methods.data", {"objective": "none", "drift": "ou"}, r"methods.data: 'data' stands for real"),
    ("methods.dsm.untrained", True, r"methods.dsm.untrained: True is given to no known key"),
    ("split", "test_set", r"split: 'test_set' is unknown; allowed: test, validation"),
    # the drifts
    ("methods.dsm_mixture.known", "gm", r"methods.dsm_mixture.known: 'gm' .*did you mean 'gmm'"),
    ("methods.dsm_mixture.known", "ou", r"known: 'ou' is unknown; allowed: orbit, gmm, mixture"),
    ("methods.dsm_mixture.known", "vae_prior", r"known: 'vae_prior' is unknown; allowed: orbit"),
    ("methods.ndsm_flow.known", "gmm", r"known: 'gmm' with objective ndsm_flow; allowed: .* dsm$"),
    ("methods.gmm.known", "gmm", r"known: 'gmm' with objective none; allowed: objective dsm"),
    ("methods.flow_matching.drift", "gmm", r"flow_matching.drift: 'gmm' is not linear, .*: ou"),
    # the process
    (
        "methods.ndsm_flow.process",
        {"t_min": 5},
        r"ndsm_flow.process.t_min: 5 is too large for ndsm_flow; .* T, 4.0$",
    ),
    ("methods.dsm.process", {"T": 1e-3}, r"process.t_min: 0.002 is too large for dsm; .* 0.001"),
    ("methods.dsm.process", {"steps": 1}, r"methods.dsm.process.steps: 1 is too small; .* 2 or"),
    ("methods.dsm.process", {"step": 9}, r"dsm.process.step: 9 is given .*did you mean 'steps'"),
    ("methods.ndsm_anti.stride", 21, r"ndsm_anti.stride: 21 is more than the grid .*, 20$"),
    ("methods.ndsm_anti.process", {"steps": 9}, r"stride: 15 is more than the grid has; .*, 9$"),
    ("methods.ndsm_anti.process", {"kernel": "euler"}, r"stride: 15 with kernel euler; allowed: 1"),
    ("methods.ndsm_flow.stride", 2, r"ndsm_flow.stride: 2 with objective ndsm_flow; allowed: 1,"),
    ("methods.ndsm_flow.sampler", "euler", r"sampler: 'euler' with .*allowed: adams, edm, heun$"),
    # the training
    ("methods.dsm.training", {"evaluations": 9}, r"training.evaluations: 9 is given to no known"),
    ("methods.dsm.training", {"ema": 0.5}, r"methods.dsm.training.ema: 0.5 .* less than 0.5"),
    ("methods.dsm.training", {"pool": 0}, r"methods.dsm.training.pool: 0 is too small; .* 1 or"),
    ("defaults.training.pool", DELETED, r"training.pool: is missing"),
    ("defaults.network.sees_drift", DELETED, r"network.sees_drift: is missing"),
    # without a network
    ("methods.gmm.training", {"batch": 9}, r"methods.gmm.training: is given with objective none;"),
    ("methods.gmm.process", {"T": 9}, r"methods.gmm.process: .* none; allowed: temperature$"),
    ("methods.dsm.temperature", 0.5, r"dsm.temperature: is given with a network; .*: objective n"),
    ("methods.gmm.temperature", 0, r"methods.gmm.temperature: 0 is too small; .* 0.001 or more$"),
    ("experiments.digits_imbalance.network.sees_drift", True, r"sees_drift: True with unet; .* Fa"),
    # what the search found
    ("experiments.digits.tuned", {"dsmm": {}}, r"digits.tuned: 'dsmm' is unknown; .*'dsm'"),
    (
        "experiments.weighted_modes.tuned.gmm",
        {"training": {"batch": 9}},
        r"weighted_modes.tuned.gmm.training: is given with objective none; allowed: temperature",
    ),
    (
        "experiments.weighted_modes.tuned.dsm.temperature",
        0.5,
        r"weighted_modes.tuned.dsm.temperature: is given with a network; allowed: objective none",
    ),
    (
        "experiments.weighted_modes.tuned.dsm.process.t_min",
        4,
        r"weighted_modes.tuned.dsm.process.t_min: 4 is too large for dsm; .* less than T, 4.0",
    ),
    (
        "experiments.weighted_modes.tuned.dsm.training.evaluations",
        9,
        r"tuned.dsm.training.evaluations: 9 is given to no known key; allowed: batch, learning",
    ),
    ("experiments.weighted_modes.tuned.dsm.stride", 3, r"tuned.dsm.stride: 3 is given to no known"),
    ("experiments.weighted_modes.tuned.gmm", {"weight": 1}, r"tuned.gmm.weight: .* objective none"),
    (
        "experiments.weighted_modes.tuned.ndsm_anti",
        {"training": {"batch": 10**6}},
        r"weighted_modes.training.evaluations: 40 make no step of ndsm_anti, .* batch is 1000000",
    ),
    (
        "experiments.weighted_modes.training",
        {"evaluations": 1},
        r"training.evaluations: 1 make no step of ndsm_cv_euler, whose batch is \d+; allowed: more",
    ),
    ("methods.dsm.process", {"T": 3.9}, r"dsm.process.T: 3.9 is too small; allowed: from .* 4.0$"),
    ("methods.dsm.process", {"T": 500}, r"dsm.process.T: 500 is too large; allowed: 10 or less"),
    ("methods.dsm.process", {"t_min": 1e-99}, r"t_min: 1e-99 is too small; allowed: 1e-09 or more"),
    ("methods.dsm.process", {"log_noise": [50, 0.1]}, r"dsm.process.log_noise: .50, 0.1. for dsm"),
    ("methods.edm.process.log_noise", [-80, 0.5], r"edm.process.log_noise: .-80, 0.5. for edm has"),
    ("methods.flow_matching.process", {"T": 5}, r"flow_matching.process: is given with objective"),
    (
        "experiments.weighted_modes.tuned",
        {"ndsm_anti": {"process": {"kernel": "euler"}}},
        r"methods.ndsm_anti.stride: 15 with kernel euler; allowed: 1",
    ),
    # the samples
    (
        "experiments.digits.sampling",
        {"decoded": 9},
        r"digits.sampling.decoded: 9 in pixel space; .*",
    ),
    ("experiments.digits_latent.sampling.decoded", 201, r"decoded: 201 is more .*samples, 200$"),
    ("experiments.digits_latent.sampling.decoded", 1, r"sampling.decoded: 1 is too small"),
    # what there is to measure
    ("experiments.digits.metrics", ["nll"], r"digits.metrics: 'nll' does not suit digits"),
    ("experiments.digits.metrics", ["mode_shape"], r"metrics: 'mode_shape' does not suit digits"),
    ("experiments.clusters16.metrics", ["kid"], r"metrics: 'kid' does not suit clusters16"),
    (
        "experiments.clusters16",
        SMOKE["experiments"]["clusters16"] | {"dataset": {"name": "pinwheel"}, "metrics": ["kl"]},
        r"metrics: 'kl' does not suit pinwheel",
    ),
    (
        "experiments.digits.metrics",
        ["codes_energy_distance"],
        r"metrics: 'codes_energy_distance' does not suit digits",
    ),
    ("score.methods", ["ndsm_flow"], r"score.methods: 'ndsm_flow' is unknown; allowed: dsm, "),
    ("score.methods", ["flow_matching"], r"score.methods: 'flow_matching' is unknown"),
    ("score.methods", ["dsm_untrained"], r"score.methods: 'dsm_untrained' is unknown"),
    (
        "secondary.1.method",
        "dsm_untrained",
        r"secondary.1.method: 'dsm_untrained' is unknown; .*: dsm,",
    ),
]


@pytest.mark.parametrize(("key", "value", "line"), OWN, ids=str)
def test_what_a_method_cannot_have_is_refused_in_one_line(key: str, value: Any, line: str) -> None:
    lines = refusal(changed(key, value))
    assert any(re.search(f"^error: (.*\\.)?{line}", said) for said in lines), lines
    assert len(lines) <= (len(SMOKE["experiments"]) * 3 if "defaults" in key else 3)


def search(**changes: Any) -> dict[str, Any]:
    """The smoke study's plane with a validation split, some of its settings changed."""
    raw = copy.deepcopy(SMOKE) | {"split": "validation", "primary": {}, "secondary": []}
    for side in ("score", "gradients", "forward"):
        del raw[side]
    raw["experiments"] = {"weighted_modes": raw["experiments"]["weighted_modes"] | changes}
    return raw


def test_a_validation_split_has_fewer_points_to_train_on() -> None:
    """Of 500 it leaves 334."""
    study = configuration.resolve(search(n_train=[334]))
    assert job_settings.spec(study, "data", experiment="weighted_modes")["split"] == "validation"
    raw = search(n_train=[335])
    key = "error: experiments.weighted_modes.n_train"
    assert refusal(raw) == [f"{key}: 335 is more than weighted_modes has; allowed: up to 334"]
    assert configuration.resolve(raw | {"split": "test"})  # the usual one has them


# Settings.


def dsm_with(own: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any]:
    """The smoke study, dsm with settings of its own and others that a search found."""
    raw = changed("experiments.weighted_modes.tuned", {"dsm": tuned})
    raw["methods"]["dsm"] = {"objective": "dsm", "drift": "ou"} | own
    return configuration.resolve(raw)


def test_tuned_settings_are_over_the_methods_and_these_over_the_experiments() -> None:
    own = {"training": {"batch": 64, "ema": 0.2}, "process": {"T": 5.0, "t_min": 1e-2}}
    study = dsm_with(own, {"training": {"batch": 16}, "process": {"t_min": 2e-2}})
    usual = study["experiments"]["weighted_modes"]
    found = settings_of(study, "weighted_modes", "dsm")
    assert found["process"] == usual["process"] | {"T": 5.0, "t_min": 2e-2}
    told = {"batch": 16, "ema": 0.2, "evaluations": 80}
    assert found["training"] == usual["training"] | told
    rest = {key for key in usual if found[key] != usual[key]}
    assert rest == {"process", "training"}
    # For no other method, and in no other experiment are they what the search found here.
    assert settings_of(study, "weighted_modes", "ndsm_flow") == usual
    elsewhere = settings_of(study, "digits", "dsm")
    assert elsewhere["training"]["batch"] == 64 and elsewhere["process"]["t_min"] == 1e-2


@pytest.mark.parametrize("batch, evaluations", [(16, 80), (32, 40), (64, 20), (1280, 1), (7, 182)])
def test_another_batch_has_as_many_evaluations_of_points(batch: int, evaluations: int) -> None:
    """40 of a batch of 32, to the whole number of steps below."""
    study = dsm_with({}, {"training": {"batch": batch}})
    told = job_settings.spec(study, "train", experiment="weighted_modes", method="dsm", part="0")
    assert told["training"]["evaluations"] == evaluations
    assert 0 <= 40 * 32 - told["training"]["evaluations"] * batch < batch
    own = dsm_with({"training": {"batch": batch}}, {})
    assert settings_of(own, "weighted_modes", "dsm")["training"] == told["training"]


def test_a_variant_keeps_what_the_search_found_and_its_own_budget() -> None:
    raw = changed("experiments.digits_latent.tuned", {"edm": {"training": {"batch": 64}}})
    study = configuration.resolve(raw)
    budgets = [
        settings_of(study, name, "edm")["training"]["evaluations"]
        for name in ("digits_latent", "digits_latent_short")
    ]
    assert budgets == [20, 10]
    edm = settings_of(study, "digits_latent", "edm")["process"]
    assert edm["t_min"] == 8e-6 and edm["log_noise"] == [-0.5, 1.2] and edm["T"] == 4.0


def test_a_temperature_is_told_to_the_mixture_that_has_it() -> None:
    raw = changed("experiments.digits_latent.tuned", {"vae_prior": {"temperature": 0.7}})
    study = configuration.resolve(raw)
    told = {
        name: job_settings.spec(study, "sample", experiment="digits_latent", method=name, part="0")
        for name in ("gmm_tempered", "vae_prior", "edm")
    }
    assert {n: t.get("temperature") for n, t in told.items()} == {
        "gmm_tempered": 0.5,
        "vae_prior": 0.7,
        "edm": None,
    }


# Untrained models.


def test_each_method_with_a_network_has_its_untrained_model_after_it() -> None:
    study = configuration.resolve(SMOKE)
    assert study["experiments"]["digits_latent"]["methods"] == [
        *("gmm_tempered", "vae_prior", "edm", "edm_untrained", "ndsm_flow", "ndsm_flow_untrained"),
        *("ndsm_jump", "ndsm_jump_untrained"),
    ]
    edm = study["methods"]["edm"]
    assert study["methods"]["edm_untrained"] == edm | {"untrained": True}
    trained = {job["method"] for job in plan.jobs(study, "train")}
    assert trained and not any(name.endswith("_untrained") for name in trained)
    assert not is_trained(study, "edm_untrained") and is_trained(study, "edm")


def test_a_validation_split_has_no_untrained_models() -> None:
    study = configuration.resolve(search())
    assert study["methods"] == SMOKE["methods"]
    assert (
        study["experiments"]["weighted_modes"]["methods"]
        == search()["experiments"]["weighted_modes"]["methods"]
    )
    assert job_settings.spec(study, "aggregate")["nulls"] == dict.fromkeys(plan.bases(study), {})


NULL = "ndsm_cv_learned_untrained"  # along the same chain as ndsm_anti
STILL = {"flow_matching_untrained": "dsm_untrained"}  # both draw from N(0, I)


@pytest.mark.parametrize(
    "key, value, shared",
    [
        ("seeds", 3, True),
        ("methods.ndsm_anti.training", {"batch": 8}, True),
        ("methods.ndsm_anti.weight", 2, True),
        ("experiments.weighted_modes.tuned.ndsm_anti", {"training": {"ema": 0.2}}, True),
        ("methods.ndsm_anti.stride", 5, False),
        ("methods.ndsm_anti.process", {"T": 5.0}, False),
        ("methods.ndsm_anti.sampler", "heun", False),
        ("methods.ndsm_anti.drift", "gmm2", False),
        ("experiments.weighted_modes.tuned.ndsm_anti", {"process": {"t_min": 2e-3}}, False),
    ],
)
def test_untrained_models_are_one_where_nothing_but_training_differs(
    key: str, value: Any, shared: bool
) -> None:
    raw = changed(key, value)
    raw["defaults"]["drifts"]["gmm2"] = copy.deepcopy(raw["defaults"]["drifts"]["gmm"])
    study, name = configuration.resolve(raw), "weighted_modes"
    own = "ndsm_anti_untrained"
    assert null_of(study, name, own) == (NULL if shared else own)
    told = job_settings.spec(study, "aggregate")["nulls"]
    assert told[name] == STILL | ({own: NULL} if shared else {})
    drawn = {j["method"] for j in plan.jobs(study, "sample") if j["experiment"] == name}
    assert NULL in drawn and (own in drawn) != shared
    shown = job_settings.spec(study, "figures")["experiments"][name]["methods"]
    assert NULL in shown and (own in shown) != shared


def test_models_of_other_examples_or_mixtures_are_others() -> None:
    """Of the smoke study's seven in the plane two chains are one, and two flows that stand."""
    study = configuration.resolve(SMOKE)
    methods = study["experiments"]["weighted_modes"]["methods"]
    nulls = [m for m in methods if m.endswith("_untrained")]
    found = {m: null_of(study, "weighted_modes", m) for m in nulls}
    assert len(nulls) == 7
    others = {m: null for m, null in found.items() if null != m}
    assert others == STILL | {"ndsm_anti_untrained": NULL}
    # EDM's sampler starts from its own noise level.
    study = configuration.resolve(changed("defaults.sampling.sampler", "edm"))
    own = "flow_matching_untrained"
    assert null_of(study, "weighted_modes", own) == own


def test_a_variant_has_no_untrained_models() -> None:
    """What it varies has them."""
    study = configuration.resolve(SMOKE)
    for name, settings in study["experiments"].items():
        nulls = [m for m in settings["methods"] if m.endswith("_untrained")]
        assert bool(nulls) == ("variant_of" not in settings), name


def test_results_of_one_untrained_model_are_found_by_all_its_names() -> None:
    raw = copy.deepcopy(SMOKE)
    raw["methods"]["edm2"] = raw["methods"]["edm"] | {"weight": 0}
    raw["experiments"]["digits_latent"]["methods"] = ["vae_prior", "edm", "edm2"]
    study = configuration.resolve(raw | {"primary": {}, "secondary": []})
    gathered = GatheredStudy.model_validate(job_settings.spec(study, "aggregate"))
    for stage in ("sample", "evaluate"):
        expected = f"{stage}/digits_latent/edm_untrained/0"
        job = {"experiment": "digits_latent", "method": "edm2_untrained", "part": 0}
        assert plan.place(study, stage, job) == expected
        found = result_paths.place(gathered, stage, *map(str, job.values()))
        assert found == Path(f"{expected}.safetensors")
        there = {plan.place(study, stage, each) for each in plan.jobs(study, stage)}
        assert expected in there
