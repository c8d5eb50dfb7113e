"""Laws that data can be drawn from at will, most with a density that is known."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, lgamma, log, pi

import numpy as np
from numpy.random import Generator

from ndsm.data.images import stream

Array = np.ndarray


@dataclass(frozen=True)
class Law:
    """A known distribution.

    Attributes:
        sample: n and a generator to points (n, d) and the mode that each was drawn from (n,).
        log_density: points (n, d) to log p (n,), where a closed form is known.
    """

    sample: Callable[[int, Generator], tuple[Array, Array]]
    log_density: Callable[[Array], Array] | None = None


def mixture(weights: Array, means: Array, factors: Array, dof: float = inf) -> Law:
    """Σ_k w_k of Gaussian modes, or of multivariate Student-t modes with ``dof`` degrees.

    Args:
        weights: w_k, (K,), summing to one.
        means: (K, d).
        factors: A_k with the scale matrix A_k A_kᵀ, (K, d, d).
        dof: degrees of freedom; a Student-t mode's covariance is dof / (dof − 2) A_k A_kᵀ.
    """
    k, d = means.shape
    inverses = np.linalg.inv(factors)
    log_norm = -np.linalg.slogdet(factors)[1] - d / 2 * log(2 * pi)
    if dof < inf:
        log_norm += lgamma((dof + d) / 2) - lgamma(dof / 2) - d / 2 * log(dof / 2)

    def sample(n: int, generator: Generator) -> tuple[Array, Array]:
        labels = generator.choice(k, size=n, p=weights)
        z = generator.standard_normal((n, d))
        if dof < inf:
            z /= np.sqrt(generator.chisquare(dof, (n, 1)) / dof)
        return means[labels] + np.einsum("nij,nj->ni", factors[labels], z), labels

    def log_density(x: Array) -> Array:
        z = (x[None] - means[:, None]) @ inverses.mT
        square = (z**2).sum(-1)  # (K, n)
        tail = -square / 2 if dof == inf else -(dof + d) / 2 * np.log1p(square / dof)
        return np.logaddexp.reduce(np.log(weights)[:, None] + log_norm[:, None] + tail)

    return Law(sample, log_density)


def _planar(modes: list[tuple[float, ...]], dof: float = inf) -> Law:
    """A planar mixture from rows (weight, x, y, long axis, short axis, degrees of long axis)."""
    weight, x, y, long, short, angle = np.array(modes).T
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    factors = np.array([[c * long, -s * short], [s * long, c * short]]).transpose(2, 0, 1)
    return mixture(weight, np.stack([x, y], axis=1), factors, dof)


def weighted_modes() -> Law:
    """Nine Gaussian modes in the plane; widths from 0.15 to 0.7, weights from 0.3 to 0.01."""
    return _planar(
        [
            (0.30, 0.0, 0.0, 0.60, 0.60, 0),
            (0.20, 3.2, 0.4, 0.70, 0.25, 60),
            (0.15, -3.0, 0.6, 0.40, 0.40, 0),
            (0.10, 0.2, 3.1, 0.60, 0.20, 0),
            (0.08, -0.4, -3.2, 0.15, 0.15, 0),
            (0.07, 3.1, -2.9, 0.30, 0.30, 0),
            (0.05, -3.2, -2.8, 0.50, 0.20, 135),
            (0.04, -2.9, 3.2, 0.20, 0.20, 0),
            (0.01, 3.0, 3.6, 0.25, 0.25, 0),
        ]
    )


def heavy_tails() -> Law:
    """Four Student-t modes in the plane, 3 degrees of freedom: variance but no third moment."""
    return _planar(
        [
            (0.40, 3.0, 3.0, 0.50, 0.50, 0),
            (0.30, -3.0, 3.0, 0.30, 0.30, 0),
            (0.20, -3.0, -3.0, 0.70, 0.30, 45),
            (0.10, 3.0, -3.0, 0.20, 0.20, 0),
        ],
        dof=3,
    )


def pinwheel() -> Law:
    """Five arms, each a Gaussian along one radius that is bent by rate·exp(radius).

    The construction is that of Johnson et al. (2016), "Composing graphical models with neural
    networks", at scale 1: radial deviation 0.3, tangential deviation 0.1, rate 0.25.
    """
    arms, radial, tangential, rate = 5, 0.3, 0.1, 0.25

    def sample(n: int, generator: Generator) -> tuple[Array, Array]:
        labels = generator.integers(arms, size=n)
        u = 1 + radial * generator.standard_normal(n)
        v = tangential * generator.standard_normal(n)
        angle = 2 * pi * labels / arms + rate * np.exp(u)
        c, s = np.cos(angle), np.sin(angle)
        return np.stack([c * u - s * v, s * u + c * v], axis=1), labels

    return Law(sample)


def rings() -> Law:
    """Three concentric circles of radius 1, 2, 3, equally likely, with radial deviation 0.1."""
    radii, width = np.array([1.0, 2.0, 3.0]), 0.1

    def sample(n: int, generator: Generator) -> tuple[Array, Array]:
        labels = generator.integers(len(radii), size=n)
        # A negative radius, ten deviations away, does not occur.
        radius = radii[labels] + width * generator.standard_normal(n)
        angle = generator.uniform(0, 2 * pi, n)
        return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), labels

    def log_density(x: Array) -> Array:
        radius = np.hypot(*x.T).clip(min=1e-9)  # the centre, e⁻⁵⁰ from likely, is a pole
        each = -0.5 * ((radius - radii[:, None]) / width) ** 2 - log(width * (2 * pi) ** 0.5)
        # The circle's length 2πr spreads the density of the radius over the plane.
        return np.logaddexp.reduce(each) - log(len(radii)) - np.log(2 * pi * radius)

    return Law(sample, log_density)


def clusters16() -> Law:
    """Ten clusters in 16 dimensions, covariance A Aᵀ + 0.09 I with A of rank 4, weights 1:2:…:10.

    So look the classes of images in a latent space: elongated, each in its own directions.
    """
    k, d, rank = 10, 16, 4
    generator = stream(3)
    means = generator.standard_normal((k, d))
    low_rank = 0.4 * generator.standard_normal((k, d, rank))
    factors = np.linalg.cholesky(low_rank @ low_rank.mT + 0.09 * np.eye(d))
    return mixture(np.arange(1, k + 1) / 55, means, factors)
