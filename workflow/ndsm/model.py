"""A method's model, shared by training and sampling: its score network and its forward chain."""

from pathlib import Path
from typing import Any

from ndsm import inputs
from ndsm.fitted import Fitted
from ndsm.nets import Odd, ScoreNet, StackedMLP
from ndsm.objectives import OBJECTIVES
from ndsm.sde import KERNELS, Chain, grid_of
from ndsm.streams import Streams
from ndsm.unet import StackedUNet

NETWORKS = {"mlp": StackedMLP, "unet": StackedUNet}


def build(fit: Fitted, spec: dict[str, Any], streams: Streams) -> tuple[ScoreNet, Chain]:
    """The score network with initial weights and the forward chain of a job's replicas.

    Args:
        fit: the fitted drift.
        spec: with ``network``, ``process``, ``objective`` and ``stride``.
        streams: one generator per replica, for the weights.
    """
    process, device = spec["process"], fit.shift.device
    size = {key: spec["network"][key] for key in ("width", "depth")}
    network = NETWORKS[spec["network"]["type"]](fit.shift.shape[-1], **size, streams=streams)
    times = grid_of(process).to(device)
    from_data = OBJECTIVES[spec["objective"]].from_data
    chain = Chain(fit.mixture, KERNELS[process["kernel"]], times, spec["stride"], from_data)
    return ScoreNet(fit.mixture, network.to(device)), chain


def trained(
    fit: Fitted, spec: dict[str, Any], streams: Streams, weights: Path
) -> tuple[ScoreNet, Chain]:
    """The same with trained weights, averaged over the group where the method is equivariant.

    Args:
        fit: the fitted drift.
        spec: as for ``build``, with ``equivariant``.
        streams: one generator per replica; the weights that they would give are replaced.
        weights: the file that the stage ``train`` wrote.
    """
    net, chain = build(fit, spec, streams)
    inputs.load_weights(net.network, weights, spec)
    return (ScoreNet(fit.mixture, Odd(net.network)) if spec["equivariant"] else net), chain
