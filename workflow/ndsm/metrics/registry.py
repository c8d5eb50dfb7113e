"""How far samples X are from held-out data Y.

    energy distance     (2 E|X − Y| − E|X − X'| − E|Y − Y'|) / E|Y − Y'|, unbiased
    sliced Wasserstein  mean over directions u of W₁(u·X, u·Y), over the deviation of Y
    total variation     ½ Σ_k |share of mode or class k in X − its share in Y|
    log-density gap     |mean log p(Y) − mean log p(X)| with the true p
    nll                 −mean log q(Y), q the model's density, in nats and data units
    kl                  mean log p(Y) − mean log q(Y), which is KL(p ‖ q) on average
    mode shape          mean over modes of ‖covariance in X − that in Y‖ / ‖that in Y‖ (Frobenius)

Those of images are in ``image_metrics``. A new metric is one function and one line of ``METRICS``.
Everything is NumPy: a process that measures is short, and starting torch or SciPy would take it
longer than the arithmetic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndsm.data.datasets import DATASETS
from ndsm.metrics import image_metrics as images
from ndsm.metrics.distances import energy_distance, nearest

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


def nll(log_prob: Array) -> float:
    """−mean log q of held-out points, from log q (m,), in nats."""
    return float(-log_prob.mean(dtype=np.float64))


def kl(log_prob: Array, true_log_prob: Array) -> float:
    """Mean of log p − log q over held-out points: KL(p ‖ q) but for their sampling error, in nats.

    Args:
        log_prob: log q of held-out points, (m,).
        true_log_prob: log p of the same points, (m,).
    """
    return float((true_log_prob - log_prob).mean(dtype=np.float64))


def mode_shape(x: Array, y: Array, y_labels: Array) -> float:
    """Mean relative error of the covariance of each mode, in the Frobenius norm.

    Samples get their mode as in ``mode_tv``. A mode with less than two samples counts as wrong by
    its whole covariance.

    Args:
        x: samples, (n, d).
        y: held-out data, (m, d).
        y_labels: their modes, (m,).
    """
    labels, errors = y_labels[nearest(x, y)], []
    for mode in np.unique(y_labels):
        own, truth = x[labels == mode], np.cov(y[y_labels == mode], rowvar=False)
        found = np.cov(own, rowvar=False) if len(own) > 1 else 0 * truth
        errors.append(np.linalg.norm(found - truth) / np.linalg.norm(truth))
    return float(np.mean(errors))


@dataclass(frozen=True)
class Metric:
    """An entry of the registry.

    Attributes:
        label: what figures call it.
        function: its value from the inputs that it needs.
        needs: the names of these inputs, as attributes of ``evaluate.Replica``.
        better: ``min``, ``max`` or, of a diagnostic metric, ``neither``: no best method, no claim.
        right: of a diagnostic metric, the value that is right.
        asks: what it has no meaning without, if anything: see ``traits``.
        of: which rows have it: ``samples``, all; ``method``, not the floor of real data; ``model``,
            no real data at all, unless its true density is known.
        has_zero: whether zero means something, so that ratios do; else differences count.
        logarithmic: whether figures have it on a logarithmic axis: of what is bounded or nearly
            constant that would only magnify noise.
    """

    label: str
    function: Callable[..., float]
    needs: tuple[str, ...]
    better: str = "min"
    right: str | None = None
    asks: str | None = None
    of: str = "samples"
    has_zero: bool = True
    logarithmic: bool = True


def traits(experiment: Mapping[str, Any]) -> set[str]:
    """What an experiment's data have that a metric may ask for.

    They are ``image``, ``vector`` (vectors, or codes in latent space), ``latent``, ``modes`` (known
    ones), ``has_density`` and the names of the dataset's parameters.
    """
    dataset = DATASETS[experiment["dataset"]["name"]]
    latent = experiment.get("space") == "latent"
    found = {
        "image": dataset.image,
        "vector": latent or not dataset.image,
        "latent": latent,
        "modes": dataset.law is not None,
        "has_density": dataset.has_density,
    }
    return {*(name for name, there in found.items() if there), *experiment["dataset"]}


RARE = ("reference.rare_class", "reference.rare_share")
BRANCHES = ("seen.features", "inverted", "reference.seen.features", "reference.inverted")

METRICS = {
    "nll": Metric(
        "negative log-likelihood (nats)",
        nll,
        ("log_prob",),
        asks="vector",
        of="model",
        has_zero=False,
        logarithmic=False,
    ),
    "kl": Metric(
        "KL divergence (nats)", kl, ("log_prob", "true_log_prob"), asks="has_density", of="method"
    ),
    "mode_shape": Metric(
        "shape of modes (relative error)",
        mode_shape,
        ("samples", "reference.points", "reference.labels"),
        asks="modes",
    ),
    "codes_energy_distance": Metric(
        "energy distance of codes",
        energy_distance,
        ("codes", "held_out_codes"),
        asks="latent",
        of="method",
    ),
    "energy_distance": Metric(
        "energy distance", energy_distance, ("samples", "reference.points", "reference.spread")
    ),
    "sliced_wasserstein": Metric(
        "sliced Wasserstein", sliced_wasserstein, ("samples", "reference.points")
    ),
    "mode_tv": Metric(
        "mode proportions (TV)", mode_tv, ("samples", "reference.points", "reference.labels")
    ),
    "log_density_gap": Metric(
        "log-density gap",
        log_density_gap,
        ("log_density", "reference.log_density"),
        asks="has_density",
    ),
    "fid": Metric("FID", images.fid, ("seen.features", "reference.seen.features"), asks="image"),
    "kid": Metric("KID", images.kid, ("seen.features", "reference.seen.features"), asks="image"),
    "nearest_ratio": Metric(
        "distance to training images (1 is right)",
        images.nearest_ratio,
        ("samples", "training", "reference.points"),
        better="neither",
        right="1 is right",
        asks="image",
        of="method",
        logarithmic=False,
    ),
    "inception_score": Metric(
        "inception score (the floor's is right)",
        images.inception_score,
        ("seen.probabilities",),
        better="neither",
        right="the floor's is right",
        asks="image",
        logarithmic=False,
    ),
    "class_tv": Metric(
        "class proportions (TV)",
        images.class_tv,
        ("seen.probabilities", "reference.seen.probabilities"),
        asks="image",
    ),
    "density": Metric(
        "density (high is good)",
        images.density,
        ("seen.features", "reference.seen.features"),
        better="max",
        asks="image",
        logarithmic=False,
    ),
    "coverage": Metric(
        "coverage (high is good)",
        images.coverage,
        ("seen.features", "reference.seen.features"),
        better="max",
        asks="image",
        logarithmic=False,
    ),
    "memorisation": Metric(
        "memorised share",
        images.memorisation,
        ("samples", "training"),
        asks="image",
        logarithmic=False,
    ),
    "rare_fid": Metric(
        "FID of the rarest class",
        images.rare_fid,
        ("seen.features", "seen.probabilities", "reference.rarest.features", *RARE),
        asks="shares",
    ),
    "rare_gap": Metric(
        "share of the rarest class (error)",
        images.rare_gap,
        ("seen.probabilities", *RARE),
        asks="shares",
    ),
    "branch_tv": Metric(
        "branch proportions (TV)",
        images.branch_tv,
        ("inverted", "reference.inverted"),
        asks="symmetry",
    ),
    "fid_upright": Metric("FID, upright images", images.fid_upright, BRANCHES, asks="symmetry"),
    "fid_inverted": Metric("FID, inverted images", images.fid_inverted, BRANCHES, asks="symmetry"),
    "departure_gap": Metric(
        "departure from symmetry (error)",
        images.departure_gap,
        ("ink", "inverted", "reference.ink", "reference.inverted"),
        asks="symmetry",
    ),
}

# What the entries say, by their names.
MAXIMISED = frozenset(name for name, entry in METRICS.items() if entry.better == "max")
DIAGNOSTIC = {name: entry.right for name, entry in METRICS.items() if entry.better == "neither"}
DIFFERENCES = frozenset(name for name, entry in METRICS.items() if not entry.has_zero)
LIKELIHOOD = frozenset(name for name, entry in METRICS.items() if "log_prob" in entry.needs)
