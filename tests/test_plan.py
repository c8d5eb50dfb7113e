"""The plan of a study: its jobs, what each is told, what variants share, which code each needs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT
from ndsm import config, gallery, plan, sources, specs
from test_config import DELETED, SMOKE, changed


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
    shared = plan.shared(study)["digits_latent_short"]
    assert shared["base"] == "digits_latent" and shared["parts"] == (1,)
    assert {"data", "latent", "drift", "sample/vae_prior"} < set(shared["results"])
    assert not {"train", "train/edm"} & set(shared["results"])


def test_parts_cut_every_replica_once() -> None:
    study = config.resolve(SMOKE | {"replicas_per_job": 4})
    parts = plan.parts(study, "digits")
    assert [len(part) for part in parts] == [4, 2]
    assert sum(parts, ()) == tuple((n, seed) for n in (50, 100) for seed in range(3))


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
