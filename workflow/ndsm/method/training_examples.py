r"""What a training step learns from: a batch of examples for each replica.

    FromData   jumps of the chain from data points, drawn anew in each step (``dsm``)
    Bridges    bridges from data points to their component of π, drawn anew in each step
    Pool       jumps along the chain, of particles that wait at their own grid times

A *bridge* of a data point x takes its component k ~ r(x), with mean m_k and covariance L_k L_kᵀ,
and an angle φ with cos φ = a(t), sin φ = √v(t), uniform from 0 to π/2:

    y = m_k + cos φ (x − m_k) + sin φ L_k Z,     −dy/dφ = sin φ (x − m_k) − cos φ L_k Z.

It is x at φ = 0 and a draw of the component at π/2, whatever x is, so that the last law is π. The
mean of −dy/dφ given y is minus the velocity of the law of y (arXiv:2210.02747). With one component
N(0, I) the bridge is DSM's jump from the data. ``flow_matching`` has it too, with other angles: on
the straight path x_s = s x + (1 − s) Z, whose y is x_s / |(s, 1 − s)| and tan φ = (1 − s)/s, the
share s is uniform.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ndsm.method.fitted_drift import Sampler
from ndsm.method.forward_process import Chain, Jump
from ndsm.method.random_streams import Streams

BLOCK = 50  # steps whose random numbers are drawn at once, where there is no pool
CHUNK = 500  # particles of a replica that are simulated at once


@dataclass(frozen=True)
class Bridge:
    """One bridge per particle.

    Attributes:
        x: the data point, (R, B, d).
        centre: m_k, (R, B, d).
        factor: L_k, (R, B, d, d), or None where it is the identity.
        angle: φ, (R, B, 1).
        t: the time that the network sees, (R, B, 1).
    """

    x: Tensor
    centre: Tensor
    factor: Tensor | None
    angle: Tensor
    t: Tensor


class Examples(Protocol):
    """Where a training has its examples from.

    Attributes:
        block: steps whose random numbers are drawn at once.
    """

    block: int

    def shuffle(self, streams: Streams) -> None:
        """Begins a block of steps."""

    def draw(self, k: int, u: Tensor) -> Any:
        """The examples of step k of the block, jumps or bridges, for uniform numbers (R, 3, B)."""

    def move(self, example: Any, noise: Tensor) -> None:
        """Ends the step whose noise was (R, B, d)."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs; ``restore`` puts it back."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continues from a checkpoint's state."""


class FromData:
    """Jumps of the chain from data points to grid times, all equally likely.

    Args:
        chain: the forward chain, with ``from_data``.
        data: ``data(u)`` gives data points (R, B, d) for uniform numbers u (R, B).
    """

    block = BLOCK

    def __init__(self, chain: Chain, data: Sampler) -> None:
        self.chain, self.data = chain, data

    def shuffle(self, streams: Streams) -> None:
        """Nothing: each step draws anew."""

    def draw(self, k: int, u: Tensor) -> Jump | Bridge:
        """Jumps (R, B, ·) for uniform numbers u (R, 3, B): of times, and of data points."""
        stop = self.chain.hops(u[:, 0])
        return self.chain.jump(self.data(u[:, 1]), torch.zeros_like(stop), stop)

    def move(self, example: Jump | Bridge, noise: Tensor) -> None:
        """Nothing: no particle is kept."""

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing."""


class Bridges(FromData):
    """Bridges from data points to components of π.

    Args:
        chain: the forward process; the network sees times of its grid alone, from t_1 to T.
        data: as for ``FromData``.
        straight: whether the angles are those of ``flow_matching``.
    """

    def __init__(self, chain: Chain, data: Sampler, straight: bool = False) -> None:
        super().__init__(chain, data)
        self.straight = straight

    def draw(self, k: int, u: Tensor) -> Bridge:
        """Bridges for uniform numbers u (R, 3, B): of angles, data points and components."""
        x, drift = self.data(u[:, 1]), self.chain.drift
        share = u[:, 0].unsqueeze(-1).to(x)
        angle = torch.atan2(1 - share, share) if self.straight else torch.pi / 2 * share
        t = (0.5 * torch.log1p(torch.tan(angle).square())).clamp(*self.chain.times[[1, -1]])
        return Bridge(x, *drift.component(drift.responsibilities(x), u[:, 2]), angle, t)


class Pool:
    """Particles of R replicas, each at its own grid time; a step moves a random batch of them.

    A batch of the same particles in every step would be like the batch before it, and its
    gradient's noise would not average out; so there are ``laps`` times as many particles as a batch
    has, and ``laps`` steps move each of them once. The first moves are made in the constructor, so
    that the pool starts out spread evenly over the grid.

    Args:
        chain: the forward chain.
        data: as for ``FromData``.
        batch: B, the number of particles that a step moves.
        laps: steps in which every particle moves once; there are ``laps`` B particles a replica.
        streams: randomness of the first moves.
    """

    def __init__(
        self, chain: Chain, data: Sampler, batch: int, laps: int, streams: Streams
    ) -> None:
        self.chain, self.data, self.batch, self.block = chain, data, batch, laps
        u = streams.uniform(2, laps * batch)
        self.index = 1 + (u[:, 0] * chain.steps).long()
        parts = zip(data(u[:, 1]).split(CHUNK, 1), self.index.split(CHUNK, 1), strict=True)
        self.y = torch.cat([chain.simulate(y, n, streams) for y, n in parts], 1)

    def shuffle(self, streams: Streams) -> None:
        """Begins a lap: every particle moves once, in a random order."""
        order = streams.permutation(self.index.shape[1])
        self.order = order.view(len(order), self.block, self.batch)

    def draw(self, k: int, u: Tensor) -> Jump:
        """The next jumps of the batch k of this lap, for uniform numbers u (R, ≥ 2, B).

        They choose the strides, and the data points of those particles that start anew.
        """
        rows = self.order[:, k]
        y = self.y.gather(1, rows.unsqueeze(-1).expand(-1, -1, self.y.shape[-1]))
        start = self.index.gather(1, rows)
        stop = start + self.chain.hops(u[:, 0])
        passes = stop > self.chain.steps
        start = torch.where(passes, 0, start)
        y = torch.where(passes.unsqueeze(-1), self.data(u[:, 1]), y)
        self.rows, self.stop = rows, torch.where(passes, stop - self.chain.steps, stop)
        return self.chain.jump(y, start, self.stop)

    def move(self, example: Jump, noise: Tensor) -> None:
        """Lets the batch make its jumps, with Z = noise (R, B, d)."""
        y = example.mu + example.sigma * noise
        self.y.scatter_(1, self.rows.unsqueeze(-1).expand_as(y), y)
        self.index.scatter_(1, self.rows, self.stop)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs."""
        return {"y": self.y, "index": self.index}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continues from a checkpoint's state."""
        self.y, self.index = state["y"], state["index"]


def most_laps(steps: int) -> int:
    """The largest pool, in batches, each of whose particles moves twice in as many steps.

    That no particle comes from the data to T in a training is no harm: the pool starts out spread
    over the grid, and what counts is how many paths there are. On weighted_modes, with 200 Euler
    steps, ``ndsm_cv`` ended at a KL divergence of 0.41, 0.13 and 0.078 nats with pools of 8, 32 and
    256 batches, of the last of which each particle moves three times.
    """
    return max(1, steps // 2)
