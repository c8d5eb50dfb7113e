"""The stacks that are measured, made without files: a network, its chain, its data."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ndsm.method import fitted_drift, training
from ndsm.method.drift_fits import fit_ou
from ndsm.method.fitted_drift import Fitted, data_sampler
from ndsm.method.forward_process import Chain
from ndsm.method.mixture import Mixture
from ndsm.method.model import build
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.method.registry import OBJECTIVES
from ndsm.method.settings import (
    ModelSettings,
    NetworkSettings,
    ProcessSettings,
    TrainingSettings,
)
from ndsm.method.training_examples import Examples

Settings = dict[str, Any]

PROCESS = {"kernel": "exponential", "steps": 100, "t_min": 1e-2, "T": 4.0}
TRAINING: Settings = {"batch": 128, "learning_rate": 5e-3, "ema": 0.1, "pool": 32}
NETWORK = {"type": "mlp", "sees_drift": False, "width": 64, "depth": 3}


@dataclass(frozen=True)
class Stack:
    """R replicas ready to be trained.

    Attributes:
        net: the score network.
        chain: the forward chain.
        data: from uniform numbers (R, B) to training points (R, B, d), working coordinates.
        streams: one generator per replica.
        fit: the drift, with the way back to data units.
    """

    net: ScoreNet
    chain: Chain
    data: fitted_drift.Sampler
    streams: Streams
    fit: Fitted


def keys(replicas: int) -> list[tuple[Any, ...]]:
    """Names for the random generators of some replicas."""
    return [("bench", 0, seed) for seed in range(replicas)]


def stack(
    subsets: list[Tensor],
    fit: Fitted,
    objective: str,
    network: Settings,
    process: Settings = PROCESS,
    stride: int = 15,
    device: str = "cpu",
) -> Stack:
    """A stack for given training subsets, (n_r, d) each, and a fitted drift."""
    streams = Streams(keys(len(subsets)), device)
    model = ModelSettings(
        objective=objective,
        process=ProcessSettings(**process),
        network=NetworkSettings(**network),
        stride=stride,
        equivariant=False,
    )
    net, chain = build(fit.to(device), model, streams)
    return Stack(net, chain, data_sampler(subsets, fit.to(device)), streams, fit)


def invented(
    d: int,
    objective: str = "dsm",
    components: int = 20,
    n: int = 2000,
    replicas: int = 20,
    network: Settings = NETWORK,
    **how: Any,
) -> Stack:
    """A stack on normal data, with an invented mixture as its drift (one component for ``dsm``)."""
    generator = torch.Generator().manual_seed(0)
    components = 1 if objective == "dsm" else components
    means = 3 * torch.randn(replicas, components, d, generator=generator)
    weights = torch.full((replicas, components), 1 / components).log()
    unit = torch.ones(replicas, 1, 1)
    fit = Fitted(Mixture(weights, means), torch.zeros(replicas, 1, d), unit)
    points = torch.randn(n, d, generator=generator)
    return stack([points] * replicas, fit, objective, network, **how)


def linear(subsets: list[Tensor]) -> Fitted:
    """The OU drift of each of some training subsets, (n_r, d)."""
    fits = [fit_ou(subset.double().numpy()) for subset in subsets]
    return fitted_drift.stack(fits).to("cpu", torch.float32)


def trained(
    model: Stack,
    objective: str,
    evaluations: int,
    source: Examples | None = None,
    weight: float = 0.0,
    **changes: Any,
) -> None:
    """Trains a stack as the study does, without a word, and leaves its averaged weights in it.

    Args:
        model: the stack.
        objective: what to train with.
        evaluations: network evaluations per particle.
        source: its examples, if they are there already.
        weight: of the objective, see ``training.train``.
        changes: of ``TRAINING``.
    """
    settings = TrainingSettings(**TRAINING | {"evaluations": evaluations} | changes)
    streams = model.streams
    source = source or training.examples(model.chain, model.data, objective, settings, streams)
    averages = training.train(model.net, source, objective, settings, streams, weight=weight)[0]
    with torch.no_grad():
        for own, average in zip(model.net.parameters(), averages, strict=True):
            own.copy_(average)


def steps(model: Stack, objective: str, number: int, **changes: Any) -> None:
    """The same for a number of steps."""
    trained(model, objective, number * OBJECTIVES[objective].evaluations, **changes)
