"""The configuration: what is refused, in one line, and what the jobs are told."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT
from ndsm import config, documents, gallery, plan, sources, specs
from ndsm.datasets import DATASETS
from ndsm.metrics import METRICS
from ndsm.objectives import OBJECTIVES
from ndsm.sde import KERNELS

STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]
SMOKE = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
DELETED = object()


def changed(key: str, value: Any) -> dict[str, Any]:
    """The smoke study with one setting changed; ``key`` is its path, with dots."""
    raw: dict[str, Any] = copy.deepcopy(SMOKE)
    *path, last = (int(step) if step.isdigit() else step for step in key.split("."))
    place: Any = raw
    for step in path:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    return raw


def refusal(raw: dict[str, Any]) -> list[str]:
    """The lines with which a configuration is refused."""
    with pytest.raises(config.ConfigError) as caught:
        config.resolve(raw)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_accepted(path: Path) -> None:
    study = config.resolve(yaml.safe_load(path.read_text()))
    assert config.study_file(study["study"]) == path


BAD = [
    # misspelt keys and names, with the nearest match
    ("seed", 3, r"seed: 3 .*did you mean 'seeds'"),
    ("defaults.training.batchs", 3, r"defaults.training.batchs: 3 .*did you mean 'batch'"),
    ("experiments.digits.trainig", {}, r"experiments.digits.trainig: .*'training'"),
    ("methods.dsm.objective", "dms", r"methods.dsm.objective: 'dms' .*allowed: none, dsm,"),
    ("methods.dsm.drift", "uo", r"methods.dsm.drift: 'uo' .*did you mean 'ou'"),
    ("experiments.digits.methods", ["dsn"], r"experiments.digits.methods: 'dsn' .*'dsm'"),
    ("experiments.digits.dataset.name", "digit", r"digits.dataset.name: 'digit' .*'digits'"),
    ("experiments.digits.dataset.pools", 9, r"experiments.digits.dataset.*'pools'"),
    ("experiments.digits.metrics", ["fdi"], r"experiments.digits.metrics: 'fdi' .*'fid'"),
    ("defaults.process.kernel", "eular", r"defaults.process.kernel: 'eular' .*'euler'"),
    ("defaults.sampling.sampler", "huen", r"defaults.sampling.sampler: 'huen' .*'heun'"),
    ("defaults.drifts.gmm.covariance", "teid", r"gmm.covariance: 'teid' .*'tied'"),
    ("device", "gpu", r"device: 'gpu' .*allowed: auto, cpu, cuda"),
    # numbers out of range or of the wrong kind
    ("seeds", 0, r"seeds: 0 is too small; allowed: 1 or more"),
    ("seeds", -1, r"seeds: -1 is too small"),
    ("seeds", 2.0, r"seeds: 2.0 is of the wrong type; allowed: integer"),
    ("seeds", True, r"seeds: True is of the wrong type"),
    ("defaults.training.evaluations", "4e3", r"evaluations: '4e3' .*1.0e\+3"),
    ("defaults.training.learning_rate", float("nan"), r"learning_rate: nan"),
    ("defaults.training.learning_rate", 0, r"learning_rate: 0 .*more than 0"),
    ("defaults.training.ema", 1.0, r"training.ema: 1.0 .*less than 1"),
    ("defaults.process.steps", 0, r"process.steps: 0 is too small"),
    ("defaults.sampling.steps", -4, r"sampling.steps: -4 is too small"),
    ("defaults.network.width", 0, r"network.width: 0 is too small"),
    ("defaults.network.depth", -1, r"network.depth: -1 is too small"),
    ("defaults.n_train", [50, 100, 50], r"defaults.n_train: 50 is there twice"),
    ("defaults.n_train", [], r"defaults.n_train: \[\] is too short"),
    ("verdict.level", 5, r"verdict.level: 5 is too large"),
    ("study", "a/b", r"study: 'a/b' is no name"),
    ("defaults.drifts.gmm.n_components", 0, r"gmm.n_components: 0 is too small"),
    # what is missing
    ("experiments", {}, r"experiments: {} is too short"),
    ("experiments", DELETED, r"experiments: is missing"),
    ("defaults.network", DELETED, r"experiments.\w+.network: is missing"),
    ("defaults.training.ema", DELETED, r"experiments.\w+.training.ema: is missing"),
    ("defaults.drifts.gmm.selection", DELETED, r"drifts.gmm.selection: is missing"),
    # settings that contradict one another or the data
    ("experiments.digits.n_train", [2000], r"digits.n_train: 2000 .*allowed: up to 1000"),
    ("defaults.n_train", [50, 501], r"n_train: 501 is more than weighted_modes has.*500"),
    ("defaults.drifts.gmm.n_components", [60, 70], r"gmm.n_components: 60 .*n_train, 50"),
    (
        "experiments.weighted_modes.metrics",
        ["fid"],
        r"experiments.weighted_modes.metrics: 'fid' does not suit weighted_modes",
    ),
    (
        "experiments.digits.metrics",
        ["log_density_gap"],
        r"experiments.digits.metrics: 'log_density_gap' does not suit",
    ),
    ("methods.dsm.alpha", "learned", r"methods.dsm.alpha: learned .*allowed: objective ndsm_cv"),
    ("methods.dsm.stride", 3, r"methods.dsm.stride: 3 .*allowed: 1, or"),
    ("methods.dsm.drift", "gmm", r"methods.dsm.drift: 'gmm' is not linear.*allowed: ou"),
    ("defaults.process.kernel", "euler", r"methods.ndsm_anti.stride: 15 with kernel euler"),
    ("defaults.drifts.gmm.covariance", "full", r"gmm.covariance: 'full' .*spherical, tied"),
    ("defaults.process.t_min", 5.0, r"process.t_min: 5.0 .*less than T, 4.0"),
    ("methods.real", {"objective": "none", "drift": "ou"}, r"methods.real: "),
    ("gradients.experiment", "weighted_mode", r"gradients.experiment: .*'weighted_modes'"),
    ("forward.drift", "ou", r"forward.drift: 'ou' .*allowed: .*gmm, mixture"),
    ("forward.n_train", 51, r"forward.n_train: 51 is unknown; allowed: 50, 100"),
    # images
    ("experiments.digits_imbalance.dataset.shares", [0.5, 0.6], r"shares: .* sum to 1.1"),
    ("experiments.digits_imbalance.dataset.shares", [1.2, -0.2], r"shares.1: -0.2 is too small"),
    ("experiments.digits_imbalance.n_train", [200], r"n_train: 200 is more .* up to 137"),
    ("experiments.digits_symmetry.dataset.symmetry.share", 1.0, r"symmetry.share: 1.0 is too"),
    ("experiments.digits_symmetry.dataset.symmetry", {"share": 0.3}, r"departure: is missing"),
    ("experiments.digits.metrics", ["rare_fid"], r"metrics: 'rare_fid' does not suit digits"),
    ("experiments.digits.metrics", ["branch_tv"], r"metrics: 'branch_tv' does not suit digits"),
    ("experiments.digits.methods", ["ndsm_anti_orbit"], r"fit: 'orbit' without a symmetry"),
    ("experiments.digits.methods", ["dsm_equivariant"], r"symmetric: True without a symmetry"),
    ("methods.dsm_equivariant.drift", "ou", r"drift: 'ou' with equivariant; .* symmetric true"),
    ("defaults.drifts.orbit.n_components", 5, r"n_components: 5 with fit orbit; .* even"),
    ("defaults.drifts.orbit.covariance", "tied", r"covariance: 'tied' with fit orbit"),
    ("defaults.drifts.labels", {"fit": "labels"}, r"drifts.labels.labelled: is missing"),
    ("experiments.digits_symmetry.network.width", 12, r"width: 12 with unet; .* multiple of 8"),
    (
        "experiments.clusters16.network",
        {"type": "unet"},
        r"network.type: 'unet' with dataset clusters16",
    ),
    ("defaults.process.log_noise", [-0.6, 0], r"log_noise.1: 0 is too small; allowed: more than"),
    # latent space and variants
    ("experiments.clusters16.space", "latent", r"clusters16.autoencoder: is missing"),
    ("experiments.digits_latent.space", "latnt", r"space: 'latnt' .*did you mean 'latent'"),
    ("experiments.digits_latent.dataset.name", "rings", r".*'latent' with dataset rings"),
    ("experiments.digits_latent.network", {"type": "unet"}, r"type: 'unet' in latent space"),
    ("experiments.digits_latent.autoencoder.kl", 0, r"autoencoder.kl: 0 is too small"),
    ("experiments.digits_latent.autoencoder.sees", "som", r"sees: 'som' .*subset, all"),
    ("experiments.digits.methods", ["vae_prior"], r"fit: 'standard' in pixel space"),
    ("experiments.digits_latent.dataset.symmetry.departure", 0, r"symmetry.share: is missing"),
    (
        "experiments.digits_latent_short",
        {},
        r"variants.short: 'digits_latent_short' is an experiment",
    ),
    ("experiments.digits_latent.variants.short.variants", {"a": {}}, r".*a variant of a variant"),
    (
        "experiments.digits_latent.variants.short.trainin",
        {},
        r"variants.short.trainin: .*'training'",
    ),
    (
        "experiments.digits_latent.variants.short.training.batch",
        0,
        r"training.batch: 0 is too small",
    ),
    ("methods.decoded", {"objective": "none", "drift": "ou"}, r"methods.decoded: "),
    ("methods.edm.sampler", "emd", r"methods.edm.sampler: 'emd' .*did you mean 'edm'"),
    ("score.experiment", "digits_latent", r"score.experiment: 'digits_latent' is in latent space"),
    # what to run
    ("mnist_dir", "/nowhere", r"mnist_dir: '/nowhere' is no folder; allowed: the folder of"),
    ("scale", "ful", r"scale: 'ful' is unknown"),
    ("claim", "C10", r"claim: 'C10' is unknown; allowed: C1, C2"),
    # claims
    ("claims.0.id", "C10", r"claims.0.id: 'C10' .*allowed: C1"),
    ("claims.0.experiment", "weighted_mods", r"claims.0.experiment: .*'weighted_modes'"),
    ("claims.0.method", "ndsm_jum", r"claims.0.method: 'ndsm_jum' .*'ndsm_jump'"),
    ("claims.0.baseline", "dms", r"claims.0.baseline: 'dms' .*'dsm'"),
    ("claims.0.metric", "energy_distanc", r"claims.0.metric: .*'energy_distance'"),
    ("claims.0.n_train", 60, r"claims.0.n_train: 60 is unknown; allowed: 50, 100"),
    ("claims.0.at_most", 0.1, r"claims.0: both of baseline, at_most"),
    ("claims.0.baseline", DELETED, r"claims.0: neither of baseline, at_most"),
    ("claims.1.method", "gmm", r"claims.1.method: 'gmm' is unknown"),
    ("claims.0.baseline_experiment", "nowhere", r"claims.0.baseline_experiment: 'nowhere'"),
    ("claims.0.baseline_experiment", "digits", r"claims.0.baseline: 'dsm' .* in digits"),
    ("claims.0.metric", "seconds_to:fid:3", r"claims.0.metric: 'seconds_to:fid:3' is unknown"),
    ("claims.2.method", "dsm", r"claims.2.method: 'dsm' is unknown; allowed: ndsm,"),
]


@pytest.mark.parametrize(("key", "value", "line"), BAD, ids=str)
def test_bad_input_is_refused_in_one_line(key: str, value: Any, line: str) -> None:
    lines = refusal(changed(key, value))
    assert any(re.search(f"^error: (.*\\.)?{line}", said) for said in lines), lines
    # A default shows in every experiment that takes it; otherwise one mistake is one line.
    assert len(lines) <= (len(SMOKE["experiments"]) * 3 if "defaults" in key else 3)


def test_every_problem_is_told_at_once() -> None:
    raw = changed("seeds", 0) | {"device": "gpu"}
    assert [line.split(":")[1].strip() for line in refusal(raw)] == ["device", "seeds"]


def test_unknown_study_lists_those_there_are() -> None:
    with pytest.raises(
        config.ConfigError,
        match="allowed: default, ablation, mnist, mnist_search, search, smoke.*mean 'smoke'",
    ):
        config.study_file("smoek")


def test_experiments_are_merged_with_the_defaults_key_by_key() -> None:
    raw = changed("experiments.digits.sampling", {"steps": 7})
    study = config.resolve(raw)
    sampling = study["experiments"]["digits"]["sampling"]
    assert sampling == SMOKE["defaults"]["sampling"] | {"steps": 7}
    assert study["experiments"]["clusters16"]["sampling"]["steps"] != 7
    assert raw["defaults"] == SMOKE["defaults"]


def test_a_scale_is_laid_on_the_study() -> None:
    raw = SMOKE | {"scales": {"large": {"seeds": 7}}}
    assert config.resolve(raw)["seeds"] == 3
    study = config.resolve(raw | {"scale": "large"})
    assert study["study"] == "smoke_large" and study["seeds"] == 7
    experiments = config.resolve(raw)["experiments"]
    assert study["experiments"] == experiments
    assert [refusal(raw | {"scale": "larg"})] == [
        ["error: scale: 'larg' is unknown; allowed: large (did you mean 'large'?)"]
    ]


def test_the_command_of_a_claims_table_names_study_and_scale() -> None:
    raw = SMOKE | {"scales": {"large": {"seeds": 7}}, "scale": "large"}
    out, tail = Path("claims.csv"), "--forcerun claims -- claims.csv"
    told = specs.spec(config.resolve(raw), "claims")
    expected = f"snakemake --cores all --config study=smoke scale=large {tail}"
    assert documents.command(told, out) == expected
    told = specs.spec(config.resolve(SMOKE | {"study": "default"}), "claims")
    assert documents.command(told, out) == f"snakemake --cores all {tail}"
    told = specs.spec(config.resolve(SMOKE | {"claim": "C6"}), "claims")
    expected = f"snakemake --cores all --config study=smoke claim=C6 {tail}"
    assert documents.command(told, out) == expected


def test_a_mistake_in_a_scale_is_found() -> None:
    raw = SMOKE | {"scales": {"large": {"seeds": 0}}, "scale": "large"}
    assert refusal(raw) == ["error: seeds: 0 is too small; allowed: 1 or more"]


def test_a_claim_alone_asks_for_its_experiments_alone() -> None:
    study = config.resolve(SMOKE | {"claim": "C8"})
    assert list(study["experiments"]) == ["digits_symmetry"]
    assert [claim["id"] for claim in study["claims"]] == ["C8"]
    assert not {"score", "gradients", "forward"} & set(study)
    assert "gradients" in config.resolve(SMOKE | {"claim": "C4"})


def test_images_of_a_kind_share_one_classifier() -> None:
    study = config.resolve(SMOKE)
    assert plan.jobs(study, "classifier") == [{"images": "digits"}]
    assert specs.spec(study, "classifier", images="digits") == {"dataset": {"name": "digits"}}
    path = ROOT / "workflow" / "studies" / "mnist.yaml"
    mnist = config.resolve(yaml.safe_load(path.read_text()))
    assert plan.jobs(mnist, "classifier") == [{"images": "mnist14"}, {"images": "mnist28"}]
    told = specs.spec(mnist, "classifier", images="mnist14")
    assert told == {"dataset": {"name": "mnist", "side": 14}}
    assert plan.source_of(mnist, "mnist_small") == "mnist"
    assert plan.source_of(study, "digits") is None


def test_a_variant_shares_what_it_does_not_change() -> None:
    study = config.resolve(SMOKE)

    def serves(stage: str, experiment: str, **job: Any) -> str:
        return plan.home(study, stage, {"experiment": experiment} | job)["experiment"]

    jump, drift = {"method": "ndsm_jump", "part": 0}, {"drift": "gmm", "part": 0}
    base, budget = "digits_latent", "digits_latent_short"
    assert serves("data", budget) == serves("drift", budget, **drift) == base
    assert serves("latent", budget, codes="100-0") == base
    assert serves("train", budget, **jump) == serves("sample", budget, **jump) == budget
    prior = {"method": "vae_prior", "part": 0}  # without a network, the budget does not reach it
    assert serves("sample", budget, **prior) == serves("evaluate", budget, **prior) == base
    steps, seeing = "digits_latent_steps2", "digits_latent_all"
    assert serves("train", steps, **jump) == base and serves("sample", steps, **jump) == steps
    assert serves("data", seeing) == base and serves("drift", seeing, **drift) == seeing
    assert plan.jobs(study, "latent") == [
        *({"experiment": base, "codes": f"100-{seed}"} for seed in range(3)),
        {"experiment": seeing, "codes": "all"},
    ]
    # The same random numbers: a variant's replica is comparable with what it varies.
    told = specs.spec(study, "train", experiment=budget, method="ndsm_jump", part="0")
    assert told["experiment"] == base and told["training"]["evaluations"] == 20
    assert plan.along(study, base, "training", "evaluations") == [budget, base]
    assert plan.along(study, base, "sampling", "steps") == [steps, base]


def test_a_frontier_is_drawn_of_several_budgets_with_thresholds() -> None:
    def drawn(study: dict[str, Any]) -> bool:
        names = [figure.name for figure in gallery.figures(study)]
        return "frontier_digits_latent" in names

    assert drawn(config.resolve(SMOKE))
    for key in ("thresholds", "variants"):
        raw = changed(f"experiments.digits_latent.{key}", DELETED)
        assert not drawn(config.resolve(raw | {"claims": []}))


def test_a_method_may_bring_its_own_sampler_at_the_same_cost() -> None:
    """Ten steps of Heun's are twenty of a sampler with one evaluation each."""
    for sampler, steps in (("edm", 4), ("exponential", 8), ("euler", 8)):
        study = config.resolve(changed("methods.ndsm_jump.sampler", sampler))
        told = specs.spec(study, "sample", experiment="digits", method="ndsm_jump", part="0")
        assert told["sampling"] == {"sampler": sampler, "steps": steps, "samples": 200}


