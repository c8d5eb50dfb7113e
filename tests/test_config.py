"""The configuration: what is refused, in one line, and what the jobs are told."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from changed import SMOKE, changed, refusal
from conftest import ROOT
from ndsm.data.datasets import DATASETS
from ndsm.method.forward_process import KERNELS
from ndsm.metrics.registry import METRICS
from ndsm.study import configuration, methods

STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_accepted(path: Path, tmp_path: Path) -> None:
    """At every scale as well; that of one's own with a table."""
    raw = yaml.safe_load(path.read_text())
    if "data" in raw:
        rows = [f"{k % 7},{k * k % 11}" for k in range(90)]
        (tmp_path / "my.csv").write_text("\n".join(["a,b", *rows]))
        raw["data"] = str(tmp_path / "my.csv")
    assert configuration.study_file(configuration.resolve(raw)["study"]) == path
    for scale in raw.get("scales", {}):
        assert configuration.resolve(raw | {"scale": scale})["study"] == f"{raw['study']}_{scale}"


def test_every_problem_is_told_at_once() -> None:
    raw = changed("seeds", 0) | {"device": "gpu"}
    assert [line.split(":")[1].strip() for line in refusal(raw)] == ["device", "seeds"]


def test_unknown_study_lists_those_there_are() -> None:
    with pytest.raises(
        configuration.ConfigError,
        match="allowed: default, ablation, mnist, mnist_search, own, search, smoke.*mean 'smoke'"
        ".*--configfile$",
    ):
        configuration.study_file("smoek")


@pytest.mark.parametrize("study", [["smoke"], {}, None, 1])
def test_a_study_has_a_name(study: Any) -> None:
    with pytest.raises(
        configuration.ConfigError, match=r"^error: study: .* is unknown; allowed: default"
    ):
        configuration.study_file(study)


def test_two_variants_of_one_name_are_refused() -> None:
    raw = changed("experiments.a", SMOKE["experiments"]["digits"] | {"variants": {"b_c": {}}})
    raw["experiments"]["a_b"] = SMOKE["experiments"]["digits"] | {"variants": {"c": {}}}
    line = "error: experiments.a_b.variants.c: 'a_b_c' is an experiment; allowed: other names"
    assert refusal(raw) == [line]


def test_experiments_are_merged_with_the_defaults_key_by_key() -> None:
    raw = changed("experiments.digits.sampling", {"steps": 7})
    study = configuration.resolve(raw)
    sampling = study["experiments"]["digits"]["sampling"]
    assert sampling == SMOKE["defaults"]["sampling"] | {"steps": 7}
    assert study["experiments"]["clusters16"]["sampling"]["steps"] != 7
    assert raw["defaults"] == SMOKE["defaults"]


def test_a_scale_is_laid_on_the_study() -> None:
    raw = SMOKE | {"scales": {"large": {"seeds": 7}}}
    assert configuration.resolve(raw)["seeds"] == 3
    study = configuration.resolve(raw | {"scale": "large"})
    assert study["study"] == "smoke_large" and study["seeds"] == 7
    experiments = configuration.resolve(raw)["experiments"]
    assert study["experiments"] == experiments
    assert [refusal(raw | {"scale": "larg"})] == [
        ["error: scale: 'larg' is unknown; allowed: large (did you mean 'large'?)"]
    ]


def test_a_folder_may_begin_with_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    assert (
        configuration.resolve(SMOKE | {"mnist_dir": "~/mnist"})["mnist_dir"] == f"{tmp_path}/mnist"
    )


def test_a_mistake_in_a_scale_is_found() -> None:
    raw = SMOKE | {"scales": {"large": {"seeds": 0}}, "scale": "large"}
    assert refusal(raw) == ["error: seeds: 0 is too small; allowed: 1 or more"]


def test_a_claim_alone_asks_for_its_experiments_alone() -> None:
    study = configuration.resolve(SMOKE | {"claim": "C8"})
    assert list(study["experiments"]) == ["digits_symmetry"]
    assert [claim["id"] for claim in study["secondary"]] == ["C8"]
    assert not {"score", "gradients", "forward"} & set(study)
    assert "gradients" in configuration.resolve(SMOKE | {"claim": "C4"})


def test_names_of_the_schema_are_those_of_the_code() -> None:
    process = configuration.SCHEMA["$defs"]["process"]["properties"]
    assert set(process["kernel"]["enum"]) == set(KERNELS)
    assert {metric.asks for metric in METRICS.values()} == {
        *(None, "image", "vector", "latent", "modes", "has_density", "shares", "symmetry")
    }
    assert all(isinstance(dataset.image, bool) for dataset in DATASETS.values())


def pinned_in(name: str) -> list[str]:
    """What a list of packages names, each with its version."""
    lines = (ROOT / "envs" / name).read_text().splitlines()
    return [line.split("#")[0].strip() for line in lines if not line.startswith("#")]


def test_the_lock_has_the_versions_of_every_list() -> None:
    """And nothing but exact versions; that of torch without CUDA has a label behind it."""
    pairs = [
        re.fullmatch(r"([\w.-]+)==([\w.]+)(?:\+cpu)?", pin) for pin in pinned_in("lock-3.11.txt")
    ]
    locked = {pair[1].lower(): pair[2] for pair in pairs if pair}
    assert len(locked) == len(pairs)
    lists = [f"requirements{more}.txt" for more in ("", "-cluster", "-dev")]
    asked = {tuple(pin.lower().split("==")) for name in lists for pin in pinned_in(name)}
    assert asked <= set(locked.items()), asked - set(locked.items())
    assert len(locked) > 2 * len(asked)


def test_conda_has_the_versions_of_pip() -> None:
    pinned = pinned_in("requirements.txt")
    conda = yaml.safe_load((ROOT / "envs" / "ndsm.yaml").read_text())["dependencies"]
    assert conda[-1]["pip"] == pinned
    assert all("==" in line for line in pinned)


def test_the_benchmark_trains_what_its_plain_loop_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its study can be resolved, and what was tuned for the default study is not in it."""
    monkeypatch.syspath_prepend(ROOT)
    stacks = importlib.import_module("bench.stacks")
    own = methods.settings_of(stacks.study(), "weighted_modes", "dsm")
    trained, plain = own["training"], stacks.plain
    assert (trained["evaluations"], trained["batch"]) == (stacks.BUDGET, stacks.BATCH)
    assert (trained["learning_rate"], trained["ema"]) == (plain.RATE, plain.EMA)
    assert own["network"] == {"type": "mlp", "sees_drift": False, "width": 64, "depth": 3}
