r"""Fits of a drift's mixture π to training points.

    ou       N(0, I): the linear process
    standard N(0, I) in the data's own units: the prior of an autoencoder
    em       EM, without labels
    labels   one component per class, its mean that of a few labelled images
    orbit    the components come in pairs {m, g·m}; the weights are free (EM), or with
             ``symmetric`` equal in a pair

A symmetric fit (``orbit``, and ``ou`` with ``symmetric``) has working coordinates centred on the
fixed point ½ of the inversion g x = 1 − x, so that there g y = −y. Everything is in float64.
"""

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ndsm.errors import Refused
from ndsm.method.fitted_drift import Fitted
from ndsm.method.mixture import Mixture, standard_normal
from ndsm.method.registry import FITS
from ndsm.method.settings import FitSettings

Array = np.ndarray
log = logging.getLogger(__name__)

PRINCIPAL_COMPONENTS = 30  # spherical fits look for their means among these many
HELD_OUT = 0.2  # share of the training subset on which selection by held-out likelihood scores
FIXED_POINT = 0.5  # of the inversion of intensity
ROUNDS = 50  # of EM with fixed means
PATIENCE = 2  # numbers of components in a row that are no better, before no larger one is tried


def fit_ou(x: Array, symmetric: bool = False) -> Fitted:
    """The OU process for x (n, d): N(0, I) in coordinates scaled by the global deviation."""
    shift = np.full_like(x[:1], FIXED_POINT) if symmetric else x.mean(0)[None]
    scale = math.sqrt(((x - shift) ** 2).mean()) if symmetric else math.sqrt(x.var(0).mean())
    return Fitted(standard_normal(1, x.shape[1]), _batch(shift), _batch([[scale]]))


