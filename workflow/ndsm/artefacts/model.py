"""A method's model, shared by training and sampling: its score network and its forward chain."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndsm.artefacts import reading
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import KERNELS, Chain, grid_of
from ndsm.method.networks import Odd, ScoreNet, StackedMLP, Zero
from ndsm.method.noised_mixture import diffused
from ndsm.method.random_streams import Streams
from ndsm.method.registry import BRIDGE, CHAIN, OBJECTIVES
from ndsm.method.unet import StackedUNet

# Shares s of the straight path between which the network of flow_matching tells times apart.
SHARES = (1 - 1e-3, 1e-3)


def build(
    fit: Fitted, spec: dict[str, Any], streams: Streams, known: Fitted | None = None
) -> tuple[ScoreNet, Chain]:
    """The score network with initial weights and the forward chain of a job's replicas.

    Args:
        fit: the fitted drift.
        spec: with ``network``, ``process``, ``objective`` and ``stride``.
        streams: one generator per replica, for the weights.
        known: the fitted mixture of ``dsm_mixture``.
    """
    return _with_network(_network(fit, spec, streams), fit, spec, known)


def trained(
    fit: Fitted,
    spec: dict[str, Any],
    streams: Streams,
    weights: Path | None,
    known: Fitted | None = None,
) -> tuple[ScoreNet, Chain]:
    """The same with trained weights, averaged over the group where the method is equivariant.

    Args:
        fit: the fitted drift.
        spec: as for ``build``, with ``equivariant``.
        streams: one generator per replica; the weights that they would give are replaced.
        weights: the file that the stage ``train`` wrote; none for the untrained model, F_θ = 0.
        known: as for ``build``.
    """
    if weights is None:
        return _with_network(Zero(fit.shift.shape[-1]), fit, spec, known)
    network = _network(fit, spec, streams)
    reading.load_weights(network, weights, spec)
    return _with_network(Odd(network) if spec["equivariant"] else network, fit, spec, known)


def _network(fit: Fitted, spec: dict[str, Any], streams: Streams) -> nn.Module:
    """F_θ with initial weights."""
    d, own = fit.shift.shape[-1], spec["network"]
    if own["type"] == "unet":
        network: nn.Module = StackedUNet(d, own["width"], own["depth"], streams)
    else:
        seen = 2 * d if own["sees_drift"] else d
        network = StackedMLP(d, own["width"], own["depth"], streams, seen)
    return network.to(fit.shift.device)


def _with_network(
    network: nn.Module, fit: Fitted, spec: dict[str, Any], known: Fitted | None
) -> tuple[ScoreNet, Chain]:
    """The model with this F_θ."""
    process, examples = spec["process"], OBJECTIVES[spec["objective"]].examples
    straight = spec["objective"] == "flow_matching"
    times = straight_times() if straight else grid_of(process)
    times, kernel = times.to(fit.shift.device), KERNELS[process["kernel"]]
    chain = Chain(
        fit.mixture,
        kernel,
        times,
        spec["stride"],
        from_data=examples != CHAIN,
        ends_in_pi=examples == BRIDGE,
    )
    diffusion = diffused(known, fit) if known else None
    sees_drift = spec["network"]["sees_drift"]
    return ScoreNet(fit.mixture, network, sees_drift, diffusion, straight), chain


def straight_times() -> Tensor:
    """The times 0 and those of ``SHARES``: where the network of flow_matching is asked."""
    share = torch.tensor(SHARES)
    return torch.cat([torch.zeros(1), 0.5 * torch.log1p(((1 - share) / share).square())])
