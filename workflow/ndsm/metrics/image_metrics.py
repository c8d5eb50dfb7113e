"""How good samples of images are, by what the classifier makes of them, and by their ink.

    FID                |m_X − m_Y|² + tr(C_X + C_Y − 2 (C_X C_Y)^½), moments of features
    KID                squared maximum mean discrepancy of features, kernel (x·y / f + 1)³, unbiased
    nearest ratio      median distance of X from its nearest training image, over that of Y
    inception score    exp of the mean KL divergence of p(class | x) from its mean over x
    density, coverage  of the samples in balls about held-out images, radius to their fifth nearest
    memorisation       share of X with a training point thrice as near as the second nearest
    rare_fid           FID of the samples most like the rarest class, as many as there should be
    rare_gap           |share of the rarest class in X / its true share − 1|
    branch_tv          |share of inverted images in X − their share in Y|
    branch FIDs        FID of the images of either branch of an approximate symmetry
    departure_gap      |departure of X from symmetry − that of Y| over the ink of upright Y

The rare_fid looks at as many samples as there should be, the likeliest ones: so it is always
defined, and of as few images for every method.
"""

import numpy as np

from ndsm.metrics.distances import nearest

Array = np.ndarray

ROWS = 512  # of a matrix of kernels that are in memory together
NEIGHBOURS = 5  # of density and coverage, as in their paper


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


