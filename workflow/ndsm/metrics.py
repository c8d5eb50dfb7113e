"""How far samples X are from held-out data Y.

    energy distance     (2 E|X − Y| − E|X − X'| − E|Y − Y'|) / E|Y − Y'|, unbiased
    sliced Wasserstein  mean over directions u of W₁(u·X, u·Y), over the deviation of Y
    total variation     ½ Σ_k |share of mode or class k in X − its share in Y|
    log-density gap     |mean log p(Y) − mean log p(X)| with the true p
    FID                 |m_X − m_Y|² + tr(C_X + C_Y − 2 (C_X C_Y)^½), moments of features
    inception score     exp of the mean KL divergence of p(class | x) from its mean over x
    memorisation        share of X with a training point thrice as near as the second nearest

A new metric is one function and one line of ``METRICS``. Everything is NumPy: a process that
measures is short, and starting torch or SciPy would take it longer than the arithmetic.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

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
    return _total_variation(y_labels[nearest(x, y)], y_labels)


def _total_variation(labels: Array, reference: Array) -> float:
    k = max(labels.max(), reference.max()) + 1
    shares = [np.bincount(each, minlength=k) / len(each) for each in (labels, reference)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def log_density_gap(x_log_density: Array, y_log_density: Array) -> float:
    """|mean log p(Y) − mean log p(X)| in nats, from log p (n,) of samples and (m,) of held-out."""
    return float(abs(y_log_density.mean() - x_log_density.mean()))


def fid(x: Array, y: Array) -> float:
    """Fréchet distance between Gaussians with the moments of two sets of features.

    Heusel et al. (2017), "GANs trained by a two time-scale update rule". Not comparable with FIDs
    of other features, and biased upwards by few samples: compare it with the floor.

    Args:
        x: features of samples, (n, f).
        y: features of held-out images, (m, f).
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    c_x, c_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(c_x)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    # tr (C_X C_Y)^½ through the symmetric C_X^½ C_Y C_X^½, which has the same eigenvalues.
    cross = np.sqrt(np.linalg.eigvalsh(root @ c_y @ root).clip(min=0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c_x) + np.trace(c_y) - 2 * cross)


def inception_score(probabilities: Array) -> float:
    """The exponential of E KL(p(class | x) ‖ p(class)): 1 at worst, k at best.

    Salimans et al. (2016), "Improved techniques for training GANs"; all samples as one split.

    Args:
        probabilities: p(class | x), (n, k).
    """
    p = probabilities.astype(np.float64)
    tiny = np.finfo(p.dtype).tiny  # p log p is zero where p is
    divergence = p * (np.log(p.clip(min=tiny)) - np.log(p.mean(0).clip(min=tiny)))
    return float(np.exp(divergence.sum(1).mean()))


def class_tv(x_probabilities: Array, y_probabilities: Array) -> float:
    """Total variation between the shares of the classes that the classifier sees.

    Both sides are classified, so that most of the classifier's own mistakes cancel.

    Args:
        x_probabilities: p(class | x) of samples, (n, k).
        y_probabilities: of held-out images, (m, k).
    """
    return _total_variation(x_probabilities.argmax(1), y_probabilities.argmax(1))


def memorisation(x: Array, training: Array) -> float:
    """Share of samples (n, d) whose nearest training point is a copy rather than a neighbour.

    That is, less than a third as far as the second nearest of ``training`` (m, d), m > 1.
    """
    square = ((x**2).sum(1, keepdims=True) - 2 * x @ training.T + (training**2).sum(1)).clip(min=0)
    first, second = np.partition(square, 1, axis=1)[:, :2].T
    return float((9 * first < second).mean())


@dataclass(frozen=True)
class Metric:
    """An entry of the registry.

    Attributes:
        function: its value from the inputs that it needs.
        needs: the names of these inputs, as attributes of ``evaluate.Replica``.
        better: ``min`` or ``max``.
        asks: the attribute of ``datasets.Dataset`` without which it has no meaning, if any.
    """

    function: Callable[..., float]
    needs: tuple[str, ...]
    better: str = "min"
    asks: str | None = None


METRICS = {
    "energy_distance": Metric(energy_distance, ("samples", "reference.points", "reference.spread")),
    "sliced_wasserstein": Metric(sliced_wasserstein, ("samples", "reference.points")),
    "mode_tv": Metric(mode_tv, ("samples", "reference.points", "reference.labels")),
    "log_density_gap": Metric(
        log_density_gap, ("log_density", "reference.log_density"), asks="has_density"
    ),
    "fid": Metric(fid, ("seen.features", "reference.seen.features"), asks="image"),
    "inception_score": Metric(inception_score, ("seen.probabilities",), better="max", asks="image"),
    "class_tv": Metric(
        class_tv, ("seen.probabilities", "reference.seen.probabilities"), asks="image"
    ),
    "memorisation": Metric(memorisation, ("samples", "training"), asks="image"),
}
