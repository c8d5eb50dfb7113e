"""Points in and out: checked as scikit-learn checks them, given back as what they came as."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import validate_data

from ndsm.errors import Refused

Array = np.ndarray


@dataclass(frozen=True)
class Form:
    """What an input was.

    Attributes:
        is_tensor: whether it was a tensor; else an array or what becomes one.
        dtype: float32, float64, …; float64 for what has no fractions.
        device: of a tensor.
    """

    is_tensor: bool = False
    dtype: str = "float64"
    device: str = "cpu"

    def give(self, values: torch.Tensor) -> Any:
        """The values in this form."""
        values = values.detach().to(getattr(torch, self.dtype))
        return values.to(self.device) if self.is_tensor else values.cpu().numpy()


def form_of(x: Any) -> Form:
    """The form of an input."""
    if isinstance(x, torch.Tensor):
        dtype = str(x.dtype).removeprefix("torch.") if x.is_floating_point() else "float64"
        return Form(True, dtype, str(x.device))
    dtype = str(getattr(x, "dtype", ""))
    return Form(dtype=dtype if dtype in ("float16", "float32") else "float64")


def _remedy(x: Any, said: str) -> str:
    """What to do about points that scikit-learn refuses, by what it said."""
    if "feature names" in said:
        return "give the columns of the fit, in their order: x[model.feature_names_in_]"
    if hasattr(x, "select_dtypes") and len(text := [*x.select_dtypes(exclude=["number", "bool"])]):
        return f"leave out or encode column {text[0]!r}"
    return "give an array (n, d) of finite numbers"


def checked(estimator: Any, x: Any, fit: bool = False) -> Array:
    """Points (n, d) in float64.

    Args:
        estimator: whose ``n_features_in_`` they must have, or whose is set.
        x: points (n, d).
        fit: whether they are those of a fit: two at least.

    Raises:
        Refused: they cannot be used; the line says why, and the remedy.
        TypeError: they are sparse, as scikit-learn has it.
    """
    if isinstance(x, torch.Tensor):
        if x.layout != torch.strided:
            raise TypeError("x: is a sparse tensor; give a dense one, x.to_dense()")
        x = x.detach().cpu()
        x = (x if x.is_complex() else x.double()).numpy()
    if isinstance(x, np.ndarray) and x.ndim != 2:
        remedy = "give (n, d): x[:, None] for one column, x[None] for one point"
        raise Refused(
            f"x: Expected 2D array, got {x.ndim}D array instead, shape {x.shape}; {remedy}"
        )
    try:
        found: Array = validate_data(
            estimator,
            x,
            reset=fit,
            dtype=np.float64,
            ensure_all_finite=False,
            ensure_min_samples=2 if fit else 1,
        )
    except ValueError as problem:
        said = str(problem).splitlines()[0].rstrip(".:")
        raise Refused(f"x: {said}; {_remedy(x, said)}") from None
    if not (good := np.isfinite(found)).all():
        row, column = (int(i) for i in np.argwhere(~good)[0])
        what = "NaN" if np.isnan(found[row, column]) else "infinity (inf)"
        raise Refused(
            f"x: contains {what} in row {row}, column {column}; leave out or fill such rows"
        )
    if fit and not np.ptp(found, axis=0).any():
        raise Refused(f"x: all {len(found)} points are equal; give points that differ")
    return found
