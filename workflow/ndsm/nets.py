r"""The score network, stacked over replicas.

    s_θ(y, t) = ∇log π(y) + (a(t)/√v(t)) F_θ(y, log t)

F_θ learns only the departure from π, which vanishes as t grows. For the OU process F_θ's target is
√v x_0 − a Z, of unit variance at every t (the v-prediction of arXiv:2202.00512).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ndsm.mixture import Mixture
from ndsm.sde import signal, variance
from ndsm.streams import Streams

FREQUENCIES = 6


class StackedMLP(nn.Module):
    """F_θ for vectors: R independent MLPs (SiLU) evaluated by batched matrix products.

    Args:
        d: dimension of y.
        width: units of a hidden layer.
        depth: number of hidden layers.
        streams: one random generator per replica, for the initial weights.
    """

    def __init__(self, d: int, width: int, depth: int, streams: Streams) -> None:
        super().__init__()
        sizes = [d + 1 + 2 * FREQUENCIES] + [width] * depth + [d]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
            # torch.nn.Linear's smaller weights leave the net almost linear, and stuck there.
            self.weights.append(streams.normal(fan_in, fan_out) / math.sqrt(fan_in))
            self.biases.append(0.1 * streams.normal(1, fan_out))
        self.weights[-1].data.zero_()  # at first s_θ = ∇log π
        self.biases[-1].data.zero_()

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """F_θ at y (R, B, d) and t (R, B, 1), giving (R, B, d)."""
        h = torch.cat([y, fourier(t)], -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h = functional.silu(torch.baddbmm(bias, h, weight))
        return torch.baddbmm(self.biases[-1], h, self.weights[-1])


def fourier(t: Tensor) -> Tensor:
    """Fourier features of log t, (R, B, 1 + 2 FREQUENCIES): periods 20, 10, … in log t."""
    u = torch.log(t) / 5
    k = torch.arange(1, FREQUENCIES + 1, device=t.device, dtype=t.dtype) * (math.pi / 2)
    return torch.cat([u, torch.sin(u * k), torch.cos(u * k)], -1)


class Odd(nn.Module):
    """The group average ½ (F(y) − F(−y)): exactly equivariant under y → −y.

    It evaluates the network twice, so it is taken of the trained network: F trains on the data and
    their mirror images, and by convexity the average's squared error is no larger than F's.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """An odd function of y (R, B, d), at t (R, B, 1)."""
        there, back = self.network(torch.cat([y, -y], 1), torch.cat([t, t], 1)).chunk(2, 1)
        return 0.5 * (there - back)


class ScoreNet(nn.Module):
    """s_θ = ∇log π + (a/√v) F_θ, with y scaled to unit variance for F_θ.

    Attributes:
        evaluations: network evaluations per point.
    """

    def __init__(self, drift: Mixture, network: nn.Module) -> None:
        super().__init__()
        self.drift, self.network = drift, network
        self.scale = drift.spread()
        self.evaluations = 2 if isinstance(network, Odd) else 1

    def departure(self, y: Tensor, t: Tensor) -> Tensor:
        """F_θ at y (R, B, d) and t (R, B, 1), giving (R, B, d)."""
        return self.network(y / self.scale, t)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """s_θ at y (R, B, d) and t (R, B, 1), giving (R, B, d)."""
        gain = signal(t) / torch.sqrt(variance(t))
        return self.drift.score(y) + gain * self.departure(y, t)
