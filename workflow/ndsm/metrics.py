"""How far samples X are from held-out data Y.

    energy distance     (2 E|X − Y| − E|X − X'| − E|Y − Y'|) / E|Y − Y'|, unbiased
    sliced Wasserstein  mean over directions u of W₁(u·X, u·Y), over the deviation of Y
    total variation     ½ Σ_k |share of mode or class k in X − its share in Y|
    log-density gap     |mean log p(Y) − mean log p(X)| with the true p

Those of images are in ``image_metrics``. A new metric is one function and one line of ``METRICS``.
Everything is NumPy: a process that measures is short, and starting torch or SciPy would take it
longer than the arithmetic.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ndsm import image_metrics as images
from ndsm.distances import energy_distance, nearest

Array = np.ndarray


def sliced_wasserstein(x: Array, y: Array, directions: int = 50) -> float:
    """Mean W₁ over fixed random directions, relative to the deviation of y per coordinate.

    The mean distance between quantiles; not squared, which heavy tails would make erratic.

    Args:
        x: samples, (n, d).
        y: held-out data, (m, d).
        directions: how many, from a fixed seed.
    """
    u = np.random.default_rng(0).standard_normal((directions, x.shape[1]))
    u = (u / np.linalg.norm(u, axis=1, keepdims=True)).astype(x.dtype)
    quantiles_x, quantiles_y = np.sort(u @ x.T, axis=1), np.sort(u @ y.T, axis=1)
    # Both quantile functions are constant between neighbouring steps; in units of 1 / (n m).
    n, m = len(x), len(y)
    steps = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    width = np.diff(steps, prepend=0) / (n * m)
    gap = quantiles_x[:, (steps - 1) // m] - quantiles_y[:, (steps - 1) // n]
    scale = np.sqrt(y.var(axis=0, dtype=np.float64).mean())
    return float((np.abs(gap) @ width).mean() / scale)


def mode_tv(x: Array, y: Array, y_labels: Array) -> float:
    """Total variation between the shares of the modes.

    A sample belongs to the mode of the nearest held-out point. That label is, for many points, a
    draw from p(mode | x), so the shares are right on average even where modes overlap; a vote of
    several neighbours would favour the larger mode.

    Args:
        x: samples, (n, d).
        y: held-out data, (m, d).
        y_labels: their modes, (m,).
    """
    labels, k = y_labels[nearest(x, y)], y_labels.max() + 1
    shares = [np.bincount(each, minlength=k) / len(each) for each in (labels, y_labels)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def log_density_gap(x_log_density: Array, y_log_density: Array) -> float:
    """|mean log p(Y) − mean log p(X)| in nats, from log p (n,) of samples and (m,) of held-out."""
    return float(abs(y_log_density.mean() - x_log_density.mean()))


@dataclass(frozen=True)
class Metric:
    """An entry of the registry.

    Attributes:
        function: its value from the inputs that it needs.
        needs: the names of these inputs, as attributes of ``evaluate.Replica``.
        better: ``min`` or ``max``.
        asks: what it has no meaning without, if anything: an attribute of ``datasets.Dataset`` or a
            parameter of the dataset.
    """

    function: Callable[..., float]
    needs: tuple[str, ...]
    better: str = "min"
    asks: str | None = None


BRANCHES = ("seen.features", "inverted", "reference.seen.features", "reference.inverted")

METRICS = {
    "energy_distance": Metric(energy_distance, ("samples", "reference.points", "reference.spread")),
    "sliced_wasserstein": Metric(sliced_wasserstein, ("samples", "reference.points")),
    "mode_tv": Metric(mode_tv, ("samples", "reference.points", "reference.labels")),
    "log_density_gap": Metric(
        log_density_gap, ("log_density", "reference.log_density"), asks="has_density"
    ),
    "fid": Metric(images.fid, ("seen.features", "reference.seen.features"), asks="image"),
    "inception_score": Metric(
        images.inception_score, ("seen.probabilities",), better="max", asks="image"
    ),
    "class_tv": Metric(
        images.class_tv, ("seen.probabilities", "reference.seen.probabilities"), asks="image"
    ),
    "density": Metric(
        images.density, ("seen.features", "reference.seen.features"), better="max", asks="image"
    ),
    "coverage": Metric(
        images.coverage, ("seen.features", "reference.seen.features"), better="max", asks="image"
    ),
    "memorisation": Metric(images.memorisation, ("samples", "training"), asks="image"),
    "rare_fid": Metric(
        images.rare_fid,
        ("seen.features", "seen.probabilities", "reference.rarest.features", "reference.labels"),
        asks="shares",
    ),
    "rare_gap": Metric(images.rare_gap, ("seen.probabilities", "reference.labels"), asks="shares"),
    "branch_tv": Metric(images.branch_tv, ("inverted", "reference.inverted"), asks="symmetry"),
    "fid_upright": Metric(images.fid_upright, BRANCHES, asks="symmetry"),
    "fid_inverted": Metric(images.fid_inverted, BRANCHES, asks="symmetry"),
    "departure_gap": Metric(
        images.departure_gap,
        ("ink", "inverted", "reference.ink", "reference.inverted"),
        asks="symmetry",
    ),
}