def test_parts_of_a_variant_with_fewer_sizes_are_found() -> None:
    raw = changed("experiments.digits_latent.n_train", [50, 100])
    raw["experiments"]["digits_latent"] |= {"replicas_per_job": 3, "seeds": 3}
    raw["experiments"]["digits_latent"]["variants"]["short"]["n_train"] = [100]
    study = config.resolve(raw | {"claims": []})
    job = {"experiment": "digits_latent_short", "drift": "gmm", "part": 0}
    assert plan.home(study, "drift", job) == job | {"experiment": "digits_latent", "part": 1}
    places = plan.shared(study)
    assert places["drift/digits_latent_short/gmm/0"] == "drift/digits_latent/gmm/1"
    assert "train/digits_latent_short/edm/0" not in places


def test_names_of_the_schema_are_those_of_the_code() -> None:
    assert set(config.OBJECTIVES["enum"]) == {"none", *OBJECTIVES}
    process = config.SCHEMA["$defs"]["experiment"]["properties"]["process"]
    assert set(process["properties"]["kernel"]["enum"]) == set(KERNELS)
    assert {metric.asks for metric in METRICS.values()} <= {
        *(None, "image", "has_density", "shares", "symmetry")
    }
    assert all(isinstance(dataset.image, bool) for dataset in DATASETS.values())


