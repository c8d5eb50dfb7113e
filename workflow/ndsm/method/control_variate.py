r"""The scale α of the neural control variate, learned (``alpha: learned`` of a method).

With f = λ [½‖s(y)‖² + s(y)·Z/σ] and the variate c = λ s(μ)·Z/σ, whose mean is zero,

    Var(f − α c) is least at α* = E[f c] / E[c²].

Each bin of log t has its own α, from the moments of past steps alone: to the present noise it is a
constant, so the expected gradient stays that of NDSM.
"""

import math

import torch
from torch import Tensor

from ndsm.method.forward_process import Jump
from ndsm.method.objectives import Function, with_variate

BINS = 10
MEMORY = 0.99  # what a step leaves of the earlier moments


class LearnedAlpha:
    """Running moments of R replicas, and ``ndsm_cv`` with the α that they give.

    Args:
        replicas: R.
        times: the chain's grid, t_0 = 0 first.
    """

    def __init__(self, replicas: int, times: Tensor) -> None:
        first, last = (math.log10(times[n].item()) for n in (1, -1))
        self.edges = torch.logspace(first, last, BINS + 1)[1:-1].to(times)
        self.moments = times.new_zeros(2, replicas, BINS)  # E[f c] and E[c²], not normalised

    def alpha(self, t: Tensor) -> Tensor:
        """α at times t (R, B, 1), giving (R, B); 1 where there is no past."""
        fc, cc = self.moments
        bins = torch.bucketize(t.squeeze(-1), self.edges)
        return torch.where(cc > 0, fc / cc, 1.0).gather(1, bins)

    @torch.no_grad()
    def remember(self, t: Tensor, loss: Tensor, variate: Tensor) -> None:
        """Takes a step's losses f and variates c, both (R, B), at times t (R, B, 1) in."""
        bins = torch.bucketize(t.squeeze(-1), self.edges)
        self.moments *= MEMORY
        for moment, product in zip(self.moments, (loss * variate, variate**2), strict=True):
            moment.scatter_add_(1, bins, product)

    def loss(self, score: Function, jump: Jump, noise: Tensor) -> Tensor:
        """``ndsm_cv`` with the learned α, (R, B)."""
        loss, variate = with_variate(score, jump, noise)
        alpha = self.alpha(jump.t)
        self.remember(jump.t, loss, variate)  # after α is taken: it must not know this noise
        return loss - alpha * variate
