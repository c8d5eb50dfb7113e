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
from ndsm.artefacts import drift_file, files
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.method import fitted_drift
from ndsm.method.drift_fits import fit_mixture, fit_ou
from ndsm.method.fitted_drift import Fitted
from ndsm.method.mixture import Mixture
from ndsm.method.random_streams import Streams
from ndsm.metrics.distances import energy_distance
from ndsm.stages import drift, sample, train
from ndsm.vocabulary import likelihood_points


def run_stages(folder: Path, x: Tensor, objective: str, **changes: Any) -> tuple[Tensor, Fitted]:
    """Drift, training and samples of two replicas [300, 0] and [100, 1]: samples and drift."""
    files.write_tensors(
        folder / "data.safetensors", {"pool": x, "pool_labels": torch.zeros(len(x)).long()}, {}
    )
    job = job_spec(objective, replicas=[[300, 0], [100, 1]], device="cpu", **changes)
    job["process"] |= {"tolerance": 0.05}
    fitting = {"fit": "em", "covariance": "tied", "n_components": 2, "selection": "bic"}
    paths = {name: folder / f"{name}.safetensors" for name in ("data", "drift", "train", "sample")}
    drift.main([paths["data"]], paths["drift"], job | {"fit": fitting})
    train.main([paths["data"]], paths["drift"], paths["train"], job)
    sampling = {"sampler": "heun", "steps": 15, "samples": 2000}
    told = job | {"sampling": sampling, "temperature": 1, "likelihood": False}
    sample.main(paths["sample"], told, drift=paths["drift"], train=paths["train"])
    return Inputs().tensors(paths["sample"])["samples"], drift_file.read(
        Inputs(), paths["drift"], "cpu", job
    )


def ring(n: int, seed: int) -> Tensor:
    """Points of a noisy ring: two Gaussians describe it badly."""
    generator = default_rng(seed)
    angle, radius = generator.uniform(0, 2 * math.pi, n), 2 + 0.15 * generator.standard_normal(n)
    return torch.as_tensor(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)).float()


def test_training_brings_samples_nearer_to_the_data(tmp_path):
    """Than the mixture that the network starts from; the floor of 2,000 points is about 0.001."""
    settings = {"evaluations": 1600, "batch": 256, "learning_rate": 5e-3, "ema": 0.1, "pool": 16}
    network = {"type": "mlp", "sees_drift": True, "width": 32, "depth": 2}
    samples, fit = run_stages(
        tmp_path, ring(400, 0), "ndsm_anti", stride=8, network=network, training=settings
    )
    draws = fit.to_data(fit.mixture.sample(2000, Streams([("a",), ("b",)])))
    held_out = ring(2000, 1).numpy()
    for trained, mixture in zip(samples, draws, strict=True):
        after = energy_distance(trained.numpy(), held_out)
        before = energy_distance(mixture.numpy(), held_out)
        assert after < before / 2
    measured = Inputs().record(tmp_path / "train.safetensors")["measured"]
    assert measured["iterations"] == 800 and measured["network_evaluations"] == 1600 * 256
    assert measured["replicas"] == 2 and len(measured["final_loss"]) == 2
    assert not list(tmp_path.glob("*.checkpoint"))


def test_what_is_given_for_each_replica_is_used_for_it(tmp_path):
    """Each replica has its own file of codes; a third file for two replicas is refused."""
    paths, replicas = [], [[30, 0], [30, 1]]
    for k in range(2):
        paths.append(tmp_path / f"codes{k}.safetensors")
        x = torch.randn(30, 2, generator=torch.Generator().manual_seed(k)) + 10 * k
        files.write_tensors(paths[-1], {"pool": x, "pool_labels": torch.zeros(30).long()}, {})
    job = job_spec("dsm", replicas=replicas, device="cpu") | {"fit": {"fit": "ou"}}
    job["process"] |= {"tolerance": 9.0}
    out = tmp_path / "drift.safetensors"
    drift.main(paths, out, job)
    shift = drift_file.read(Inputs(), out, "cpu", job).shift.mean((1, 2))
    assert abs(shift[0]) < 1 and abs(shift[1] - 10) < 1
    with pytest.raises(Refused, match="3 files for 2 replicas"):
        drift.main([*paths, paths[0]], out, job)


def two_modes() -> Fitted:
    """π for two replicas: mean (4, 0), and a root mean variance of 3 for a coordinate."""
    means = torch.tensor([[[0.0, 0.0], [8.0, 0.0]]]).double().expand(2, -1, -1)
    mixture = Mixture(torch.full((2, 2), -math.log(2)).double(), means)
    return Fitted(mixture, torch.zeros(2, 1, 2).double(), torch.ones(2, 1, 1).double())


def far_samples(number: int, value: float) -> Tensor:
    """A thousand samples of two replicas, some of the second's that far from the mean of π."""
    y = torch.zeros(2, 1000, 2).double()
    y[1, :number, 0] = 4 - value
    return y


@pytest.mark.parametrize("value", [301.0, -301.0, math.nan, math.inf, -math.inf])
def test_runaways_are_counted_and_logged(value, capsys):
    """Up to one in a hundred; not a number is far as well."""
    replicas = [[50, 7], [200, 7]]
    assert sample.runaways(far_samples(10, value), two_modes(), replicas, True) == [0, 10]
    assert capsys.readouterr().out == (
        "warning: samples of n_train=200, seed=7: 10 of 1000 are beyond 100 deviations"
        " of the data\n"
    )


