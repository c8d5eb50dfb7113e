r"""Gaussian mixtures, stacked over replicas: the potential of the nonlinear forward process.

    π(y) = Σ_k w_k N(y; m_k, Σ_k),      r_k(y) = w_k N(y; m_k, Σ_k) / π(y),
    ∇log π(y) = −Σ_k r_k(y) Σ_k⁻¹ (y − m_k).

Everything lives in *working coordinates*, in which the mean within-component variance is one. For a
spherical or tied fit all components are then N(m_k, I) and ∇log π(y) = m̄(y) − y with the centre
m̄(y) = Σ_k r_k(y) m_k. The Ornstein–Uhlenbeck process of DSM is the case of one component N(0, I).

Shapes: R replicas, B points, K components, d dimensions.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ndsm.streams import Streams


class Drift(Protocol):
    """What the forward process needs of a potential −log π; a user's own may stand in."""

    def score(self, y: Tensor) -> Tensor:
        """∇log π at y, both (R, B, d)."""

    def log_prob(self, y: Tensor) -> Tensor:
        """Log π at y (R, B, d), giving (R, B)."""

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draws from π, (R, n, d)."""


@dataclass(frozen=True)
class Mixture:
    """Gaussian mixtures of R replicas.

    Attributes:
        log_weights: (R, K), −inf for a component that only pads the stack.
        means: (R, K, d).
        scale_tril: (R, K, d, d) Cholesky factors L_k of Σ_k, or None where every Σ_k = I.
    """

    log_weights: Tensor
    means: Tensor
    scale_tril: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, without an absent scale_tril."""
        return {name: t for name, t in vars(self).items() if t is not None}

    def _logits(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log w_k N(y; m_k, Σ_k) + ½ d log 2π (+ ½‖y‖² if Σ_k = I), and L_k⁻¹(y − m_k).

        The first is (R, K, B): a processor exponentiates and adds along many points at once, but
        slowly along few components.
        """
        if self.scale_tril is None:
            bias = self.log_weights - 0.5 * self.means.square().sum(-1)
            return torch.baddbmm(bias.unsqueeze(-1), self.means, y.mT), None
        offset = (y.unsqueeze(2) - self.means.unsqueeze(1)).unsqueeze(-1)  # (R, B, K, d, 1)
        factor = self.scale_tril.unsqueeze(1)
        u = torch.linalg.solve_triangular(factor, offset, upper=False).squeeze(-1)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (self.log_weights - log_det).unsqueeze(-1) - 0.5 * u.square().sum(-1).mT, u

    def responsibilities(self, y: Tensor) -> Tensor:
        """r_k(y), (R, B, K)."""
        return self._logits(y)[0].softmax(1).mT

    def centre(self, y: Tensor) -> Tensor:
        """m̄(y) = Σ_k r_k(y) m_k, (R, B, d)."""
        return self.responsibilities(y) @ self.means

    def score(self, y: Tensor) -> Tensor:
        """∇log π at y, both (R, B, d)."""
        logits, u = self._logits(y)
        if self.scale_tril is None or u is None:
            return logits.softmax(1).mT @ self.means - y
        whitened = torch.linalg.solve_triangular(
            self.scale_tril.mT.unsqueeze(1), u.unsqueeze(-1), upper=True
        ).squeeze(-1)
        return -(logits.softmax(1).mT.unsqueeze(-1) * whitened).sum(2)

    def log_prob(self, y: Tensor) -> Tensor:
        """Log π at y (R, B, d), giving (R, B)."""
        log_density = self._logits(y)[0].logsumexp(1) - 0.5 * y.shape[-1] * math.log(2 * math.pi)
        if self.scale_tril is None:
            log_density = log_density - 0.5 * y.square().sum(-1)
        return log_density

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draws from π, (R, n, d)."""
        cumulative = self.log_weights.exp().cumsum(-1)
        # The weights' sum is one but for rounding.
        u = streams.uniform(n).to(cumulative) * cumulative[:, -1:]
        index = torch.searchsorted(cumulative, u).clamp(max=cumulative.shape[1] - 1)
        replica = torch.arange(len(index), device=index.device).unsqueeze(1)
        z = streams.normal(n, self.means.shape[-1]).to(self.means)
        if self.scale_tril is not None:
            z = (self.scale_tril[replica, index] @ z.unsqueeze(-1)).squeeze(-1)
        return self.means[replica, index] + z

    def spread(self) -> Tensor:
        """Root mean variance of a coordinate under π, (R, 1, 1); exact where Σ_k = I on average."""
        w = self.log_weights.exp().unsqueeze(-1)
        offset = self.means - (w * self.means).sum(1, keepdim=True)
        return ((w * offset.square()).sum(1).mean(-1) + 1).sqrt().view(-1, 1, 1)


def standard_normal(replicas: int, d: int) -> Mixture:
    """The OU process's stationary law N(0, I), one for each replica."""
    return Mixture(torch.zeros(replicas, 1), torch.zeros(replicas, 1, d))
