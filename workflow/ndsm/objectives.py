r"""Objectives: all minimise E[λ ‖s_θ(y, t) − ∇log p_t(y)‖²] / 2 up to a constant, λ = v(t) e^{wt}.

The functions below have w = 0; training multiplies by e^{wt} where a method asks for it (w = 2
under the linear drift is EDM's weight, 1 on the error of F_θ: arXiv:2206.00364).

Each takes a jump y = μ + σZ (``sde.Jump``), its noise Z and the score network, and gives one number
per particle, so two objectives can be compared on the same noise. With s = s_θ(·, t):

    dsm, ndsm_jump   λ ½‖s(y) + Z/σ‖²                                     (jump from the data)
    ndsm             λ [½‖s(y)‖² + s(y)·Z/σ]                              (jump along the chain)
    ndsm_cv          λ [½‖s(y)‖² + (s(y) − α s(μ))·Z/σ]
    ndsm_anti        λ [¼(‖s(y₊)‖² + ‖s(y₋)‖²) + ½ (s(y₊) − s(y₋))·Z/σ],   y± = μ ± σZ

They are exact at every step size, because ∇log p_n(y) = E[−Z_n/σ_n | y_n = y] for any chain with
Gaussian kernels; arXiv:2405.15625 (NDSM and its control variate) and DESIGN (the last two).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ndsm.sde import Jump, variance

Score = Callable[[Tensor, Tensor], Tensor]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product over the last axis."""
    return (a * b).sum(-1)


def denoising(score: Score, jump: Jump, noise: Tensor) -> Tensor:
    """λ ½‖s(y) + Z/σ‖², (R, B): DSM, and NDSM with one jump from the data."""
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return 0.5 * (variance(jump.t) * (s + noise / jump.sigma).square()).sum(-1)


def ndsm(score: Score, jump: Jump, noise: Tensor) -> Tensor:
    """λ [½‖s(y)‖² + s(y)·Z/σ], (R, B). Its variance grows like 1/h."""
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return variance(jump.t).squeeze(-1) * (0.5 * dot(s, s) + dot(s, noise / jump.sigma))


def with_variate(score: Score, jump: Jump, noise: Tensor) -> tuple[Tensor, Tensor]:
    """NDSM and its neural control variate λ s(μ)·Z/σ, both (R, B).

    The control variate's mean is zero, since Z is independent of μ. It is not detached: its
    derivative in θ is what removes the 1/h from the variance of the gradient.
    """
    s, s_mu = _at_both(score, jump.mu + jump.sigma * noise, jump.mu, jump.t)
    weight, z = variance(jump.t).squeeze(-1), noise / jump.sigma
    return weight * (0.5 * dot(s, s) + dot(s, z)), weight * dot(s_mu, z)


def ndsm_cv(score: Score, jump: Jump, noise: Tensor, alpha: float = 1.0) -> Tensor:
    """NDSM less α times its neural control variate, (R, B); ``control`` learns the α."""
    loss, variate = with_variate(score, jump, noise)
    return loss - alpha * variate


def ndsm_anti(score: Score, jump: Jump, noise: Tensor) -> Tensor:
    """NDSM over the antithetic pair y± = μ ± σZ, (R, B): odd-order noise terms cancel."""
    step = jump.sigma * noise
    s_plus, s_minus = _at_both(score, jump.mu + step, jump.mu - step, jump.t)
    return variance(jump.t).squeeze(-1) * (
        0.25 * (dot(s_plus, s_plus) + dot(s_minus, s_minus))
        + 0.5 * dot(s_plus - s_minus, noise / jump.sigma)
    )


def _at_both(score: Score, y: Tensor, y_other: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The score at two sets of points in one call of the network."""
    s, s_other = score(torch.cat([y, y_other], 1), torch.cat([t, t], 1)).chunk(2, 1)
    return s, s_other


@dataclass(frozen=True)
class Objective:
    """A training objective.

    Attributes:
        loss: loss(score, jump, noise) gives one number per particle, (R, B).
        evaluations: network evaluations per particle.
        from_data: whether the jump starts at a data point (else at a particle of the chain).
    """

    loss: Callable[[Score, Jump, Tensor], Tensor]
    evaluations: int
    from_data: bool = False


OBJECTIVES = {
    "dsm": Objective(denoising, 1, from_data=True),
    "ndsm": Objective(ndsm, 1),
    "ndsm_cv": Objective(ndsm_cv, 2),
    "ndsm_anti": Objective(ndsm_anti, 2),
    "ndsm_jump": Objective(denoising, 1, from_data=True),
}