def test_parts_cut_every_replica_once() -> None:
    study = config.resolve(SMOKE | {"replicas_per_job": 4})
    parts = plan.parts(study, "digits")
    assert [len(part) for part in parts] == [4, 2]
    assert sum(parts, []) == [[n, seed] for n in (50, 100) for seed in range(3)]


def test_a_job_is_told_only_what_it_needs() -> None:
    study = config.resolve(SMOKE)
    train = specs.spec(study, "train", experiment="digits", method="ndsm_jump", part="0")
    assert set(train) == {
        *("experiment", "method", "objective", "stride", "alpha", "equivariant", "network"),
        *("training", "process", "replicas", "device", "weight"),
    }
    floor = specs.spec(study, "evaluate", experiment="digits", method="real", part="0")
    assert set(floor) == {"experiment", "method", "metrics"}
    other = config.resolve(changed("defaults.sampling.steps", 9))
    assert specs.spec(other, "train", experiment="digits", method="ndsm_jump", part="0") == train


def test_modules_are_found_through_imports(tmp_path: Path, monkeypatch: Any) -> None:
    files = {
        "train": "from ndsm import objectives\nfrom ndsm.sde import Chain\n",
        "objectives": "import math\ndef late():\n    import ndsm.store\n",
        "sde": "",
        "store": "",
        "figures": "",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(sources, "PACKAGE", tmp_path)
    assert sources.modules("train") == ["objectives", "sde", "store", "train"]


@pytest.mark.parametrize("stage", ["data", "drift", "train", "sample", "evaluate", "figures"])
def test_stages_do_not_depend_on_the_configuration(stage: str) -> None:
    assert not {"config", "plan", "specs", "gallery"} & set(sources.modules(stage))


def test_conda_has_the_versions_of_pip() -> None:
    lines = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
    pinned = [line.split("#")[0].strip() for line in lines if not line.startswith("#")]
    conda = yaml.safe_load((ROOT / "envs" / "ndsm.yaml").read_text())["dependencies"]
    assert conda[-1]["pip"] == pinned
    assert all("==" in line for line in pinned)
