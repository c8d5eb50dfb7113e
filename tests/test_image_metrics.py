"""Metrics of images against independent implementations, known values and planted mistakes."""

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import linalg, stats
from scipy.spatial.distance import cdist

from ndsm.metrics import image_metrics


def normal(seed, n, d=2, shift=0.0):
    return default_rng(seed).standard_normal((n, d)) + shift


def whitened(seed, n, d):
    """Points with mean exactly zero and covariance exactly the identity."""
    z = normal(seed, n, d)
    z -= z.mean(0)
    return z @ np.linalg.inv(np.linalg.cholesky(np.cov(z, rowvar=False))).T


def test_fid_of_gaussians():
    """|m|² + Σ (σ_i − τ_i)² where the covariances commute; SciPy's root where they do not."""
    sigma, tau = np.array([1.0, 2.0, 0.5]), np.array([2.0, 2.0, 0.1])
    shift = np.array([0.3, 0.0, -0.4])
    x, y = whitened(13, 50, 3) * sigma, whitened(14, 60, 3) * tau + shift
    expected = (shift**2).sum() + ((sigma - tau) ** 2).sum()
    assert image_metrics.fid(x, y) == pytest.approx(expected, rel=1e-9)

    a, b = normal(15, 3, 3), normal(16, 3, 3)
    x, y = whitened(13, 50, 3) @ a.T, whitened(14, 60, 3) @ b.T
    root = linalg.sqrtm(a @ a.T @ b @ b.T).real
    expected = np.trace(a @ a.T + b @ b.T - 2 * root)
    assert image_metrics.fid(x, y) == pytest.approx(expected, rel=1e-6)


def test_fid_of_few_samples():
    """Fewer samples than features, constant features: singular covariances, no NaN."""
    x = np.pad(normal(17, 5, 30), ((0, 0), (0, 4))).astype(np.float32)
    assert image_metrics.fid(x, x) == pytest.approx(0, abs=1e-5)
    assert image_metrics.fid(x, x + np.float32(1)) == pytest.approx(34, rel=1e-5)


def kid_by_loops(x, y):
    """By the definition, pair by pair."""

    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    within = [
        np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
        for z in (x, y)
    ]
    return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])


@pytest.mark.parametrize("sizes", [(40, 30), (7, 90)])
def test_kid_by_its_definition(sizes, monkeypatch):
    x, y = normal(40, sizes[0], 5, shift=0.3), normal(41, sizes[1], 5)
    expected = kid_by_loops(x, y)
    assert image_metrics.kid(x, y) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(image_metrics, "ROWS", 16)  # in blocks that do not divide the points
    assert image_metrics.kid(x, y) == pytest.approx(expected, rel=1e-9)
    single = image_metrics.kid(x.astype(np.float32), y.astype(np.float32))
    assert single == pytest.approx(expected, abs=1e-5)


def test_kid_is_unbiased():
    """Two halves of one law, 400 times: a mean of zero within five standard errors, either sign.

    Points beside themselves, the V-statistic's bias, are noticed.
    """
    values, biased = np.empty((2, 400))
    for i in range(400):
        z = normal([42, i], 60, 4)
        x, y = z[:30], z[30:]
        values[i] = image_metrics.kid(x, y)
        biased[i] = values[i]
        for part in (x, y):
            own = ((np.square(part).sum(1) / 4 + 1) ** 3).mean()
            between = kid_within(part)
            biased[i] += (own - between) / 30
    error = values.std() / 400**0.5
    assert abs(values.mean()) < 5 * error
    assert biased.mean() > 10 * biased.std() / 400**0.5
    assert 0.2 < (values < 0).mean() < 0.8


def kid_within(x):
    """Mean kernel of different pairs of points."""
    kernel = (x @ x.T / x.shape[1] + 1) ** 3
    return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))


def test_kid_of_known_laws():
    """One dimension: E k is 1 + 3 m m' + 3 q q' + c c', of first, second and third moments."""
    x, y = normal(43, 3000, 1, shift=1.0), normal(44, 3000, 1)
    first, second, third = 1.0, 2.0 - 1.0, 4.0  # differences of the moments of N(1, 1) and N(0, 1)
    expected = 3 * first**2 + 3 * second**2 + third**2
    assert image_metrics.kid(x, y) == pytest.approx(expected, rel=0.15)


