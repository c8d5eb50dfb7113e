"""The stages drift, train and sample as they run, one after the other."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from torch import Tensor

from conftest import SETTINGS, job_spec
from ndsm import drift, fitted, inputs, sample, store, train
from ndsm.distances import energy_distance
from ndsm.fitted import Fitted
from ndsm.streams import Streams


def run_stages(folder: Path, x: Tensor, objective: str, **changes: Any) -> tuple[Tensor, Fitted]:
    """Drift, training and samples of two replicas [300, 0] and [100, 1]: samples and drift."""
    store.write_tensors(
        folder / "data.safetensors", {"pool": x, "pool_labels": torch.zeros(len(x)).long()}, {}
    )
    job = job_spec(objective, replicas=[[300, 0], [100, 1]], device="cpu", **changes)
    job["process"] |= {"tolerance": 0.05}
    fitting = {"fit": "em", "covariance": "tied", "n_components": 2, "selection": "bic"}
    paths = {name: folder / f"{name}.safetensors" for name in ("data", "drift", "train", "sample")}
    drift.main([paths["data"]], paths["drift"], job | fitting | {"noised": True})
    train.main([paths["data"]], paths["drift"], paths["train"], job)
    sampling = {"sampler": "heun", "steps": 15, "samples": 2000}
    told = job | {"sampling": sampling}
    sample.main(paths["sample"], told, drift=paths["drift"], train=paths["train"])
    return inputs.read_tensors(paths["sample"])["samples"], fitted.read(paths["drift"], "cpu", job)


def ring(n: int, seed: int) -> Tensor:
    """Points of a noisy ring: two Gaussians describe it badly."""
    generator = default_rng(seed)
    angle, radius = generator.uniform(0, 2 * math.pi, n), 2 + 0.15 * generator.standard_normal(n)
    return torch.as_tensor(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)).float()


def test_training_brings_samples_nearer_to_the_data(tmp_path):
    """Than the mixture that the network starts from; the floor of 2,000 points is about 0.001."""
    settings = {"evaluations": 1600, "batch": 256, "learning_rate": 5e-3, "ema": 0.99}
    network = {"type": "mlp", "width": 32, "depth": 2}
    samples, fit = run_stages(
        tmp_path, ring(400, 0), "ndsm_anti", stride=8, network=network, training=settings
    )
    draws = fit.to_data(fit.mixture.sample(2000, Streams([("a",), ("b",)])))
    held_out = ring(2000, 1).numpy()
    for trained, mixture in zip(samples, draws, strict=True):
        after = energy_distance(trained.numpy(), held_out)
        before = energy_distance(mixture.numpy(), held_out)
        assert after < before / 2
    measured = inputs.read_record(tmp_path / "train.safetensors")["measured"]
    assert measured["iterations"] == 800 and measured["network_evaluations"] == 1600 * 256
    assert measured["replicas"] == 2 and len(measured["final_loss"]) == 2
    assert not list(tmp_path.glob("*.checkpoint"))


def test_what_is_given_for_each_replica_is_used_for_it(tmp_path):
    """Each replica has its own file of codes; a third file for two replicas is refused."""
    files, replicas = [], [[30, 0], [30, 1]]
    for k in range(2):
        files.append(tmp_path / f"codes{k}.safetensors")
        x = torch.randn(30, 2, generator=torch.Generator().manual_seed(k)) + 10 * k
        store.write_tensors(files[-1], {"pool": x, "pool_labels": torch.zeros(30).long()}, {})
    job = job_spec("dsm", replicas=replicas, device="cpu") | {"fit": "ou", "noised": True}
    job["process"] |= {"tolerance": 9.0}
    out = tmp_path / "drift.safetensors"
    drift.main(files, out, job)
    shift = fitted.read(out, "cpu", job).shift.mean((1, 2))
    assert abs(shift[0]) < 1 and abs(shift[1] - 10) < 1
    with pytest.raises(store.Refused, match="3 files for 2 replicas"):
        drift.main([*files, files[0]], out, job)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_samples_that_are_not_finite_are_refused(bad):
    samples = torch.zeros(2, 30, 2)
    samples[1, 4, 0] = bad
    with pytest.raises(store.Refused, match=r"n_train=200, seed=7: 1 of 30 are not finite"):
        sample.refuse_runaways(samples, [[50, 7], [200, 7]])


def test_same_settings_twice_give_the_same_files(tmp_path):
    settings = SETTINGS | {"evaluations": 40}
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run_stages(tmp_path / name, ring(400, 0), "ndsm_cv", training=settings)
        runs.append(
            [
                inputs.read_tensors(tmp_path / name / f"{s}.safetensors")
                for s in ("drift", "train", "sample")
            ]
        )
    for one, two in zip(*runs, strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
