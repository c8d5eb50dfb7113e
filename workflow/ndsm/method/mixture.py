r"""Gaussian mixtures, stacked over replicas: the potential of the nonlinear forward process.

    π(y) = Σ_k w_k N(y; m_k, Σ_k),      r_k(y) = w_k N(y; m_k, Σ_k) / π(y),
    ∇log π(y) = −Σ_k r_k(y) Σ_k⁻¹ (y − m_k).

Everything lives in *working coordinates*, in which the mean within-component variance is one. For a
spherical or tied fit all components are then N(m_k, I) and ∇log π(y) = m̄(y) − y with the centre
m̄(y) = Σ_k r_k(y) m_k. The Ornstein–Uhlenbeck process of DSM is the case of one component N(0, I).

Shapes: R replicas, B points, K components, d dimensions.
"""

import math
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from ndsm.method.random_streams import Streams


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
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @cached_property
    def _whitening(self) -> tuple[Tensor, Tensor]:
        """L_k⁻ᵀ side by side, (R, d, K d), and the L_k⁻¹ m_k in a row, (R, 1, K d).

        One matrix product whitens a point by every component.
        """
        assert self.scale_tril is not None
        identity = torch.eye(self.means.shape[-1]).to(self.scale_tril)
        inverse = torch.linalg.solve_triangular(self.scale_tril, identity, upper=False)
        whiten = inverse.flatten(1, 2).mT  # the rows of all L_k⁻¹ as columns
        return whiten, (inverse @ self.means.unsqueeze(-1)).flatten(1).unsqueeze(1)

    def _logits(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log w_k N(y; m_k, Σ_k) + ½ d log 2π (+ ½‖y‖² if Σ_k = I), and L_k⁻¹(y − m_k).

        The first is (R, K, B): a processor exponentiates and adds along many points at once, but
        slowly along few components.
        """
        if self.scale_tril is None:
            bias = self.log_weights - 0.5 * self.means.square().sum(-1)
            return torch.baddbmm(bias.unsqueeze(-1), self.means, y.mT), None
        _, components, d, _ = self.scale_tril.shape
        whiten, centres = self._whitening
        u = (y @ whiten - centres).unflatten(-1, (components, d))  # (R, B, K, d)
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
        whiten, _ = self._whitening
        return -(logits.softmax(1).mT.unsqueeze(-1) * u).flatten(2) @ whiten.mT

    def score_jet(self, y: Tensor) -> Tensor:
        """∇log π and its derivatives, (R, (1 + d) B, d) as ``jet`` has them, at y (R, B, d).

        ∂s/∂y = Σ_k r_k [(s_k − s)(s_k − s)ᵀ − Σ_k⁻¹], s_k the score of a component.
        """
        logits, u = self._logits(y)
        r, d = logits.softmax(1).mT, y.shape[-1]
        if self.scale_tril is None or u is None:
            centre, between = moments(r, self.means.unsqueeze(1))
            return jet(centre - y, between - torch.eye(d).to(y))
        inverse = self._whitening[0].mT.unflatten(1, (-1, d))
        score, between = moments(r, -(u.transpose(1, 2) @ inverse).transpose(1, 2))
        within = r @ (inverse.mT @ inverse).flatten(2)
        return jet(score, between - within.unflatten(-1, (d, d)))

    def log_prob(self, y: Tensor) -> Tensor:
        """Log π at y (R, B, d), giving (R, B)."""
        log_density = self._logits(y)[0].logsumexp(1) - 0.5 * y.shape[-1] * math.log(2 * math.pi)
        if self.scale_tril is None:
            log_density = log_density - 0.5 * y.square().sum(-1)
        return log_density

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draws from π, (R, n, d)."""
        u, z = streams.uniform(n), streams.normal(n, self.means.shape[-1]).to(self.means)
        weights = self.log_weights.exp().unsqueeze(1).expand(-1, n, -1)
        centre, factor = self.component(weights, u)
        return centre + (z if factor is None else (factor @ z.unsqueeze(-1)).squeeze(-1))

    def component(self, probabilities: Tensor, u: Tensor) -> tuple[Tensor, Tensor | None]:
        """Means (R, B, d) and Cholesky factors (R, B, d, d), if any, of components drawn at random.

        Args:
            probabilities: of each component, (R, B, K).
            u: uniform numbers (R, B) that choose.
        """
        cumulative = probabilities.cumsum(-1)
        # The sum is one but for rounding.
        chosen = u.to(cumulative).unsqueeze(-1) * cumulative[..., -1:]
        index = torch.searchsorted(cumulative, chosen).clamp(max=cumulative.shape[-1] - 1)
        index, replica = index.squeeze(-1), torch.arange(len(u), device=u.device).unsqueeze(1)
        factor = None if self.scale_tril is None else self.scale_tril[replica, index]
        return self.means[replica, index], factor

    def spread(self) -> Tensor:
        """Root mean variance of a coordinate under π, (R, 1, 1); exact where Σ_k = I on average."""
        w = self.log_weights.exp().unsqueeze(-1)
        offset = self.means - (w * self.means).sum(1, keepdim=True)
        return ((w * offset.square()).sum(1).mean(-1) + 1).sqrt().view(-1, 1, 1)


def moments(r: Tensor, each: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (R, B, d) and covariance (R, B, d, d) of e_k (R, B or 1, K, d) by weights (R, B, K)."""
    weights = r.unsqueeze(-1)
    mean = (weights * each).sum(2)
    offset = each - mean.unsqueeze(2)
    return mean, (weights * offset).mT @ offset


def jet(value: Tensor, jacobian: Tensor) -> Tensor:
    """A value (R, B, e) at y (R, B, d) above its derivatives, direction by direction.

    What is linear in values treats the (R, (1 + d) B, e) as it treats so many points.

    Args:
        value: of a function of y.
        jacobian: its own, (R, B, e, d).
    """
    return torch.cat([value.unsqueeze(1), jacobian.permute(0, 3, 1, 2)], 1).flatten(1, 2)


def standard_normal(replicas: int, d: int) -> Mixture:
    """The OU process's stationary law N(0, I), one for each replica."""
    return Mixture(torch.zeros(replicas, 1), torch.zeros(replicas, 1, d))