def kid(x: Array, y: Array) -> float:
    """Squared maximum mean discrepancy of features by U-statistics, with a cubic kernel.

    Bińkowski et al. (2018), "Demystifying MMD GANs". Unbiased however few the samples, so that it
    may be negative; all samples at once in place of their subsets.

    Args:
        x: features of samples, (n, f).
        y: features of held-out images, (m, f).
    """

    def mean_kernel(a: Array, b: Array) -> float:
        total = 0.0
        for i in range(0, len(a), ROWS):
            total += ((a[i : i + ROWS] @ b.T / b.shape[1] + 1) ** 3).sum(dtype=np.float64)
        if a is not b:
            return total / (len(a) * len(b))
        itself = ((np.square(a).sum(1) / a.shape[1] + 1) ** 3).sum(dtype=np.float64)
        return (total - itself) / (len(a) * (len(a) - 1))

    return float(mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


def nearest_ratio(x: Array, training: Array, y: Array) -> float:
    """How far samples stay from the training images, over how far new images are: 1 is right.

    Far below it the samples stay near images that were trained on; far above it they are broken.
    Each is a median of distances to the nearest training image, over as many images.

    Args:
        x: samples, (n, d).
        training: training images, (t, d).
        y: held-out images, (m, d).
    """
    medians = []
    for points in (x, y[: len(x)]):
        closest = training[nearest(points, training)]
        medians.append(np.median(np.linalg.norm(points - closest, axis=1)))
    return float(medians[0] / medians[1])


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


def class_shares(probabilities: Array) -> Array:
    """The share of each class among images with p(class | x) (n, k), (k,)."""
    n, k = probabilities.shape
    return np.bincount(probabilities.argmax(1), minlength=k) / n


def class_tv(x_probabilities: Array, y_probabilities: Array) -> float:
    """Total variation between the shares of the classes that the classifier sees.

    Both sides are classified, so that most of the classifier's own mistakes cancel.

    Args:
        x_probabilities: p(class | x) of samples, (n, k).
        y_probabilities: of held-out images, (m, k).
    """
    difference = class_shares(x_probabilities) - class_shares(y_probabilities)
    return float(np.abs(difference).sum() / 2)


def density(x: Array, y: Array) -> float:
    """Mean number of held-out balls that a sample is in, over what is expected: fidelity.

    Naeem et al. (2020), "Reliable fidelity and diversity metrics for generative models". As many
    held-out images are taken as there are samples, since both numbers set the scale.

    Args:
        x: features of samples, (n, f).
        y: features of held-out images, (m, f).
    """
    return float(_in_balls(x, y[: len(x)]).sum(1).mean() / NEIGHBOURS)


def coverage(x: Array, y: Array) -> float:
    """Share of held-out balls with a sample in them: diversity. See ``density``."""
    return float(_in_balls(x, y[: len(x)]).any(0).mean())


def _in_balls(x: Array, y: Array) -> Array:
    """Whether samples x (n, f) are nearer to y (m, f) than its neighbours in y, (n, m)."""
    k = min(NEIGHBOURS, len(y) - 1)
    radius = np.partition(_squares(y, y), k, axis=1)[:, k]  # its distance to itself counts as one
    return _squares(x, y) < radius


def _squares(x: Array, y: Array) -> Array:
    """|x − y|² for all pairs, (n, m)."""
    square = (x**2).sum(1, keepdims=True) - 2 * x @ y.T + (y**2).sum(1)
    return square.clip(min=0)


def memorisation(x: Array, training: Array) -> float:
    """Share of samples (n, d) whose nearest training point is a copy rather than a neighbour.

    That is, less than a third as far as the second nearest of ``training`` (m, d). An image that is
    there several times counts once; two different ones at least are there.
    """
    distinct = np.unique(training, axis=0)
    first, second = np.partition(_squares(x, distinct), 1, axis=1)[:, :2].T
    return float((9 * first < second).mean())


def rare_fid(
    x_features: Array, x_probabilities: Array, rarest_features: Array, rare: int, share: float
) -> float:
    """FID of the samples that look most like the rarest class, as many as there should be.

    Args:
        x_features: features of samples, (n, f).
        x_probabilities: p(class | x) of samples, (n, k).
        rarest_features: features of held-out images of the rarest class, (m, f).
        rare: the rarest class (see ``images.rarest``).
        share: its true share.
    """
    count = max(2, round(share * len(x_features)))
    likeliest = np.argsort(x_probabilities[:, rare])[-count:]
    return fid(x_features[likeliest], rarest_features)


def rare_gap(x_probabilities: Array, rare: int, share: float) -> float:
    """How far the share of the rarest class is off, relative to the true one; see ``rare_fid``."""
    return float(abs(class_shares(x_probabilities)[rare] / share - 1))


def branch_tv(x_inverted: Array, y_inverted: Array) -> float:
    """Total variation between the shares of inverted images, from one flag for each image."""
    return float(abs(x_inverted.mean() - y_inverted.mean()))


def fid_upright(x: Array, x_inverted: Array, y: Array, y_inverted: Array) -> float:
    """FID of the upright images.

    Args:
        x: features of samples, their inversion undone, (n, f).
        x_inverted: which of the samples are inverted, (n,).
        y: features of held-out images, their inversion undone, (m, f).
        y_inverted: which of them are inverted, (m,).
    """
    return _fid_of_part(x, ~x_inverted, y, ~y_inverted)


def fid_inverted(x: Array, x_inverted: Array, y: Array, y_inverted: Array) -> float:
    """FID of the inverted images; arguments as of ``fid_upright``."""
    return _fid_of_part(x, x_inverted, y, y_inverted)


def _fid_of_part(x: Array, x_part: Array, y: Array, y_part: Array) -> float:
    """FID of a part of the samples; of all of them if there are not two of that part."""
    return fid(x[x_part] if x_part.sum() > 1 else x, y[y_part])


def departure_gap(x_ink: Array, x_inverted: Array, y_ink: Array, y_inverted: Array) -> float:
    """How far the departure from symmetry is off, over the mean ink of upright images.

    The departure is the ink of the inverted images, the inversion undone, less that of the others;
    it is none where there are images of one branch only.

    Args:
        x_ink: mean ink of samples, their inversion undone, (n,).
        x_inverted: which of the samples are inverted, (n,).
        y_ink: mean ink of held-out images, their inversion undone, (m,).
        y_inverted: which of them are inverted, (m,).
    """

    def departure(ink: Array, inverted: Array) -> float:
        if inverted.all() or not inverted.any():
            return 0.0
        return float(ink[inverted].mean() - ink[~inverted].mean())

    unit = float(y_ink[~y_inverted].mean())
    return abs(departure(x_ink, x_inverted) - departure(y_ink, y_inverted)) / unit
