r"""Reverse samplers: from y_N at time T back to data, in working coordinates.

    Euler         y ← y − h f(y) + 2h s + √(2h) ξ
    exponential   y ← m̄ + e^h (y − m̄) + 2 (e^h − 1) s + √(e^{2h} − 1) ξ
    Adams         probability-flow ODE dx/dt = f − s, one evaluation a step
    Heun          the same, two
    EDM           the same ODE in x = y/a and the noise level σ = √v/a, by Heun's method

For s_θ = ∇log π + (a/√v) F_θ the ODE's right-hand side is −(a/√v) F_θ. In the angle φ with
sin φ = √v and cos φ = a, dφ = (a/√v) dt, it is simply dy/dφ = −F_θ, smooth down to φ = 0, so that
steps are equal in φ. The last step adds no noise. EDM (Karras et al., arXiv:2206.00364) has
the denoiser D(x, σ) = a y + √v F_θ(y), whose preconditioning is that of the score network, steps
equal in σ^{1/7}, and a last step by Euler.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from ndsm.errors import Refused
from ndsm.method.forward_process import Chain, angle_of_time, time_of_angle
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.method.registry import SAMPLERS
from ndsm.method.settings import SamplingSettings

Found = TypeVar("Found")  # F, or F and its divergence
# Of the reverse SDE, from y, t and h: mean (R, B, d) and deviation.
Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
CHUNK = 200  # samples of a replica drawn together: what is between them stays in the cache
RHO = 7  # of the EDM noise levels
# The time at which what is known of F is taken in place of zero, where it is a limit. A component
# of deviation 0.02, in working coordinates 0.014, loses 0.005 nats by it, narrower ones more.
SOONEST = 1e-6


def prior(chain: Chain, n: int, streams: Streams) -> Tensor:
    """Draws of y_N, (R, n, d): of π, pushed through the forward process if that ends near π only.

    π is stationary for the diffusion; the push adds what the kernel's frozen responsibilities
    change, the same as it does to data.
    """
    if chain.ends_in_pi:
        return chain.drift.sample(n, streams)
    return chain.simulate(chain.drift.sample(n, streams), chain.steps, streams)


def angles(chain: Chain, steps: int) -> Tensor:
    """Equal steps of φ from the chain's end down to 0, (steps + 1,) in float64.

    In single precision the end would pass π/2 from T = 18 on.
    """
    top = torch.pi / 2 if chain.ends_in_pi else angle_of_time(chain.times[-1].double()).item()
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64) * top


def flow(
    departure: Callable[[Tensor, Tensor, Tensor | None], Found], chain: Chain
) -> Callable[[Tensor, Tensor], Found]:
    """The departure F, of y (R, B, d), their time and when the network is asked, by y and an angle.

    The network is asked at times of the grid alone; what is known of F is taken at all of them.
    """
    first, last = chain.times[1].item(), chain.times[-1].item()

    def at(y: Tensor, phi: Tensor) -> Found:
        t = time_of_angle(phi.double()).nan_to_num(torch.inf).clamp(min=SOONEST)
        exact, asked = (each.to(y).view(1, 1, 1) for each in (t, t.clamp(first, last)))
        return departure(y, exact, None if first <= t <= last else asked)

    return at


def adams(departure: Callable[[Tensor, Tensor], Tensor], y: Tensor, phi: Tensor) -> Tensor:
    """Solves dy/dφ = −F(y, φ) by the method of Adams and Bashforth, order two, first step by Euler.

    At equal cost its error is mostly a third to two thirds of Heun's (bench/README.md).

    Args:
        departure: F, from y (R, B, d) and a scalar angle.
        y: (R, B, d) at the first angle.
        phi: the angles (steps + 1,), in equal steps down.
    """
    before = None
    for here, there in zip(phi[:-1], phi[1:], strict=True):
        slope = departure(y, here)
        y = y + (here - there) * (slope if before is None else 1.5 * slope - 0.5 * before)
        before = slope
    return y


def heun(departure: Callable[[Tensor, Tensor], Tensor], y: Tensor, phi: Tensor) -> Tensor:
    """Solves dy/dφ = −F(y, φ) along the angles φ (steps + 1,) by Heun's method, order two.

    Args:
        departure: F, from y (R, B, d) and a scalar angle.
        y: (R, B, d) at the first angle.
        phi: the angles, decreasing.
    """
    for here, there in zip(phi[:-1], phi[1:], strict=True):
        slope = departure(y, here)
        ahead = departure(y + (here - there) * slope, there)
        y = y + (here - there) * 0.5 * (slope + ahead)
    return y


def noise_levels(T: float, t_min: float, steps: int) -> Tensor:  # noqa: N803
    """σ_0 > … > σ_{steps−1} = σ(t_min), equal steps of σ^{1/7}, then 0; (steps + 1,) in float64."""
    ends = torch.tensor([T, t_min], dtype=torch.float64)
    high, low = torch.sqrt(torch.expm1(2 * ends)) ** (1 / RHO)
    share = torch.linspace(0, 1, steps, dtype=torch.float64)
    return torch.cat([torch.lerp(high, low, share) ** RHO, share.new_zeros(1)])


def edm(denoiser: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor) -> Tensor:
    """Solves dx/dσ = (x − D(x, σ))/σ along noise levels σ (steps + 1,), the last of them zero.

    Args:
        denoiser: D, from x (R, B, d) and a scalar noise level.
        x: (R, B, d) at the first level.
        sigma: the levels, decreasing to zero.
    """
    for here, there in zip(sigma[:-1], sigma[1:], strict=True):
        slope = (x - denoiser(x, here)) / here
        ahead = x + (there - here) * slope
        if there > 0:
            slope = 0.5 * (slope + (ahead - denoiser(ahead, there)) / there)
            ahead = x + (there - here) * slope
        x = ahead
    return x


def reverse_times(T: float, t_min: float, steps: int) -> Tensor:  # noqa: N803
    """T = t_0 > … > t_{steps−1} = t_min, then 0; geometric, (steps + 1,) in float64."""
    times = torch.linspace(1, 0, steps, dtype=torch.float64)
    return torch.cat([t_min * (T / t_min) ** times, times.new_zeros(1)])


def euler(
    drift_score: Callable[[Tensor], Tensor], score: Callable[[Tensor, Tensor], Tensor]
) -> Step:
    """A step by Euler–Maruyama, of the drift's f = ∇log π and the score s(y, t)."""

    def step(y: Tensor, t: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return y - h * drift_score(y) + 2 * h * score(y, t), torch.sqrt(2 * h)

    return step


def exponential(
    centre: Callable[[Tensor], Tensor], score: Callable[[Tensor, Tensor], Tensor]
) -> Step:
    """A step whose linear part is solved exactly, with the centre m̄(y) and the score frozen."""

    def step(y: Tensor, t: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        growth = torch.expm1(h)
        mean = y + growth * (y - centre(y)) + 2 * growth * score(y, t)
        return mean, torch.sqrt(torch.expm1(2 * h))

    return step


def reverse_sde(step: Step, y: Tensor, times: Tensor, noise: Callable[[], Tensor]) -> Tensor:
    """The reverse SDE from y (R, B, d) on, (R, B, d); the last step adds no noise.

    Args:
        step: ``euler`` or ``exponential``.
        y: points at the first time.
        times: (steps + 1,), decreasing to zero.
        noise: gives ξ, of the shape of y.
    """
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        mean, deviation = step(y, t, t - t_next)
        y = mean + deviation * noise() if t_next > 0 else mean
    return y


def draw(net: ScoreNet, chain: Chain, settings: SamplingSettings, streams: Streams) -> Tensor:
    """Samples of a stack of replicas, (R, n, d) in working coordinates; as ``generate``."""
    chunks = []
    for left in range(settings.samples, 0, -CHUNK):
        y = prior(chain, min(CHUNK, left), streams)
        chunks.append(generate(net, y, chain, settings.sampler, settings.steps, streams))
    return torch.cat(chunks, 1)


def generate(
    net: ScoreNet, y: Tensor, chain: Chain, sampler: str, steps: int, streams: Streams
) -> Tensor:
    """Carries draws y (R, B, d) of y_N back to t = 0, (R, B, d).

    Args:
        net: the trained score network.
        y: draws of the prior.
        chain: with its grid; the network is never asked below t_1 = t_min, nor above T.
        sampler: a name of ``SAMPLERS``.
        steps: steps of the sampler.
        streams: one generator per replica, for ξ.

    Raises:
        Refused: there is no such sampler.
    """
    if sampler not in SAMPLERS:
        raise Refused(f"sampler: {sampler!r} is unknown; allowed: {', '.join(SAMPLERS)}")
    return globals()[SAMPLERS[sampler].generate](net, y, chain, steps, streams)


def by_adams(net: ScoreNet, y: Tensor, chain: Chain, steps: int, streams: Streams) -> Tensor:
    """``adams`` in equal steps of φ; as ``generate``."""
    return adams(flow(net.departure, chain), y, angles(chain, steps))


def by_heun(net: ScoreNet, y: Tensor, chain: Chain, steps: int, streams: Streams) -> Tensor:
    """``heun`` in equal steps of φ; as ``generate``."""
    return heun(flow(net.departure, chain), y, angles(chain, steps))


def by_edm(net: ScoreNet, y: Tensor, chain: Chain, steps: int, streams: Streams) -> Tensor:
    """``edm``, with the denoiser D(x, σ) = a y + √v F(y) at y = a x; as ``generate``."""
    asked_at = _within(chain, y)
    sigma = noise_levels(chain.times[-1].item(), chain.times[1].item(), steps).to(y)

    def denoiser(x: Tensor, level: Tensor) -> Tensor:
        a = torch.rsqrt(1 + level**2)
        return a * (a * x) + level * a * net.departure(a * x, asked_at(torch.log1p(level**2) / 2))

    return edm(denoiser, y * torch.sqrt(1 + sigma[0] ** 2), sigma)


def by_euler(net: ScoreNet, y: Tensor, chain: Chain, steps: int, streams: Streams) -> Tensor:
    """``reverse_sde`` by ``euler``; as ``generate``."""
    return _reverse_sde(partial(euler, net.drift.score), net, y, chain, steps, streams)


def by_exponential(net: ScoreNet, y: Tensor, chain: Chain, steps: int, streams: Streams) -> Tensor:
    """``reverse_sde`` by ``exponential``; as ``generate``."""
    return _reverse_sde(partial(exponential, net.drift.centre), net, y, chain, steps, streams)


def _within(chain: Chain, y: Tensor) -> Callable[[Tensor], Tensor]:
    """A time as the network of y (R, B, d) takes it, (R, B, 1), none before t_min."""
    t_min = chain.times[1].item()
    return lambda t: t.clamp(min=t_min).to(y).expand(*y.shape[:2], 1)


def _reverse_sde(
    step: Callable[[Callable[[Tensor, Tensor], Tensor]], Step],
    net: ScoreNet,
    y: Tensor,
    chain: Chain,
    steps: int,
    streams: Streams,
) -> Tensor:
    """``reverse_sde`` with the network's score, given to ``step``; as ``generate``."""
    asked_at = _within(chain, y)
    times = reverse_times(chain.times[-1].item(), chain.times[1].item(), steps).to(y)

    def score(y: Tensor, t: Tensor) -> Tensor:
        return net(y, asked_at(t))

    def noise() -> Tensor:
        return streams.normal(*y.shape[1:]).to(y)

    return reverse_sde(step(score), y, times, noise)


def evaluations(sampler: str, steps: int) -> int:
    """Network evaluations per sample."""
    entry = SAMPLERS[sampler]
    last = entry.evaluations if entry.last is None else entry.last
    return entry.evaluations * (steps - 1) + last