def test_nearest_ratio():
    """1 for new draws within the scatter of medians, 0 for copies, above 1 for broken samples."""
    training, y = normal(45, 500, 10), normal(46, 2000, 10)
    fresh = [image_metrics.nearest_ratio(normal([47, i], 2000, 10), training, y) for i in range(10)]
    assert abs(np.mean(fresh) - 1) < 0.02 and max(np.abs(np.array(fresh) - 1)) < 0.05
    # Over as many held-out images as there are samples.
    few = image_metrics.nearest_ratio(normal(50, 300, 10), training, y)
    assert few == image_metrics.nearest_ratio(normal(50, 300, 10), training, y[:300])
    copies = training[default_rng(0).integers(500, size=2000)]
    assert image_metrics.nearest_ratio(copies, training, y) == 0
    blurred = copies + 0.3 * normal(48, 2000, 10)
    # Each stays at about 0.3 √10 from its own image; new points are about 2.5 from the nearest.
    nearest = np.median(cdist(y, training).min(1))
    ratio = image_metrics.nearest_ratio(blurred, training, y)
    assert ratio == pytest.approx(0.3 * 10**0.5 / nearest, rel=0.1) and ratio < 0.5
    broken = normal(49, 2000, 10) * 3
    expected = np.median(cdist(broken, training).min(1)) / nearest
    ratio = image_metrics.nearest_ratio(broken, training, y)
    assert ratio == pytest.approx(expected) and ratio > 2
    # Distances from the held-out points in place of the training ones: copies would not be seen.
    assert np.median(cdist(copies, y).min(1)) / nearest > 0.7


def test_inception_score_of_known_cases():
    certain = np.eye(10, dtype=np.float32)[np.arange(200) % 10]
    assert image_metrics.inception_score(certain) == pytest.approx(10)
    assert image_metrics.inception_score(certain[::10]) == pytest.approx(1)  # one class only
    assert image_metrics.inception_score(np.full((50, 10), 0.1)) == pytest.approx(1)
    p = default_rng(18).dirichlet(np.ones(4), 30)
    kl = [stats.entropy(each, p.mean(0)) for each in p]
    assert image_metrics.inception_score(p) == pytest.approx(np.exp(np.mean(kl)))


def test_class_tv():
    x, y = np.eye(3)[[0, 0, 0, 1]], np.eye(3)[[0, 1, 1, 2]]
    assert image_metrics.class_tv(x, y) == pytest.approx(0.5)
    assert image_metrics.class_tv(y, y) == 0


def test_memorisation():
    training = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 30.0]])
    samples = np.array([[0.7, 0.0], [0.8, 0.0], [0.0, 0.0], [1.5, 0.0], [0.0, 29.0]])
    # Ratios of distances 0.7/2.3, 0.8/2.2, 0, 1, 1/29: three of them below a third.
    assert image_metrics.memorisation(samples, training) == 3 / 5
    new, training = normal(19, 500, 20), normal(20, 500, 20)
    assert image_metrics.memorisation(new, training) == 0
    for times in (1, 2):  # a copy of an image that is there twice is a copy
        assert image_metrics.memorisation(training, np.repeat(training, times, axis=0)) == 1
        assert image_metrics.memorisation(training + 1e-3, np.repeat(training, times, 0)) == 1


def test_density_and_coverage_by_their_definition():
    x, y = normal(21, 60, 3, shift=0.5), normal(22, 60, 3)
    within = np.sort(cdist(y, y), axis=1)[:, 5]
    inside = cdist(x, y) < within
    assert image_metrics.density(x, y) == pytest.approx(inside.sum() / (5 * 60))
    assert image_metrics.coverage(x, y) == inside.any(0).mean()


def test_density_and_coverage_of_one_law_and_of_a_collapsed_one():
    """One law: density 1 on average, coverage 1 − C(n, 5)/C(2n, 5) ≈ 1 − 1/32 (Naeem et al.)."""
    values = np.array(
        [
            (image_metrics.density(x, y), image_metrics.coverage(x, y))
            for x, y in ((normal([23, i], 200), normal([24, i], 200)) for i in range(60))
        ]
    )
    error = values.std(0) / 60**0.5
    assert np.all(np.abs(values.mean(0) - [1, 1 - 1 / 32]) < 5 * error + [0, 0.002])
    collapsed = np.repeat(normal(25, 4), 50, 0)
    assert image_metrics.coverage(collapsed, normal(26, 200)) < 0.2


