"""A drift of the user's own, as the method's code sees a ``Mixture`` of one replica.

Its log π is in the data's units. Working coordinates are those in which a coordinate of ∇log π has
mean square one over the data, as it has for N(0, I): so t_min and T mean what they mean elsewhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ndsm.errors import Refused
from ndsm.method.fitted_drift import Fitted
from ndsm.method.random_streams import Streams

Array = np.ndarray
DRAWS = 2000  # of π, for its spread


@dataclass(frozen=True)
class OwnDrift:
    """The part of ``Mixture`` that chain objectives, Euler steps and the probability flow use.

    Attributes:
        drift: an object with ``score`` (n, d) → (n, d), the gradient of ``log_prob`` (n, d) → (n,),
            and ``sample(n, random_state)`` → (n, d); arrays or tensors, in the data's units.
        offset: x of the working coordinates' origin, (d,).
        unit: x for one of each working coordinate, (d,).
        means: zeros (1, 1, d), for their shape.
        deviation: of a working coordinate under π, (1, 1, 1).
    """

    drift: Any
    offset: Tensor
    unit: Tensor
    means: Tensor
    deviation: Tensor

    def score(self, y: Tensor) -> Tensor:
        """∇log π at y, both (1, B, d)."""
        found = asked(self.drift.score, "score", self._x(y), y.shape[1:])
        return (found * self.unit).to(y).unsqueeze(0)

    def log_prob(self, y: Tensor) -> Tensor:
        """Log π at y (1, B, d), giving (1, B)."""
        found = asked(self.drift.log_prob, "log_prob", self._x(y), y.shape[1:2])
        return (found + self.unit.log().sum()).to(y).unsqueeze(0)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draws from π, (1, n, d)."""
        seed = int(streams.uniform(1).item() * 2**24)
        shape = torch.Size((n, len(self.unit)))
        x = asked(lambda _: self.drift.sample(n, random_state=seed), "sample", None, shape)
        return ((x - self.offset) / self.unit).to(self.means).unsqueeze(0)

    def spread(self) -> Tensor:
        """Deviation of a coordinate under π, (1, 1, 1)."""
        return self.deviation

    def _x(self, y: Tensor) -> Array:
        """Data units (B, d) of y (1, B, d)."""
        return np.asarray(self.offset + self.unit * y[0].double().cpu())


def asked(function: Any, name: str, x: Array | None, shape: torch.Size) -> Tensor:
    """What an object's method gives, in float64.

    Raises:
        Refused: it is of another shape, or not finite.
    """
    found = torch.as_tensor(function(x)).detach().cpu().double()
    if found.shape != shape:
        given = f"gives the shape {tuple(found.shape)}; let it give {tuple(shape)}"
        raise Refused(f"drift: its {name} {given}")
    if not found.isfinite().all():
        raise Refused(
            f"drift: its {name} is not finite; raise t_min, lower T, or give a drift that is "
            "smooth where the data are"
        )
    return found


def fitted(drift: Any, z: Array, mean: Array, scale: Array, seed: int, device: str) -> Fitted:
    """An object as the drift of standardised points z (n, d), x = mean + scale z.

    Raises:
        Refused: what it gives is unusable.
    """
    x = mean + scale * z
    score = asked(drift.score, "score", x, torch.Size(x.shape)).numpy() * scale
    if not score.any():
        raise Refused("drift: its score is zero at all points; give one that moves them")
    factor = float(1 / np.sqrt((score**2).mean()))
    shape = torch.Size((DRAWS, len(mean)))
    drawn = asked(lambda _: drift.sample(DRAWS, random_state=seed), "sample", None, shape)
    deviation = float(np.sqrt((drawn.numpy() / (scale * factor)).var(0).mean()))
    return rebuilt(drift, mean, scale, torch.tensor([factor, deviation], device=device))


def rebuilt(drift: Any, mean: Array, scale: Array, numbers: Tensor) -> Fitted:
    """The same with the factor and the deviation, (2,), that ``fitted`` found."""
    shift = numbers.new_zeros(1, 1, len(mean))
    factor, deviation = numbers.view(2, 1, 1, 1)
    unit = torch.as_tensor(scale) * factor.item()
    own = OwnDrift(drift, torch.as_tensor(mean), unit, shift, deviation)
    return Fitted(own, shift, factor)  # type: ignore[arg-type]  # a Mixture in all that is asked
