"""Training: a replica alone and in a stack, resuming, divergence, and a score that is learned."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from torch import Tensor

from conftest import SETTINGS, job_spec
from ndsm.artefacts import checkpoint, drift_file, files, model_file
from ndsm.artefacts.checkpoint import Checkpoint
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.method import fitted_drift, objectives, training
from ndsm.method.control_variate import LearnedAlpha
from ndsm.method.drift_fits import fit_mixture, fit_ou
from ndsm.method.fitted_drift import Fitted, data_sampler
from ndsm.method.forward_process import Chain, signal, variance
from ndsm.method.model import build
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams, pick_device
from ndsm.method.registry import OBJECTIVES
from ndsm.method.settings import ModelSettings, TrainingSettings
from ndsm.method.training_examples import FromData
from ndsm.stages import train


def modes(n: int, seed: int = 0, d: int = 2) -> Tensor:
    """Three round modes of unequal weights, (n, d) float32."""
    generator = default_rng(seed)
    means = np.zeros((3, d))
    means[1, 0], means[2, 1] = 4, 4
    label = generator.choice(3, n, p=[0.5, 0.3, 0.2])
    return torch.as_tensor(means[label] + 0.5 * generator.standard_normal((n, d))).float()


# Replicas of different sizes and numbers of components, in float64.

REPLICAS = [(100, 0, 3), (40, 1, 2), (70, 2, 4)]  # n_train, seed, components


def run_stack(
    replicas: list[tuple[int, int, int]],
    covariance: str = "tied",
    dtype: torch.dtype = torch.float64,
    keep: Checkpoint | None = None,
    known: str | None = None,
    **changes: Any,
) -> list[Tensor]:
    """Averaged weights of a stack of replicas after a few dozen steps.

    With ``known``, the covariance of the mixture of ``dsm_mixture``, the drift is the linear one.
    """
    x = [modes(n, seed).to(dtype) for n, seed, _ in replicas]
    points = [subset.double().numpy() for subset in x]
    fits = [
        fit_mixture(each, known or covariance, k, seed)
        for each, (_, seed, k) in zip(points, replicas, strict=True)
    ]
    job, streams = job_spec(**changes), Streams([("train", n, seed) for n, seed, _ in replicas])
    fit = mixture = fitted_drift.stack(fits).to("cpu", dtype)
    if known:
        fit = fitted_drift.stack([fit_ou(each) for each in points]).to("cpu", dtype)
    model = ModelSettings.model_validate(job)
    net, chain = build(fit, model, streams, mixture if known else None)
    net, chain = net.to(dtype), Chain(**vars(chain) | {"times": chain.times.to(dtype)})
    data = data_sampler(x, fit)
    learned = LearnedAlpha(len(x), chain.times) if job["alpha"] else None
    how = model.objective, TrainingSettings(**job["training"]), streams
    source = training.examples(chain, data, *how)
    return training.train(net, source, *how, keep, learned)[0]


def largest_difference(alone: list[Tensor], stacked: list[Tensor], replica: int) -> float:
    """Over all weights of a replica, relative to the largest of each tensor."""
    return max(
        ((a[0] - s[replica]).abs().max() / s[replica].abs().max()).item()
        for a, s in zip(alone, stacked, strict=True)
    )


EULER = job_spec()["process"] | {"kernel": "euler", "T": 0.3}
SEEING = job_spec()["network"] | {"sees_drift": True}


@pytest.mark.parametrize(
    "objective, covariance, changes",
    [
        *((name, "tied", {}) for name in OBJECTIVES),
        ("ndsm_anti", "full", {"process": EULER}),  # it has no exponential kernel
        ("ndsm_flow", "full", {}),
        ("ndsm_cv", "tied", {"alpha": "learned", "network": SEEING}),
        ("dsm", "tied", {"known": "tied"}),
        ("dsm", "full", {"known": "full", "network": SEEING}),
    ],
)
def test_a_replica_alone_and_in_a_stack_are_trained_alike(objective, covariance, changes):
    """To rounding in double precision; padded components and unequal subsets are in the stack."""
    changes = changes | {"objective": objective, "covariance": covariance}
    stacked = run_stack(REPLICAS, **changes)
    for i, replica in enumerate(REPLICAS):
        assert largest_difference(run_stack([replica], **changes), stacked, i) < 1e-8


def test_in_single_precision_they_agree_too():
    stacked = run_stack(REPLICAS, dtype=torch.float32)
    alone = run_stack(REPLICAS[1:2], dtype=torch.float32)
    assert largest_difference(alone, stacked, 1) < 1e-3


def test_same_seed_same_bits_other_seed_other_weights():
    first, again = run_stack(REPLICAS[:1]), run_stack(REPLICAS[:1])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = run_stack([(100, 5, 3)])
    assert largest_difference(first, other, 0) > 0.1


def test_a_shared_generator_would_be_noticed(monkeypatch):
    """A planted mistake: all replicas draw from one stream, so the stack changes the numbers."""

    def shared(self: Streams, shape: tuple[int, ...], fill) -> Tensor:
        out = torch.empty(len(self.generators), *shape)
        return fill(out, generator=self.generators[0])

    monkeypatch.setattr(Streams, "_fill", shared)
    assert largest_difference(run_stack(REPLICAS[1:2]), run_stack(REPLICAS), 1) > 0.01


# Equivariance.


def test_an_equivariant_method_trains_on_orbits_and_samples_from_the_average(tmp_path, monkeypatch):
    """Data 0.2 have the mirror image 0.8; the trained network itself is not odd, its average is."""
    x, job = torch.full((20, 4), 0.2), job_spec("dsm", replicas=[[20, 0]], device="cpu")
    job["equivariant"], seen, usual = True, [], train.data_sampler
    monkeypatch.setattr(train, "data_sampler", lambda x, fit: (seen.append(x), usual(x, fit))[1])
    fit = fit_ou(x.double().numpy(), symmetric=True).to("cpu", torch.float32)
    paths = [tmp_path / f"{name}.safetensors" for name in ("data", "drift", "train")]
    files.write_tensors(paths[0], {"pool": x}, {})
    drift_file.write(paths[1], fit, {})
    train.main(paths[:1], *paths[1:], job)
    ((subset,),) = seen
    assert torch.allclose(subset.unique(), torch.tensor([0.2, 0.8])) and subset.mean() == 0.5
    measured = Inputs().record(paths[2])["measured"]
    assert measured["iterations"] == SETTINGS["evaluations"]
    files.write_tensors(paths[2], Inputs().tensors(paths[2]), {})  # told of no setting
    y, t = torch.randn(1, 50, 4), torch.full((1, 50, 1), 0.5)
    for equivariant in (True, False):
        spec, streams = job | {"equivariant": equivariant}, Streams([("any",)])
        net, _ = model_file.read(Inputs(), paths[2], fit, spec, streams)
        gap = (net.departure(y, t) + net.departure(-y, t)).abs().max()
        assert gap < 1e-6 if equivariant else gap > 1e-3
        assert net.evaluations == 1 + equivariant


# Interruption.


class Interrupted(Exception):
    """Stands for a job that is killed."""


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Makes training stop as it sets the learning rate of a step."""
    usual = training.learning_rate

    def stop(now: int, *rest: Any) -> float:
        if now == step:
            raise Interrupted
        return usual(now, *rest)

    monkeypatch.setattr(training, "learning_rate", stop)


