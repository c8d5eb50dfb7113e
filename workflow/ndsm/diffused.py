r"""A mixture under linear noise: the closed-form part of the score in ``dsm_mixture``.

Under the Ornstein–Uhlenbeck process a Gaussian mixture stays one,

    π_t = Σ_k w_k N(a m_k, S_k),    S_k = a² C_k + v I,    a = e^{−t}, v = 1 − a²,

so its denoiser D = E[x_0 | y_t = y], its score and its departure (``nets``) are known:

    D = Σ_k r_k(y) [m_k + a C_k S_k⁻¹ (y − a m_k)],    ∇log π_t = (a D − y)/v,    F = (D − a y)/√v.

A method that learns what is left uses the same fit as NDSM does, without nonlinear noising. That
mixtures are a natural part of a score to know: arXiv:2412.09726.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ndsm.fitted import Fitted
from ndsm.sde import signal, variance


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
        """D at y (R, B, d) and t (R, B, 1), giving (R, B, d)."""
        a, v = signal(t), variance(t)
        if self.spectra.shape[1] > 1:
            return self._denoise_each(y, a, v)
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

    def _denoise_each(self, y: Tensor, a: Tensor, v: Tensor) -> Tensor:
        """The same where every component has a covariance of its own."""
        a, v = a.unsqueeze(2), v.unsqueeze(2)  # (R, B, 1, 1)
        if self.bases is None:
            z = y.unsqueeze(2)
        else:  # coordinates along each component's eigenvectors, (R, B, K, d)
            replicas, components, d, _ = self.bases.shape
            columns = self.bases.transpose(1, 2).reshape(replicas, d, components * d)
            z = (y @ columns).unflatten(-1, (components, d))
        means, spectra = self.means.unsqueeze(1), self.spectra.unsqueeze(1)
        spread = a.square() * spectra + v
        offset = z - a * means
        squares = (offset.square() / spread + spread.log()).expand(*offset.shape).sum(-1)
        r = (self.log_weights.unsqueeze(1) - 0.5 * squares).softmax(-1)
        each = r.unsqueeze(-1) * (means + a * spectra / spread * offset)
        return each.sum(2) if self.bases is None else each.flatten(2) @ columns.mT

    def parts(self, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The departure F of π_t from N(0, I), and ∇log π_t in units of about its deviation.

        Both (R, B, d), at y (R, B, d) and t (R, B, 1).
        """
        a, v, denoised = signal(t), variance(t), self.denoise(y, t)
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