@pytest.mark.parametrize("value", [301.0, math.nan])
def test_too_many_runaways_are_refused(value):
    message = r"^samples of n_train=200, seed=7: 11 of 1000 are not finite or .* data; {}$"
    remedies = {
        True: "see the log of .*learning_rate, or raise .*",
        False: "raise sampling.steps .*",
    }
    for trained, remedy in remedies.items():
        with pytest.raises(Refused, match=message.format(remedy)):
            sample.runaways(far_samples(11, value), two_modes(), [[50, 7], [200, 7]], trained)


def test_samples_within_a_hundred_deviations_are_no_runaways(capsys):
    """Deviations of π, about its mean: 299 from there are less than 100 of them."""
    for value in (299.0, -299.0):
        assert sample.runaways(far_samples(500, value), two_modes(), [[50, 7], [200, 7]], True) == [
            0,
            0,
        ]
    assert not capsys.readouterr().out


# Models without training, whose law is known.


def known_model(folder: Path, objective: str, **told: Any) -> tuple[dict[str, Tensor], Fitted]:
    """What ``sample`` writes of a mixture alone or an untrained model, and the fitted drift."""
    held_out = {"held_out": ring(1200, 1)}
    files.write_tensors(folder / "data.safetensors", held_out, {})
    points = [ring(300, seed).double().numpy() for seed in (0, 1)]
    fits = [fit_ou(x) if objective == "dsm" else fit_mixture(x, "full", 3, 0) for x in points]
    fit = fitted_drift.stack(fits).to("cpu", torch.float32)
    drift_file.write(folder / "drift.safetensors", fit, {})
    job = job_spec(objective, stride=1, replicas=[[300, 0], [300, 1]], device="cpu", method="any")
    sampling = {"sampler": "heun", "steps": 5, "samples": 20_000}
    job |= {"sampling": sampling, "temperature": 1.0, "likelihood": True} | told
    paths = {name: folder / f"{name}.safetensors" for name in ("drift", "data")}
    sample.main(folder / "sample.safetensors", job, **paths)
    measured = Inputs().record(folder / "sample.safetensors")["measured"]
    assert measured.get("network_evaluations", 0) == 0 and measured["runaways"] == [0, 0]
    return Inputs().tensors(folder / "sample.safetensors"), fit


def covariance_z(x: Tensor, expected: Tensor) -> float:
    """Largest |z| of the second moments of samples x (n, d) about the mean."""
    offset = (x - x.mean(0)).double()
    products = (offset.unsqueeze(2) * offset.unsqueeze(1)).flatten(1)
    error = (products.mean(0) - expected.flatten()) / products.std(0) * len(x) ** 0.5
    return error.abs().max().item()


def moments(fit: Fitted, replica: int, factor: float) -> Tensor:
    """Covariance of π in data units, those of its components multiplied by a factor."""
    one = fit.one(replica).to("cpu", torch.float64)
    w, means = one.mixture.log_weights[0].exp(), one.to_data(one.mixture.means)[0]
    within = torch.eye(means.shape[1]).double().expand(len(w), -1, -1)
    if one.mixture.scale_tril is not None:
        within = one.mixture.scale_tril[0] @ one.mixture.scale_tril[0].mT
    root = one.factor[0] if one.factor.shape[-1] > 1 else one.factor[0] * torch.eye(2).double()
    within = factor * root @ within @ root.mT
    offset = means - (w.unsqueeze(1) * means).sum(0)
    outer = offset.unsqueeze(2) * offset.unsqueeze(1)
    return (w.view(-1, 1, 1) * (within + outer)).sum(0)


@pytest.mark.parametrize(
    "objective, temperature", [("none", 1.0), ("none", 0.4), ("ndsm_flow", 1.0), ("dsm", 1.0)]
)
def test_a_model_without_training_has_the_law_of_its_mixture(tmp_path, objective, temperature):
    """Samples and log-densities of held-out points; of dsm the mixture is one Gaussian.

    Without the temperature both would be others.
    """
    written, fit = known_model(tmp_path, objective, temperature=temperature)
    points = torch.stack([ring(1200, 1)[likelihood_points(seed, 1200, 2)] for seed in (0, 1)])
    law = fit.to("cpu", torch.float64).tempered(temperature).log_prob(points.double())
    assert written["log_prob"].shape == (2, 1000)
    torch.testing.assert_close(written["log_prob"].double(), law, atol=2e-4, rtol=1e-5)
    for replica in range(2):
        x = written["samples"][replica]
        assert covariance_z(x, moments(fit, replica, temperature)) < 6
        assert covariance_z(x, moments(fit, replica, 2 * temperature)) > 12


def test_same_settings_twice_give_the_same_files(tmp_path):
    settings = SETTINGS | {"evaluations": 40}
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run_stages(tmp_path / name, ring(400, 0), "ndsm_cv", training=settings)
        runs.append(
            [
                Inputs().tensors(tmp_path / name / f"{s}.safetensors")
                for s in ("drift", "train", "sample")
            ]
        )
    for one, two in zip(*runs, strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
