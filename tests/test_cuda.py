"""On a graphics card: the processor's numbers, stacks, and resuming to the same bits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.random import default_rng
from torch import Tensor

from conftest import job_spec
from ndsm.artefacts import checkpoint
from ndsm.artefacts.checkpoint import Checkpoint
from ndsm.method import fitted_drift, training
from ndsm.method.drift_fits import fit_mixture, fit_ou
from ndsm.method.fitted_drift import Fitted, data_sampler
from ndsm.method.forward_process import Chain
from ndsm.method.likelihood import log_prob
from ndsm.method.model import build
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.method.samplers import generate, prior
from ndsm.method.settings import ModelSettings, TrainingSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

CHAIN = {"ndsm_cv", "ndsm"}
PLAIN = {"type": "mlp", "sees_drift": True, "width": 16, "depth": 2}
UNET = {"type": "unet", "sees_drift": False, "width": 8, "depth": 1}


def points(n: int, seed: int, d: int) -> Tensor:
    """Two modes, (n, d)."""
    generator = default_rng(seed)
    side = generator.random((n, 1)) < 0.4
    return torch.as_tensor(side * 1.0 + 0.3 * generator.standard_normal((n, d))).float()


def fit_of(objective: str, x: list[Tensor], d: int) -> Fitted:
    """The linear process, or a mixture of two spherical components."""
    linear = objective in ("dsm", "flow_matching")
    fits = [
        fit_ou(each.double().numpy())
        if linear
        else fit_mixture(each.double().numpy(), "spherical", 2, 0)
        for each in x
    ]
    return fitted_drift.stack(fits)


def trained(
    objective: str, device: str, seeds: list[int], keep: Checkpoint | None = None, **changes: Any
) -> tuple[list[Tensor], ScoreNet, Chain, Fitted]:
    """Averaged weights after 60 evaluations of a stack, its network, chain and drift."""
    d = 64 if changes.get("network") == UNET else 2
    x = [points(80, seed, d) for seed in seeds]
    fit = fit_of(objective, x, d).to(device, torch.float32)
    job = job_spec(objective, **{"network": PLAIN} | changes)
    job["stride"] = 3 if objective in CHAIN else 1
    streams = Streams([("train", seed) for seed in seeds], device)
    settings = TrainingSettings(**job["training"])
    net, chain = build(fit, ModelSettings.model_validate(job), streams)
    data = data_sampler(x, fit)
    source = training.examples(chain, data, objective, settings, streams)
    weights, _ = training.train(net, source, objective, settings, streams, keep)
    for weight, average in zip(net.parameters(), weights, strict=True):
        weight.data.copy_(average)
    return weights, net, chain, fit


@pytest.mark.parametrize("objective", ["dsm", "ndsm_cv", "ndsm_flow", "flow_matching"])
@pytest.mark.parametrize("network", [PLAIN, UNET], ids=["mlp", "unet"])
def test_a_replica_alone_and_in_a_stack_are_trained_alike(objective, network):
    """To a thousandth in single precision; the U-Net, in half precision, to a fiftieth."""
    stacked = trained(objective, "cuda", [0, 1, 2], network=network)[0]
    alone = trained(objective, "cuda", [1], network=network)[0]
    limit = 1e-3 if network == PLAIN else 2e-2
    for a, s in zip(alone, stacked, strict=True):
        assert (a[0] - s[1]).abs().max() <= limit * s[1].abs().max()


class Interrupted(Exception):
    """Stands for a job that is killed."""


@pytest.mark.parametrize("objective", ["dsm", "ndsm_cv", "ndsm_flow"])
@pytest.mark.parametrize("network", [PLAIN, UNET], ids=["mlp", "unet"])
def test_interrupted_training_goes_on_to_the_same_bits(objective, network, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PERIOD", 0.0)
    torch.backends.cudnn.deterministic = True  # else convolutions add in another order each time
    whole = trained(objective, "cuda", [0, 1], network=network)[0]
    keep, usual = (
        Checkpoint(Path(tmp_path) / "0.safetensors", job_spec(objective)),
        training.learning_rate,
    )

    def stop(now: int, *rest: Any) -> float:
        if now == 17:
            raise Interrupted
        return usual(now, *rest)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(training, "learning_rate", stop)
        trained(objective, "cuda", [0, 1], keep, network=network)
    assert list(tmp_path.iterdir())
    resumed = trained(objective, "cuda", [0, 1], keep, network=network)[0]
    torch.backends.cudnn.deterministic = False
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


@pytest.mark.parametrize("objective", ["dsm", "ndsm_cv", "ndsm_flow", "flow_matching"])
def test_densities_and_flows_are_those_of_the_processor(objective):
    """One network, moved: log-densities within 1e-3 nats, samples of one start within 1e-3."""
    _, net, chain, fit = trained(objective, "cuda", [0, 1])
    x = torch.stack([points(50, seed, 2) for seed in (5, 6)])
    y = prior(chain, 50, Streams([("prior", i) for i in range(2)], "cuda"))
    found = []
    for device in ("cuda", "cpu"):
        net.network.to(device)
        moved = fit.to(device)
        here = ScoreNet(moved.mixture, net.network, net.sees_drift, straight=net.straight)
        there = Chain(**vars(chain) | {"drift": moved.mixture, "times": chain.times.to(device)})
        streams = Streams([("any", i) for i in range(2)], device)
        with torch.no_grad():
            density = log_prob(here, there, moved, x.to(device), streams)
            samples = generate(here, y.to(device), there, "adams", 16, streams)
        found.append((density.cpu(), samples.cpu()))
    for on_card, on_processor in zip(*found, strict=True):
        torch.testing.assert_close(on_card, on_processor, rtol=1e-3, atol=1e-3)
