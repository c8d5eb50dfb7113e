"""A method's model, shared by training and sampling: its score network and its forward chain."""

import torch
from torch import Tensor, nn

from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import KERNELS, Chain, grid_of
from ndsm.method.networks import ScoreNet, StackedMLP
from ndsm.method.noised_mixture import diffused
from ndsm.method.random_streams import Streams
from ndsm.method.registry import BRIDGE, CHAIN, OBJECTIVES
from ndsm.method.settings import ModelSettings
from ndsm.method.unet import StackedUNet

# Shares s of the straight path between which the network of flow_matching tells times apart.
SHARES = (1 - 1e-3, 1e-3)


def build(
    fit: Fitted, model: ModelSettings, streams: Streams, known: Fitted | None = None
) -> tuple[ScoreNet, Chain]:
    """The score network with initial weights and the forward chain of a stack of replicas.

    Args:
        fit: the fitted drift.
        model: its settings.
        streams: one generator per replica, for the weights.
        known: the fitted mixture of ``dsm_mixture``.
    """
    return with_network(initial_network(fit, model, streams), fit, model, known)


def initial_network(fit: Fitted, model: ModelSettings, streams: Streams) -> nn.Module:
    """F_θ with initial weights."""
    d, own = fit.shift.shape[-1], model.network
    if own.type == "unet":
        network: nn.Module = StackedUNet(d, own.width, own.depth, streams)
    else:
        seen = 2 * d if own.sees_drift else d
        network = StackedMLP(d, own.width, own.depth, streams, seen)
    return network.to(fit.shift.device)


def with_network(
    network: nn.Module, fit: Fitted, model: ModelSettings, known: Fitted | None = None
) -> tuple[ScoreNet, Chain]:
    """The same with a given F_θ: a trained one, or ``Zero`` for the untrained model."""
    process, examples = model.process, OBJECTIVES[model.objective].examples
    straight = model.objective == "flow_matching"
    times = straight_times() if straight else grid_of(process)
    times, kernel = times.to(fit.shift.device), KERNELS[process.kernel]
    chain = Chain(
        fit.mixture,
        kernel,
        times,
        model.stride,
        from_data=examples != CHAIN,
        ends_in_pi=examples == BRIDGE,
    )
    diffusion = diffused(known, fit) if known else None
    sees_drift = model.network.sees_drift
    return ScoreNet(fit.mixture, network, sees_drift, diffusion, straight), chain


def straight_times() -> Tensor:
    """The times 0 and those of ``SHARES``: where the network of flow_matching is asked."""
    share = torch.tensor(SHARES)
    return torch.cat([torch.zeros(1), 0.5 * torch.log1p(((1 - share) / share).square())])
