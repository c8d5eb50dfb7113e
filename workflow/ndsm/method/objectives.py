r"""Objectives. The first four learn the score, the last two the velocity of the marginal law.

Each takes an example (``forward_process.Jump`` y = μ + σZ, or ``training_examples.Bridge``), its
noise Z and what is learned, and gives one number per particle, so two objectives can be compared
on the same noise.
With s = s_θ(·, t) and λ = v(t):

    dsm, ndsm_jump   λ ½‖s(y) + Z/σ‖²                                     (jump from the data)
    ndsm             λ [½‖s(y)‖² + s(y)·Z/σ]                              (jump along the chain)
    ndsm_cv          λ [½‖s(y)‖² + (s(y) − α s(μ))·Z/σ]
    ndsm_anti        λ [¼(‖s(y₊)‖² + ‖s(y₋)‖²) + ½ (s(y₊) − s(y₋))·Z/σ],   y± = μ ± σZ

They minimise E[λ ‖s_θ(y, t) − ∇log p_t(y)‖²] / 2 up to a constant, and are exact at every step
size, because ∇log p_n(y) = E[−Z_n/σ_n | y_n = y] for any chain with Gaussian kernels:
arXiv:2405.15625 (NDSM and its control variate). With F = F(·, φ), the departure of ``networks``,
which on a bridge is minus the velocity (arXiv:2210.02747):

    ndsm_flow        ½‖F(y) + dy/dφ‖²                                     (bridge from the data)
    flow_matching    (cos φ + sin φ)² ½‖F(y) + dy/dφ‖²                    (one component, N(0, I))

The factor of ``flow_matching`` makes it ½‖v_θ(x_s) − (x − Z)‖² on the straight path
x_s = s x + (1 − s) Z.

Training multiplies by e^{wt} where a method asks for it. Under the linear drift w = 2 is EDM's
weight, 1 on the error of F (arXiv:2206.00364), since √λ (s + Z/σ) = a (F + dy/dφ) there: so
``ndsm_flow`` with one component is ``dsm`` with this weight and equally likely angles.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ndsm.method.forward_process import Jump, variance
from ndsm.method.registry import OBJECTIVES
from ndsm.method.training_examples import Bridge

Function = Callable[[Tensor, Tensor], Tensor]  # of y (R, B, d) and t (R, B, 1), like y


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product over the last axis."""
    return (a * b).sum(-1)


def denoising(score: Function, jump: Jump, noise: Tensor) -> Tensor:
    """λ ½‖s(y) + Z/σ‖², (R, B): DSM, and NDSM with one jump from the data."""
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return 0.5 * (variance(jump.t) * (s + noise / jump.sigma).square()).sum(-1)


def ndsm(score: Function, jump: Jump, noise: Tensor) -> Tensor:
    """λ [½‖s(y)‖² + s(y)·Z/σ], (R, B). Its variance grows like 1/h."""
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return variance(jump.t).squeeze(-1) * (0.5 * dot(s, s) + dot(s, noise / jump.sigma))


def with_variate(score: Function, jump: Jump, noise: Tensor) -> tuple[Tensor, Tensor]:
    """NDSM and its neural control variate λ s(μ)·Z/σ, both (R, B).

    The control variate's mean is zero, since Z is independent of μ. It is not detached: its
    derivative in θ is what removes the 1/h from the variance of the gradient.
    """
    s, s_mu = _at_both(score, jump.mu + jump.sigma * noise, jump.mu, jump.t)
    weight, z = variance(jump.t).squeeze(-1), noise / jump.sigma
    return weight * (0.5 * dot(s, s) + dot(s, z)), weight * dot(s_mu, z)


def ndsm_cv(score: Function, jump: Jump, noise: Tensor, alpha: float = 1.0) -> Tensor:
    """NDSM less α times its neural control variate, (R, B); ``control_variate`` learns the α."""
    loss, variate = with_variate(score, jump, noise)
    return loss - alpha * variate


def ndsm_anti(score: Function, jump: Jump, noise: Tensor) -> Tensor:
    """NDSM over the antithetic pair y± = μ ± σZ, (R, B): odd-order noise terms cancel."""
    step = jump.sigma * noise
    s_plus, s_minus = _at_both(score, jump.mu + step, jump.mu - step, jump.t)
    return variance(jump.t).squeeze(-1) * (
        0.25 * (dot(s_plus, s_plus) + dot(s_minus, s_minus))
        + 0.5 * dot(s_plus - s_minus, noise / jump.sigma)
    )


def _at_both(score: Function, y: Tensor, y_other: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The score at two sets of points in one call of the network."""
    s, s_other = score(torch.cat([y, y_other], 1), torch.cat([t, t], 1)).chunk(2, 1)
    return s, s_other


def ndsm_flow(departure: Function, bridge: Bridge, noise: Tensor) -> Tensor:
    """½‖F(y) + dy/dφ‖², (R, B): bridges from the data to components of π."""
    a, root_v = torch.cos(bridge.angle), torch.sin(bridge.angle)
    start = bridge.x - bridge.centre
    end, factor = noise, bridge.factor
    if factor is not None:
        end = (factor @ noise.unsqueeze(-1).to(factor)).squeeze(-1)
    y = bridge.centre + a * start + root_v * end
    return 0.5 * (departure(y, bridge.t) - (root_v * start - a * end)).square().sum(-1)


def flow_matching(departure: Function, bridge: Bridge, noise: Tensor) -> Tensor:
    """½‖v_θ(x_s) − (x − Z)‖² on the straight path from Z to the data, (R, B)."""
    stretch = (torch.cos(bridge.angle) + torch.sin(bridge.angle)).square()
    return stretch.squeeze(-1) * ndsm_flow(departure, bridge, noise)


def loss(name: str) -> Callable[..., Tensor]:
    """The loss of an objective: of what is learned, an example and its noise, (R, B)."""
    return globals()[OBJECTIVES[name].loss]
