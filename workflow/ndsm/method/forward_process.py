r"""The forward (noising) process as a chain of Gaussian jumps.

    dX = f(X) dt + √2 dW,   f = ∇log π,          0 = t_0 < t_1 < … < t_N = T, t_1 = t_min,
    y_n = μ_n(y_{n−1}) + σ_n Z_n,                 Z_n ~ N(0, I), h_n = t_n − t_{n−1}.

Kernels (m̄ and ∇log π as in ``mixture``, within-component variance s² = 1):

    euler         μ = y + h f(y),                 σ² = 2h        stable for h below about λ_min(Σ)
    exponential   μ = m̄(y) + a (y − m̄(y)),        σ² = 1 − a²,   a = e^{−h}

The exponential kernel freezes only the responsibilities, so it is exact for one component (the OU
process) and where components do not overlap. With ``stride`` > 1 a particle crosses a number of
grid times in one jump, drawn uniformly from 1, …, stride, independently of its state; with
``from_data`` one jump leads from the data to any time.

A particle that would pass t_N by k grid times starts anew from the data with a jump to t_k. So its
index walks around a circle of N places in steps that do not depend on the place, and visits every
grid time equally often. Seen from an arrival at t_n, the last steps are uniform on 1, …, stride and
the first is cut short at zero: that is how ``Chain.simulate`` draws a path.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ndsm.method.mixture import Mixture
from ndsm.method.random_streams import Streams
from ndsm.method.settings import ProcessSettings


def signal(t: Tensor) -> Tensor:
    """a(t) = e^{−t}: what is left of x_0."""
    return torch.exp(-t)


def variance(t: Tensor) -> Tensor:
    """v(t) = 1 − e^{−2t}: the variance of the noise added by time t."""
    return -torch.expm1(-2 * t)


def angle_of_time(t: Tensor) -> Tensor:
    """φ with cos φ = a(t) and sin φ = √v(t), from 0 to π/2."""
    return torch.atan2(torch.sqrt(variance(t)), signal(t))


def time_of_angle(phi: Tensor) -> Tensor:
    """The time t with a(t) = cos φ; infinite at π/2 but for rounding."""
    return -torch.log(torch.cos(phi))


@dataclass(frozen=True)
class Jump:
    """One Gaussian jump y = μ + σZ per particle, arriving at time t.

    Attributes:
        mu: (R, B, d).
        sigma: (R, B, 1).
        t: (R, B, 1), the time at which the jump arrives.
    """

    mu: Tensor
    sigma: Tensor
    t: Tensor


Kernel = Callable[[Mixture, Tensor, Tensor], tuple[Tensor, Tensor]]


def euler(drift: Mixture, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Euler–Maruyama: μ (R, B, d) and σ (R, B, 1) of a step h from y."""
    return y + h * drift.score(y), torch.sqrt(2 * h)


def exponential(drift: Mixture, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Exact step with the responsibilities frozen at y: μ (R, B, d) and σ (R, B, 1)."""
    return torch.lerp(drift.centre(y), y, signal(h).to(y)), torch.sqrt(variance(h))


KERNELS: dict[str, Kernel] = {"euler": euler, "exponential": exponential}


def time_grid(
    t_min: float,
    T: float,  # noqa: N803
    steps: int,
    log_noise: tuple[float, float] | None = None,
) -> Tensor:
    """Times t_0 = 0, t_1 = t_min, …, t_N = T, (N + 1,) in float64.

    Training meets every grid time equally often, so the grid is also the spread of noise levels.

    Args:
        t_min: the first time after zero.
        T: the last.
        steps: N.
        log_noise: geometric from t_1 without it; with it at equal quantiles of a normal law of
            log σ with this mean and deviation, σ = √v/a = √(e^{2t} − 1) (arXiv:2206.00364).
    """
    if log_noise is None:
        times = torch.logspace(math.log10(t_min), math.log10(T), steps, dtype=torch.float64)
    else:
        mean, deviation = log_noise
        ends = torch.tensor([t_min, T], dtype=torch.float64)
        low, high = torch.special.ndtr((torch.expm1(2 * ends).log() / 2 - mean) / deviation)
        quantiles = torch.linspace(low.item(), high.item(), steps, dtype=torch.float64)
        log_sigma = mean + deviation * torch.special.ndtri(quantiles)
        times = torch.log1p(torch.exp(2 * log_sigma)) / 2
        times[[0, -1]] = ends  # but for rounding they are there
    return torch.cat([times.new_zeros(1), times])


def grid_of(process: ProcessSettings) -> Tensor:
    """The grid of a process, in single precision."""
    return time_grid(process.t_min, process.T, process.steps, process.log_noise).float()


@dataclass(frozen=True)
class Chain:
    """The forward chain.

    Attributes:
        drift: f = ∇log π, in working coordinates.
        kernel: of one jump.
        times: the grid, (N + 1,).
        stride: the longest jump along the chain, in grid times; at most N.
        from_data: every jump starts at a data point and may cross the whole grid (``dsm``).
        ends_in_pi: the law at the last grid time is π itself (``ndsm_flow``, ``flow_matching``).
    """

    drift: Mixture
    kernel: Kernel
    times: Tensor
    stride: int = 1
    from_data: bool = False
    ends_in_pi: bool = False

    @property
    def steps(self) -> int:
        """N, the number of grid times after t_0."""
        return len(self.times) - 1

    def hops(self, u: Tensor) -> Tensor:
        """Grid times that a jump crosses, for uniform numbers u of any shape."""
        return 1 + (u * (self.steps if self.from_data else self.stride)).long()

    def jump(self, y: Tensor, start: Tensor, stop: Tensor) -> Jump:
        """The jump from y (R, B, d) at grid index start to index stop, both (R, B)."""
        t = self.times[stop].unsqueeze(-1)
        mu, sigma = self.kernel(self.drift, y, t - self.times[start].unsqueeze(-1))
        return Jump(mu, sigma, t)

    def simulate(self, y: Tensor, n: int | Tensor, streams: Streams, start: int = 0) -> Tensor:
        """Particles y (R, B, d) moved from t_start to t_n, n one index or (R, B) of them.

        It takes one number of each of the streams, however long the paths are.
        """
        streams, noises = streams.fork(), []
        path = [torch.as_tensor(n, device=y.device).expand(y.shape[:2])]
        while (path[-1] > start).any():  # from the end of the path to its start
            hop = path[-1] if self.from_data else self.hops(streams.uniform(y.shape[1]))
            path.append((path[-1] - hop).clamp(min=start))
            noises.append(streams.fork())  # of the jump that ends here, however long the path is
        for stop, index, noise in zip(path[-2::-1], path[:0:-1], noises[::-1], strict=True):
            jump = self.jump(y, index, stop)
            moved = jump.mu + jump.sigma * noise.normal(*y.shape[1:]).to(y)
            y = torch.where((index < stop).unsqueeze(-1), moved, y)
        return y

    def last_jump(self, y: Tensor, n: Tensor, streams: Streams) -> Jump:
        """The jumps that carry particles y (R, B, d), started at time zero, to t_n, n (R, 1)."""
        hop = self.hops(streams.uniform(y.shape[1]))
        start = torch.zeros_like(hop) if self.from_data else (n - hop).clamp(min=0)
        return self.jump(self.simulate(y, start, streams), start, n.expand_as(start))