def fit_mixture(x: Array, covariance: str, components: int, seed: int) -> Fitted:
    """EM for x (n, d) with the given covariance type and number of components."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    shift, scale = x.mean(0), math.sqrt(x.var(0).mean())
    z = (x - shift) / scale
    model = GaussianMixture(components, covariance_type=covariance, random_state=seed)
    if covariance == "spherical":
        pca = PCA(min(PRINCIPAL_COMPONENTS, *z.shape), random_state=seed)
        projected = pca.fit_transform(z)
        means = pca.inverse_transform(model.fit(projected).means_)
        squares = _squares(z, means) / z.shape[1]
        residual = (model.predict_proba(projected) * squares).sum(1).mean()
        return _spherical(shift, scale, means, model.weights_, residual + model.reg_covar)
    model.fit(z)
    if covariance == "tied":
        root = np.linalg.cholesky(model.covariances_)
        factor, means, scale_tril = scale * root, np.linalg.solve(root, model.means_.T).T, None
    else:
        full = model.covariances_
        if covariance == "diag":
            full = full[:, :, None] * np.eye(z.shape[1])
        s = math.sqrt(model.weights_ @ np.trace(full, axis1=1, axis2=2) / z.shape[1])
        factor, means = scale * s * np.ones((1, 1)), model.means_ / s
        scale_tril = _batch(np.linalg.cholesky(full) / s)
    mixture = Mixture(_batch(np.log(model.weights_)), _batch(means), scale_tril)
    return Fitted(mixture, _batch(shift[None]), _batch(factor))


def fit_labels(x: Array, labels: Array, labelled: int, seed: int) -> Fitted:
    """A spherical component per class, at the mean of its first ``labelled`` images.

    The means are taken in the principal components of all of x, which rids them of most of the
    noise of so few images; the weights and the variance come from all of x, without labels.

    Args:
        x: (n, d) training points.
        labels: their classes, (n,), of which only the first few of each class are looked at.
        labelled: how many of each class.
        seed: of the principal components.
    """
    from sklearn.decomposition import PCA

    shift, scale = x.mean(0), math.sqrt(x.var(0).mean())
    z = (x - shift) / scale
    pca = PCA(min(PRINCIPAL_COMPONENTS, *z.shape), random_state=seed)
    projected = pca.fit_transform(z)
    few = [np.flatnonzero(labels == c)[:labelled] for c in np.unique(labels)]
    means = pca.inverse_transform(np.stack([projected[rows].mean(0) for rows in few]))
    return _spherical(shift, scale, means, *weights_and_variance(z, means))


def fit_orbit(x: Array, components: int, seed: int, symmetric: bool = False) -> Fitted:
    """Spherical components in pairs {m, g·m}: EM on x and g·x together, then weights on x alone.

    Args:
        x: (n, d) training points, images with values in [0, 1].
        components: their number, even: two for each orbit.
        seed: of EM's start.
        symmetric: whether the weights are those of x and g·x together, so that π is invariant.

    Raises:
        Refused: an odd number of components.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    if components % 2:
        raise Refused(
            f"n_components: {components} with fit orbit; give an even number, two for each orbit"
        )
    scale = math.sqrt(((x - FIXED_POINT) ** 2).mean())
    z = (x - FIXED_POINT) / scale
    both = np.concatenate([z, -z])
    pca = PCA(min(PRINCIPAL_COMPONENTS, *both.shape), random_state=seed)
    projected = pca.fit_transform(both)
    start = KMeans(components // 2, n_init=1, random_state=seed).fit(projected[: len(z)])
    centres = start.cluster_centers_
    model = GaussianMixture(
        components,
        covariance_type="spherical",
        means_init=np.concatenate([centres, -centres]),
        random_state=seed,
    ).fit(projected)
    m, g_m = np.split(pca.inverse_transform(model.means_), 2)
    m = (m - g_m) / 2  # EM keeps the symmetry of its start but for rounding
    means = np.concatenate([m, -m])
    shift = np.full(x.shape[1], FIXED_POINT)
    weights_of = both if symmetric else z
    return _spherical(shift, scale, means, *weights_and_variance(weights_of, means))


def weights_and_variance(z: Array, means: Array) -> tuple[Array, float]:
    """EM for the weights (K,) and the common variance of spherical components at fixed means.

    Args:
        z: (n, d) points.
        means: (K, d).
    """
    from scipy.special import softmax

    squares, w = _squares(z, means), np.full(len(means), 1 / len(means))
    variance = squares.min(1).mean() / z.shape[1]
    for _ in range(ROUNDS):
        with np.errstate(divide="ignore"):  # a weight may fall to zero
            r = softmax(np.log(w) - squares / (2 * variance), axis=1)
        w, variance = r.mean(0), (r * squares).sum(1).mean() / z.shape[1]
    return w, variance


def _squares(z: Array, means: Array) -> Array:
    """|z − m|² for all pairs of points (n, d) and means (K, d), (n, K)."""
    from scipy.spatial.distance import cdist

    return cdist(z, means, "sqeuclidean")


def _spherical(shift: Array, scale: float, means: Array, weights: Array, variance: float) -> Fitted:
    """The drift with means (K, d) and one variance, in units of ``scale`` about ``shift``."""
    s = math.sqrt(variance)
    with np.errstate(divide="ignore"):
        mixture = Mixture(_batch(np.log(weights)), _batch(means / s))
    return Fitted(mixture, _batch(shift[None]), _batch([[scale * s]]))


def parameters(covariance: str, components: int, d: int) -> int:
    """Free parameters of a mixture, for BIC."""
    per_covariance = {"diag": d, "full": d * (d + 1) // 2}
    shared = {"spherical": 1, "tied": d * (d + 1) // 2}
    own = components * per_covariance.get(covariance, 0)
    return components - 1 + components * d + own + shared.get(covariance, 0)


def select(
    fit: Callable[[Array, int], Fitted], x: Array, covariance: str, candidates: list[int], how: str
) -> Fitted:
    """The mixture with the number of components that BIC or held-out likelihood prefers.

    From the smallest number on, until ``PATIENCE`` of them are no better than the best before:
    beyond the best both fall, and the largest numbers take longest to fit. One alone may be no
    better by the chance of EM's start, or because the shape asks for many more, as rings do.

    Args:
        fit: points (n, d) and a number of components to a fitted mixture.
        x: (n, d) training points.
        covariance: spherical, tied, diag or full.
        candidates: numbers of components to try; those above n / 2 are left out.
        how: ``bic`` or ``heldout`` (a fifth of x is held out, then all of x is fitted).

    Raises:
        Refused: if no candidate is left.
    """
    n, d = x.shape
    usable = sorted(k for k in candidates if 2 * k <= n)
    if not usable:
        raise Refused(f"n_components: {candidates} with {n} training points: give at most {n // 2}")
    if len(usable) < len(candidates):
        log.info("%d points: numbers of components above %d left out", n, n // 2)
    if len(usable) == 1:
        return fit(x, usable[0])
    held, per_parameter = max(1, round(HELD_OUT * n)), 0.0
    seen, unseen = x[held:], x[:held]
    if how == "bic":
        seen, unseen, per_parameter = x, x, math.log(n) / (2 * n)
    best, found, score, no_better = 0, None, -math.inf, 0
    for k in usable:
        candidate = fit(seen, k)
        now = mean_log_prob(candidate, unseen) - per_parameter * parameters(covariance, k, d)
        if now > score:
            best, found, score, no_better = k, candidate, now, 0
        elif (no_better := no_better + 1) == PATIENCE:
            break
    return found if found and how == "bic" else fit(x, best)


def mean_log_prob(fit: Fitted, x: Array) -> float:
    """Mean log density of a single replica's mixture at x (n, d)."""
    return fit.log_prob(_batch(x)).mean().item()


def fit_part(x: Array, settings: FitSettings, seed: int, labels: Array | None = None) -> Fitted:
    """The drift that settings ask for.

    Args:
        x: (n, d) training points.
        settings: as under ``drifts`` in the configuration.
        seed: of the fit.
        labels: the classes of x, (n,), for the fit ``labels``.
    """
    return globals()[FITS[settings.fit].fit](x, settings, seed, labels)


def of_ou(x: Array, settings: FitSettings, seed: int, labels: Array | None) -> Fitted:
    """``fit_ou``; as ``fit_part``."""
    return fit_ou(x, settings.symmetric)


def of_standard(x: Array, settings: FitSettings, seed: int, labels: Array | None) -> Fitted:
    """N(0, I) in the units of x; as ``fit_part``."""
    return Fitted(standard_normal(1, x.shape[1]), _batch(0 * x[:1]), _batch([[1.0]]))


def of_labels(x: Array, settings: FitSettings, seed: int, labels: Array | None) -> Fitted:
    """``fit_labels``; as ``fit_part``."""
    assert labels is not None
    return fit_labels(x, labels, settings.labelled, seed)


def of_em(x: Array, settings: FitSettings, seed: int, labels: Array | None) -> Fitted:
    """``fit_mixture`` with the number of components that ``select`` finds; as ``fit_part``."""
    return _selected(lambda y, k: fit_mixture(y, settings.covariance, k, seed), x, settings)


def of_orbit(x: Array, settings: FitSettings, seed: int, labels: Array | None) -> Fitted:
    """``fit_orbit`` with the number of components that ``select`` finds; as ``fit_part``."""
    return _selected(lambda y, k: fit_orbit(y, k, seed, settings.symmetric), x, settings)


def _selected(fit: Callable[[Array, int], Fitted], x: Array, settings: FitSettings) -> Fitted:
    return select(fit, x, settings.covariance, settings.n_components, settings.selection)


def _batch(array: Any) -> Tensor:
    """A float64 tensor with a replica axis of length one."""
    return torch.as_tensor(np.asarray(array), dtype=torch.float64).unsqueeze(0)