@pytest.mark.parametrize(
    "objective, alpha", [("ndsm_cv", None), ("ndsm_cv", "learned"), ("dsm", None)]
)
def test_interrupted_training_goes_on_to_the_same_bits(
    objective, alpha, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(FromData, "block", 5)
    monkeypatch.setattr(checkpoint, "PERIOD", 0.0)
    changes = {"objective": objective, "alpha": alpha, "dtype": torch.float32}
    whole = run_stack(REPLICAS, **changes)
    keep = Checkpoint(tmp_path / "0.safetensors", job_spec(objective))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_at(patch, 17)
        run_stack(REPLICAS, keep=keep, **changes)
    assert "going on from" not in capsys.readouterr().out
    with keep:
        resumed = run_stack(REPLICAS, keep=keep, **changes)
    assert "going on from" in capsys.readouterr().out
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_forgets_something_is_noticed(tmp_path, monkeypatch):
    """A planted mistake: the random streams are not put back."""
    monkeypatch.setattr(FromData, "block", 5)
    monkeypatch.setattr(checkpoint, "PERIOD", 0.0)
    whole, out = run_stack(REPLICAS), tmp_path / "0.safetensors"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_at(patch, 17)
        run_stack(REPLICAS, keep=Checkpoint(out, job_spec()))
    monkeypatch.setattr(Streams, "restore", lambda *_: None)
    resumed = run_stack(REPLICAS, keep=Checkpoint(out, job_spec()))
    assert not all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path):
    one, other = (Checkpoint(tmp_path / "0.safetensors", job_spec(stride=s)) for s in (1, 2))
    assert one.path != other.path
    one.path.touch()
    assert other.load(torch.device("cpu")) is None


def test_losses_after_resuming_are_those_of_an_uninterrupted_run(tmp_path, monkeypatch):
    """Resumed after the last tick but one of 41 steps, and between two ticks."""
    monkeypatch.setattr(FromData, "block", 5)
    monkeypatch.setattr(checkpoint, "PERIOD", 0.0)
    changes = {"objective": "dsm", "training": SETTINGS | {"evaluations": 41}}
    seen, usual = [], training.log_progress
    monkeypatch.setattr(training, "log_progress", lambda *a: (seen.append(a[:3]), usual(*a)))
    run_stack(REPLICAS, **changes)
    whole = seen[-1]
    for step in (40, 37):
        keep = Checkpoint(tmp_path / f"{step}.safetensors", job_spec())
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            interrupt_at(patch, step)
            run_stack(REPLICAS, keep=keep, **changes)
        seen.clear()
        run_stack(REPLICAS, keep=keep, **changes)
        assert seen and seen[-1][0] == whole[0]
        torch.testing.assert_close(seen[-1][2], whole[2])


