r"""The score network, stacked over replicas.

    s_θ(y, t) = ∇log π(y) + (a(t)/√v(t)) F(y, t),    F = F_θ(y, log t)

F, the departure from π, vanishes as t grows. For the OU process its target is √v x_0 − a Z, of unit
variance at every t (the v-prediction of arXiv:2202.00512). The probability flow is dy/dφ = −F, with
cos φ = a and sin φ = √v (``samplers``). Two methods compute F in another way:

    dsm_mixture     F = F_known(y, t) + F_θ,   F_known that of a ``noised_mixture``
    flow_matching   F = ρ v_θ(ρ y) + (1 − 2s) y,   ρ² = s² + (1 − s)²,   s = cos φ/(cos φ + sin φ)

the latter since x_s = ρ y on the straight path, whose velocity v_θ is. With ``sees_drift`` F_θ has
∇log π(y) as a further input (for ``dsm_mixture`` the score of the diffused mixture). It tells where
in its mode a point is, which y alone hardly does if modes are small beside their distances.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ndsm.method.forward_process import signal, variance
from ndsm.method.mixture import Mixture, jet
from ndsm.method.noised_mixture import Diffused
from ndsm.method.random_streams import Streams

FREQUENCIES = 6


class Differentiable(nn.Module):
    """A network with derivatives in many directions at once."""

    def jvp(self, y: Tensor, t: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """F_θ (R, B, d) and its derivatives (R, n B, d) in n directions.

        Args:
            y: points, (R, B, inputs).
            t: their times, (R, B, 1).
            tangents: (R, n B, inputs): direction by direction, one at each point.
        """
        raise NotImplementedError


class StackedMLP(Differentiable):
    """F_θ for vectors: R independent MLPs (SiLU) evaluated by batched matrix products.

    Args:
        d: dimension of y.
        width: units of a hidden layer.
        depth: number of hidden layers.
        streams: one random generator per replica, for the initial weights.
        inputs: dimension of what it sees besides t, if not that of y.
    """

    def __init__(
        self, d: int, width: int, depth: int, streams: Streams, inputs: int | None = None
    ) -> None:
        super().__init__()
        sizes = [(inputs or d) + 1 + 2 * FREQUENCIES] + [width] * depth + [d]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
            # torch.nn.Linear's smaller weights leave the net almost linear, and stuck there.
            self.weights.append(streams.normal(fan_in, fan_out) / math.sqrt(fan_in))
            self.biases.append(0.1 * streams.normal(1, fan_out))
        self.weights[-1].data.zero_()  # at first s_θ = ∇log π
        self.biases[-1].data.zero_()

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """F_θ at y (R, B, inputs) and t (R, B, 1), giving (R, B, d)."""
        h = torch.cat([y, fourier(t)], -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h = functional.silu(torch.baddbmm(bias, h, weight))
        return torch.baddbmm(self.biases[-1], h, self.weights[-1])

    def jvp(self, y: Tensor, t: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """As its class has it, all directions in one matrix product."""
        h = torch.cat([y, fourier(t)], -1)
        tangents = functional.pad(tangents, (0, h.shape[-1] - y.shape[-1]))
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h, tangents = torch.baddbmm(bias, h, weight), tangents @ weight
            gate = torch.sigmoid(h)
            h = h * gate
            slope = gate + h * (1 - gate)
            tangents.unflatten(1, (-1, y.shape[1])).mul_(slope.unsqueeze(1))  # in place
        last = self.weights[-1]
        return torch.baddbmm(self.biases[-1], h, last), tangents @ last


def fourier(t: Tensor) -> Tensor:
    """Fourier features of log t, (R, B, 1 + 2 FREQUENCIES): periods 20, 10, … in log t."""
    u = torch.log(t) / 5
    k = torch.arange(1, FREQUENCIES + 1, device=t.device, dtype=t.dtype) * (math.pi / 2)
    return torch.cat([u, torch.sin(u * k), torch.cos(u * k)], -1)


class Odd(Differentiable):
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

    def jvp(self, y: Tensor, t: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """As its class has it."""
        assert isinstance(self.network, Differentiable)
        there, along = self.network.jvp(y, t, tangents)
        back, against = self.network.jvp(-y, t, -tangents)
        return 0.5 * (there - back), 0.5 * (along - against)


class Zero(Differentiable):
    """F_θ = 0: the network of an untrained model.

    Args:
        d: dimension of y.
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.d = d

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """Zeros (R, B, d) for y (R, B, ≥ d)."""
        return 0 * y[..., : self.d]

    def jvp(self, y: Tensor, t: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """As its class has it."""
        return self(y, t), self(tangents, t)


class ScoreNet(nn.Module):
    """s_θ = ∇log π + (a/√v) F, the inputs of F_θ scaled to unit variance under π.

    Args:
        drift: the mixture π.
        network: F_θ.
        sees_drift: whether ∇log π(y) is a further input of F_θ.
        known: the mixture of ``dsm_mixture``.
        straight: whether F_θ is the velocity of ``flow_matching``.

    Attributes:
        evaluations: network evaluations per point.
    """

    def __init__(
        self,
        drift: Mixture,
        network: nn.Module,
        sees_drift: bool = False,
        known: Diffused | None = None,
        straight: bool = False,
    ) -> None:
        super().__init__()
        self.drift, self.network, self.known = drift, network, known
        self.sees_drift, self.straight = sees_drift, straight
        self.scale = drift.spread()
        self.score_scale = score_spread(drift) if sees_drift else None
        self._sees_score = sees_drift and known is None
        self.evaluations = 2 if isinstance(network, Odd) else 1

    def departure(self, y: Tensor, t: Tensor, asked: Tensor | None = None) -> Tensor:
        """F at y (R, B, d), giving (R, B, d).

        Args:
            y: points.
            t: their times (R, B, 1), or one for all (1, 1, 1); the closed-form parts of F are taken
                there.
            asked: the times at which the network is asked, if it was not trained on t.
        """
        return self._departure(y, t, self.drift.score(y) if self._sees_score else None, asked)

    def with_divergence(
        self, y: Tensor, t: Tensor, asked: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """F (R, B, d) and its exact divergence (R, B), at y (R, B, d), t and ``asked`` (1, 1, 1).

        Up to the network its Jacobian is in closed form, through it d directional derivatives.
        """
        (_, points, d), eye = y.shape, torch.eye(y.shape[-1]).to(y)
        score = self.drift.score_jet(y) if self._sees_score else None
        around = jet(y, eye.expand(*y.shape, d))
        inputs, gain, offset = self._terms(y, around, t, asked, score)
        assert isinstance(self.network, Differentiable)
        at = (t if asked is None else asked).expand(*y.shape[:2], 1)
        found = self.network.jvp(inputs[:, :points], at, inputs[:, points:])
        all_of = (gain * torch.cat(found, 1) + offset).unflatten(1, (1 + d, points))
        return all_of[:, 0], all_of[:, 1:].diagonal(dim1=1, dim2=3).sum(-1)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """s_θ at y (R, B, d) and t (R, B, 1), giving (R, B, d)."""
        gain, score = signal(t) / torch.sqrt(variance(t)), self.drift.score(y)
        return score + gain * self._departure(y, t, score)

    def _departure(
        self, y: Tensor, t: Tensor, score: Tensor | None, asked: Tensor | None = None
    ) -> Tensor:
        """F, for a ``score`` ∇log π(y) that is known already."""
        inputs, gain, offset = self._terms(y, y, t, asked, score)
        asked = (t if asked is None else asked).expand(*y.shape[:2], 1)
        return gain * self.network(inputs, asked) + offset

    def _terms(
        self, y: Tensor, around: Tensor, t: Tensor, asked: Tensor | None, score: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs of the network, its factor and what is added to it.

        They are linear in y, the score and what is denoised, so that jets of these give jets.

        Args:
            y: points (R, B, d).
            around: the same, or their jet.
            t: as for ``departure``.
            asked: likewise.
            score: ∇log π(y) or its jet.
        """
        inputs, gain, offset = around / self.scale, y.new_ones(()), y.new_zeros(())
        if self.known:
            denoise = self.known.denoise if around is y else self.known.denoise_jet
            offset, seen = self.known.parts(around, t, denoise(y, t))
            if self.sees_drift and asked is not None:
                seen = self.known.parts(around, asked, denoise(y, asked))[1]
        elif score is not None and self.score_scale is not None:
            seen = score / self.score_scale
        if self.sees_drift:
            inputs = torch.cat([inputs, seen], -1)
        if self.straight:
            a, root_v = signal(t), torch.sqrt(variance(t))
            share, gain = a / (a + root_v), 1 / (a + root_v)
            inputs, offset = gain * inputs, (1 - 2 * share) * around
        return inputs, gain, offset


def score_spread(drift: Mixture, draws: int = 2000) -> Tensor:
    """Root mean square of a coordinate of ∇log π under π, (R, 1, 1), from fixed draws.

    They are drawn on the processor: a network is scaled alike wherever it trains and samples.
    """
    on_cpu = Mixture(**{name: tensor.cpu() for name, tensor in drift.tensors().items()})
    y = on_cpu.sample(draws, Streams([("score_spread",)] * len(drift.means)))
    return on_cpu.score(y).square().mean((1, 2)).sqrt().view(-1, 1, 1).to(drift.means)
