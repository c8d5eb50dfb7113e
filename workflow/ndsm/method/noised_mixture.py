r"""A mixture under linear noise: the closed-form part of the score in ``dsm_mixture``.

Under the Ornstein–Uhlenbeck process a Gaussian mixture stays one,

    π_t = Σ_k w_k N(a m_k, S_k),    S_k = a² C_k + v I,    a = e^{−t}, v = 1 − a²,

so its denoiser D = E[x_0 | y_t = y], its score and its departure (``networks``) are known:

    D = Σ_k r_k(y) [m_k + a C_k S_k⁻¹ (y − a m_k)],    ∇log π_t = (a D − y)/v,    F = (D − a y)/√v.

A method that learns what is left uses the same fit as NDSM does, without nonlinear noising. That
mixtures are a natural part of a score to know: arXiv:2412.09726.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import signal, variance
from ndsm.method.mixture import jet, moments


@dataclass(frozen=True)
class Diffused:
    """Mixtures of R replicas, in the working coordinates of a linear process.

    Attributes:
        log_weights: (R, K).
        means: m_k in the eigenvectors' coordinates: (R, K, d); with bases of their own each mean
            in its component's.
        spectra: eigenvalues of C_k, (R, K or 1, d or 1): one row if all components share them.
        bases: eigenvectors in columns, (R, K or 1, d, d), or None for the identity.
    """

    log_weights: Tensor
    means: Tensor
    spectra: Tensor
    bases: Tensor | None

    def denoise(self, y: Tensor, t: Tensor) -> Tensor:
        """D at y (R, B, d) and t (R, B, 1) or one for all (1, 1, 1), giving (R, B, d)."""
        a, v = signal(t), variance(t)
        if self.spectra.shape[1] > 1:
            r, each, _ = self._components(y, a, v)
            each = r.unsqueeze(-1) * each
            return each.sum(2) if self.bases is None else each.flatten(2) @ self._columns.mT
        basis = None if self.bases is None else self.bases[:, 0]
        z = y if basis is None else y @ basis
        spread = a.square() * self.spectra + v  # (R, B, d or 1)
        gain = a * self.spectra / spread
        precise = (a / spread).expand_as(z)
        logits = (
            self.log_weights.unsqueeze(1)
            + (precise * z) @ self.means.mT
            - 0.5 * (a * precise) @ self.means.square().mT
        )
        centre = logits.softmax(-1) @ self.means
        d = centre + gain * (z - a * centre)
        return d if basis is None else d @ basis.mT

    @property
    def _columns(self) -> Tensor:
        """The eigenvectors of all bases side by side, (R, d, K d or d)."""
        assert self.bases is not None
        return self.bases.transpose(1, 2).flatten(2)

    def _components(self, y: Tensor, a: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What each component makes of y, along its eigenvectors.

        Returns:
            r_k, (R, B, K); D_k = m_k + a C_k S_k⁻¹ (y − a m_k), (R, B, K, d); the eigenvalues of
            a C_k S_k⁻¹, (R, B, K or 1, d or 1).
        """
        a, v = a.unsqueeze(2), v.unsqueeze(2)  # (R, B, 1, 1)
        z = y.unsqueeze(2)
        if self.bases is not None:
            z = (y @ self._columns).unflatten(-1, self.bases.shape[1:3])
        means, spectra = self.means.unsqueeze(1), self.spectra.unsqueeze(1)
        spread = a.square() * spectra + v
        offset, gain = z - a * means, a * spectra / spread
        squares = (offset.square() / spread + spread.log()).expand(*offset.shape).sum(-1)
        r = (self.log_weights.unsqueeze(1) - 0.5 * squares).softmax(-1)
        return r, means + gain * offset, gain

    def denoise_jet(self, y: Tensor, t: Tensor) -> Tensor:
        """D and its derivatives, (R, (1 + d) B, d) as ``jet`` has them, at y and t.

        ∂D/∂y = Σ_k r_k [a C_k S_k⁻¹ + (a/v) (D_k − D)(D_k − D)ᵀ].
        """
        a, v = signal(t), variance(t)
        r, each, gain = self._components(y, a, v)
        bases = torch.eye(y.shape[-1]).to(y)[None, None] if self.bases is None else self.bases
        denoised, between = moments(r, torch.einsum("rbkj,rkij->rbki", each, bases))
        bases = bases.unsqueeze(1)
        within = torch.einsum("rbk,rbkij->rbij", r, (bases * gain.unsqueeze(-2)) @ bases.mT)
        return jet(denoised, within + (a / v).unsqueeze(-1) * between)

    def parts(self, y: Tensor, t: Tensor, denoised: Tensor) -> tuple[Tensor, Tensor]:
        """The departure F of π_t from N(0, I), and ∇log π_t in units of about its deviation.

        Both (R, B, d), at y and t as for ``denoise``, and linear in y and D.

        Args:
            y: points, or the jet of them.
            t: times, one for all if y is a jet.
            denoised: D, or its jet.
        """
        a, v = signal(t), variance(t)
        weights = self.log_weights.exp().unsqueeze(-1)
        within = (weights * self.spectra.mean(-1, keepdim=True)).sum(1, keepdim=True)
        unit = torch.sqrt(a.square() * within + v)
        return (denoised - a * y) / torch.sqrt(v), unit * (a * denoised - y) / v


def diffused(fit: Fitted, linear: Fitted) -> Diffused:
    """A fitted mixture in the working coordinates of a linear process.

    Args:
        fit: the mixture.
        linear: the process, whose working coordinates are a mere scale.
    """
    mixture, scale = fit.mixture, linear.factor  # (R, 1, 1)
    means = linear.to_working(fit.to_data(mixture.means))
    if mixture.scale_tril is not None:
        factors = mixture.scale_tril * (fit.factor / scale).unsqueeze(1)  # (R, K, d, d)
    else:
        factors = (fit.factor / scale).unsqueeze(1)  # (R, 1, d, d), or (R, 1, 1, 1) for a scale
    if is_diagonal(factors):
        spectra = factors.diagonal(dim1=-2, dim2=-1).square()
        return Diffused(mixture.log_weights, means, spectra, None)
    spectra, bases = torch.linalg.eigh((factors @ factors.mT).double())
    spectra, bases = spectra.to(means), bases.to(means)
    return Diffused(mixture.log_weights, (means.unsqueeze(2) @ bases).squeeze(2), spectra, bases)


def is_diagonal(factors: Tensor) -> bool:
    """Whether all matrices (…, d, d) are diagonal."""
    return bool((factors == torch.diag_embed(factors.diagonal(dim1=-2, dim2=-1))).all())
