"""A fitted drift: the mixture π of each replica and its working coordinates.

    x = shift + A y,    A = factor: (R, d, d) or, for a mere scale, (R, 1, 1)

x in data units, y in working coordinates, where the mean within-component variance is one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ndsm.method.mixture import Mixture

Sampler = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Fitted:
    """The mixtures of R replicas and the affine maps to data units.

    Attributes:
        mixture: π in working coordinates.
        shift: (R, 1, d).
        factor: (R, d, d) lower triangular, or (R, 1, 1).
    """

    mixture: Mixture
    shift: Tensor
    factor: Tensor

    def to_data(self, y: Tensor) -> Tensor:
        """Working coordinates (R, B, d) to data units."""
        is_scale = self.factor.shape[-1] == 1
        return self.shift + (y * self.factor if is_scale else y @ self.factor.mT)

    def to_working(self, x: Tensor) -> Tensor:
        """Data units (R, B, d) to working coordinates."""
        offset = x - self.shift
        if self.factor.shape[-1] == 1:
            return offset / self.factor
        return torch.linalg.solve_triangular(self.factor, offset.mT, upper=False).mT

    def log_det(self) -> Tensor:
        """Log |det A|, (R, 1)."""
        log_det = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
        return log_det * (self.shift.shape[-1] if self.factor.shape[-1] == 1 else 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of the mixture in data units at x (R, B, d), giving (R, B)."""
        return self.mixture.log_prob(self.to_working(x)) - self.log_det()

    def tempered(self, temperature: float) -> "Fitted":
        """The same with every covariance multiplied by the temperature."""
        root, tensors = temperature**0.5, self.mixture.tensors()
        mixture = Mixture(**tensors | {"means": tensors["means"] / root})
        return Fitted(mixture, self.shift, self.factor * root)

    def one(self, replica: int) -> "Fitted":
        """A single replica of the stack."""
        row = slice(replica, replica + 1)
        mixture = Mixture(**{name: t[row] for name, t in self.mixture.tensors().items()})
        return Fitted(mixture, self.shift[row], self.factor[row])

    def to(self, device: str, dtype: torch.dtype | None = None) -> "Fitted":
        """The same on another device or in another precision."""
        tensors = {name: t.to(device, dtype) for name, t in self.mixture.tensors().items()}
        return Fitted(
            Mixture(**tensors), self.shift.to(device, dtype), self.factor.to(device, dtype)
        )


def stack(fits: list[Fitted]) -> Fitted:
    """Stacks single replicas, padding with components of weight zero."""
    mixtures = [fit.mixture for fit in fits]
    components = max(mixture.means.shape[1] for mixture in mixtures)

    def padded(name: str, value: float) -> Tensor:
        tensors = [getattr(mixture, name) for mixture in mixtures]
        shape = (len(fits), components, *tensors[0].shape[2:])
        out = torch.full(shape, value, dtype=tensors[0].dtype)
        for row, tensor in zip(out, tensors, strict=True):
            row[: tensor.shape[1]] = tensor[0]
        return out

    scale_tril = None
    if mixtures[0].scale_tril is not None:
        scale_tril = padded("scale_tril", 0.0)
        scale_tril.diagonal(dim1=-2, dim2=-1)[padded("log_weights", -torch.inf) == -torch.inf] = 1
    return Fitted(
        Mixture(padded("log_weights", -torch.inf), padded("means", 0.0), scale_tril),
        torch.cat([fit.shift for fit in fits]),
        torch.cat([fit.factor for fit in fits]),
    )


def data_sampler(x: list[Tensor], drift: Fitted) -> Sampler:
    """A function from uniform numbers (R, B) to training points (R, B, d), working coordinates.

    Args:
        x: the training subset of each replica, (n_r, d), data units.
        drift: whose working coordinates to use.
    """
    sizes = torch.tensor([[len(subset)] for subset in x], device=drift.shift.device)
    padded = torch.nn.utils.rnn.pad_sequence(x, batch_first=True).to(drift.shift.device)
    points = drift.to_working(padded)
    replica = torch.arange(len(x), device=points.device).unsqueeze(1)
    return lambda u: points[replica, (u * sizes).long()]