# Divergence.


def test_divergence_stops_with_step_time_and_remedy():
    settings = SETTINGS | {"learning_rate": 1e6, "evaluations": 400}
    network = {"type": "mlp", "sees_drift": False, "width": 16, "depth": 3}
    with pytest.raises(Refused) as refusal:
        run_stack(REPLICAS, dtype=torch.float32, training=settings, network=network)
    message = str(refusal.value)
    assert "\n" not in message and re.search(r"at step \d+, .* t = [\d.]+:", message)
    assert "training.learning_rate (now 1e+06)" in message and "process.t_min" in message


def test_divergence_names_the_first_bad_step_and_its_times(monkeypatch):
    """Between two ticks, at late times and in one replica only."""
    usual, calls = objectives.denoising, iter(range(1000))

    def bad_late(score, jump, noise):
        loss = usual(score, jump, noise)
        bad = (jump.t.squeeze(-1) > 1) & (jump.t.squeeze(-1) < 2.5) & (next(calls) >= 9)
        bad[0] = False
        return torch.where(bad, torch.inf, loss)

    monkeypatch.setattr(objectives, "denoising", bad_late)
    with pytest.raises(Refused, match=r"at step 10, at times up to t = 1\.69"):
        run_stack(REPLICAS, objective="dsm", training=SETTINGS | {"evaluations": 80})


def test_divergence_after_the_last_tick_is_not_missed(monkeypatch):
    """59 steps: a tick every 2, and one step left over."""
    usual, calls = objectives.denoising, iter(range(1000))

    def bad_end(score, jump, noise):
        return usual(score, jump, noise) + (math.nan if next(calls) == 58 else 0)

    monkeypatch.setattr(objectives, "denoising", bad_end)
    with pytest.raises(Refused, match="at step 59"):
        run_stack(REPLICAS, objective="dsm", training=SETTINGS | {"evaluations": 59})


# Device.


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused_in_one_line():
    with pytest.raises(Refused, match="device: 'cuda', but torch finds no GPU; give auto or cpu"):
        pick_device("cuda")
    assert pick_device("auto") == pick_device("cpu") == "cpu"


# Learning.


class Affine(torch.nn.Module):
    """Plays the network: the exact F of N(m, S²) data under the OU process, for two replicas."""

    def __init__(self, mean: Tensor, var: Tensor) -> None:
        super().__init__()
        self.mean, self.var = mean, var

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """F at y (R, B, d) and t (R, B, 1)."""
        a, v = signal(t), variance(t)
        return v.sqrt() * (a * (self.var - 1) * y + self.mean) / (a * a * self.var + v)


def gaussian_error(objective: str, evaluations: int) -> float:
    """Relative error of the learned departure from π, data N(m, diag) in the plane.

    E‖F_θ − F‖² / E‖F‖² over the particles of p_t at all times of the grid.
    """
    x = torch.as_tensor(default_rng(0).standard_normal((4000, 2)) * [1.3, 0.4] + 1).float()
    scaled: Fitted = fit_ou(x.double().numpy()).to("cpu", torch.float32)
    # Working coordinates in which the mean is not zero, so that there is a mean to be learned.
    fit = Fitted(scaled.mixture, scaled.shift - 0.5 * scaled.factor, scaled.factor)
    settings = TrainingSettings(
        evaluations=evaluations, batch=256, learning_rate=2e-2, ema=0.05, pool=16
    )
    network = {"type": "mlp", "sees_drift": False, "width": 32, "depth": 2}
    model = ModelSettings(**job_spec(objective, stride=10, network=network))
    streams = Streams([("gauss", objective)])
    net, chain = build(fit, model, streams)
    data = data_sampler([x], fit)
    source = training.examples(chain, data, objective, settings, streams)
    ema, losses = training.train(net, source, objective, settings, streams)
    assert losses[-1] < losses[0]
    net.network.load_state_dict(dict(zip(net.network.state_dict(), ema, strict=True)))
    points = fit.to_working(x.unsqueeze(0))
    truth = ScoreNet(fit.mixture, Affine(points.mean(1, keepdim=True), points.var(1, keepdim=True)))
    test = Streams([("test",)])
    t = chain.times[1 + (test.uniform(4000) * chain.steps).long()].unsqueeze(-1)
    start = data(test.uniform(4000))
    y = signal(t) * start + variance(t).sqrt() * test.normal(4000, 2)
    with torch.no_grad():
        exact = truth.departure(y, t)
        error = net.departure(y, t) - exact
    return (error.square().sum() / exact.square().sum()).item()


@pytest.mark.parametrize("objective", ["dsm", "ndsm_cv", "ndsm_anti"])
def test_a_gaussian_score_is_learned(objective):
    """To a tenth of the departure's power; before training the error is all of it."""
    assert gaussian_error(objective, 800) < 0.1