RARE = 2, 0.1  # the rarest class, and its share


def seen(shares, seed, rare_shift=0.0):
    """Features and sharp probabilities of 200 images of three classes with given shares."""
    generator = default_rng(seed)
    labels = np.repeat([0, 1, 2], np.rint(200 * np.array(shares)).astype(int))
    probabilities = 0.01 * generator.dirichlet(np.ones(3), 200) + 0.99 * np.eye(3)[labels]
    features = 5 * np.eye(3)[labels] + generator.standard_normal((200, 3))
    features[labels == 2] += rare_shift
    return features, probabilities


def test_rare_fid_takes_as_many_as_there_should_be():
    """Twenty of 200, the likeliest; where there are fewer of the class, others join them."""
    rarest = normal(27, 300, 3) + [0, 0, 5]
    features, probabilities = seen([0.6, 0.2, 0.2], 28)
    likeliest = np.argsort(probabilities[:, 2])[-20:]
    expected = image_metrics.fid(features[likeliest], rarest)
    assert image_metrics.rare_fid(features, probabilities, rarest, *RARE) == expected
    assert (likeliest >= 160).all()
    few = image_metrics.rare_fid(*seen([0.8, 0.18, 0.02], 28), rarest, *RARE)
    bad = image_metrics.rare_fid(*seen([0.7, 0.2, 0.1], 28, rare_shift=3), rarest, *RARE)
    good = image_metrics.rare_fid(*seen([0.7, 0.2, 0.1], 28), rarest, *RARE)
    assert few > 3 * good and bad > 3 * good


@pytest.mark.parametrize(("share", "gap"), [(0.1, 0), (0.05, 0.5), (0.2, 1), (0, 1)])
def test_rare_gap(share, gap):
    probabilities = np.eye(3)[np.repeat([0, 2], [round(100 * (1 - share)), round(100 * share)])]
    assert image_metrics.rare_gap(probabilities, *RARE) == pytest.approx(gap)


def branches(n, share, upright_ink, inverted_ink, seed):
    """Flags and inks of n images, a share of them inverted."""
    inverted = np.arange(n) < round(share * n)
    ink = np.where(inverted, inverted_ink, upright_ink)
    return ink + 0.01 * default_rng(seed).standard_normal(n), inverted


def test_branch_metrics_tell_what_is_wrong():
    truth = branches(1000, 0.3, 0.13, 0.20, 29)
    right = branches(500, 0.3, 0.13, 0.20, 30)
    symmetric = branches(500, 0.5, 0.16, 0.16, 31)  # what an exactly equivariant model makes
    assert image_metrics.branch_tv(right[1], truth[1]) == pytest.approx(0)
    assert image_metrics.branch_tv(symmetric[1], truth[1]) == pytest.approx(0.2)
    assert image_metrics.departure_gap(*right, *truth) < 0.03
    assert image_metrics.departure_gap(*symmetric, *truth) == pytest.approx(0.07 / 0.13, rel=0.05)
    one_branch = branches(500, 0, 0.13, 0.2, 32)
    assert image_metrics.departure_gap(*one_branch, *truth) == pytest.approx(0.07 / 0.13, rel=0.05)


def test_branch_fids_look_at_their_branch_alone():
    y, x = normal(33, 1000, 4), normal(34, 500, 4)
    y_inverted, x_inverted = np.arange(1000) < 300, np.arange(500) < 150
    y[y_inverted] += 1
    x[x_inverted] += 1
    spoiled = x + 2 * x_inverted[:, None]
    flags = (x_inverted, y, y_inverted)
    same = image_metrics.fid_upright(x, *flags)
    assert image_metrics.fid_upright(spoiled, *flags) == same
    expected = image_metrics.fid(spoiled[:150], y[:300])
    assert image_metrics.fid_inverted(spoiled, *flags) == expected
    assert expected > 10 * image_metrics.fid_inverted(x, *flags)
