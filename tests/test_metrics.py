"""Metrics against independent implementations, known values, and mistakes planted on purpose."""

import numpy as np
import ot
import pytest
from numpy.random import default_rng
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier

from ndsm.metrics import distances, registry
from ndsm.metrics.registry import DIAGNOSTIC, MAXIMISED


def normal(seed, n, d=2, shift=0.0):
    return default_rng(seed).standard_normal((n, d)) + shift


def brute_energy_distance(x, y):
    """By the definition in double precision, different pairs only."""
    between, within_x, within_y = cdist(x, y).mean(), cdist(x, x).sum(), cdist(y, y).sum()
    within_x /= len(x) * (len(x) - 1)
    within_y /= len(y) * (len(y) - 1)
    return (2 * between - within_x - within_y) / within_y


@pytest.mark.parametrize("sizes", [(5, 7), (512, 1024), (700, 1300)])
@pytest.mark.parametrize("d", [1, 2, 16])
def test_energy_distance_against_brute_force(sizes, d):
    x, y = normal(0, sizes[0], d, shift=0.1), normal(1, sizes[1], d)
    expected = brute_energy_distance(x, y)
    assert registry.energy_distance(x, y) == pytest.approx(expected, abs=1e-6)
    assert registry.energy_distance(x, y, distances.spread(y)) == pytest.approx(expected, abs=1e-6)


def test_energy_distance_against_scipy():
    """SciPy's is the square root of the V-statistic, in one dimension."""
    x, y = normal(0, 600, 1, shift=0.3), normal(1, 500, 1)
    biased = stats.energy_distance(x.ravel(), y.ravel()) ** 2
    within_x, within_y = distances.spread(x), distances.spread(y)
    unbiased = biased - within_x / len(x) - within_y / len(y)
    assert registry.energy_distance(x, y) == pytest.approx(unbiased / within_y, abs=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_single_precision_is_enough(offset):
    """Tight modes far apart, heavy tails, data far from zero: error far below 1e-4, the floor."""
    generator = default_rng(2)
    modes = 10 * generator.standard_normal((9, 2))
    x, y = (
        modes[generator.integers(9, size=2000)] + 0.02 * generator.standard_t(3, (2000, 2)) + offset
        for _ in range(2)
    )
    expected = brute_energy_distance(x, y)
    assert registry.energy_distance(x, y) == pytest.approx(expected, abs=3e-6)


def test_energy_distance_is_unbiased():
    """400 pairs of sets of one law: the mean is zero within five standard errors.

    The V-statistic, with each point beside itself, is noticed.
    """
    values, biased = np.empty((2, 400))
    for i in range(400):
        x, y = normal([3, i], 40), normal([4, i], 40)
        values[i] = registry.energy_distance(x, y)
        within = distances.spread(y)
        biased[i] = values[i] + (distances.spread(x) + within) / (40 * within)

    def deviations(sample):
        return abs(sample.mean()) / (sample.std() / len(sample) ** 0.5)

    assert deviations(values) < 5
    assert deviations(biased) > 10


@pytest.mark.parametrize("sizes", [(300, 300), (300, 500), (90, 7)])
def test_sliced_wasserstein_against_pot_and_scipy(sizes):
    x, y = normal(5, sizes[0], 3, shift=0.5), 2 * normal(6, sizes[1], 3)
    u = default_rng(0).standard_normal((50, 3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    scale = np.sqrt(np.trace(np.cov(y, rowvar=False, bias=True)) / 3)
    pot = ot.sliced_wasserstein_distance(x, y, projections=u.T, p=1) / scale
    scipy = np.mean([stats.wasserstein_distance(x @ each, y @ each) for each in u]) / scale
    assert registry.sliced_wasserstein(x, y) == pytest.approx(pot, rel=1e-9)
    assert registry.sliced_wasserstein(x, y) == pytest.approx(scipy, rel=1e-9)
    squared = ot.sliced_wasserstein_distance(x, y, projections=u.T, p=2) / scale
    assert registry.sliced_wasserstein(x, y) != pytest.approx(squared, rel=1e-3)


def test_sliced_wasserstein_has_no_unit():
    x, y = normal(5, 100, shift=0.5), normal(6, 100)
    expected = registry.sliced_wasserstein(x, y)
    assert registry.sliced_wasserstein(1e3 * x, 1e3 * y) == pytest.approx(expected)


def test_nearest_and_mode_tv_against_sklearn():
    generator = default_rng(7)
    y_labels, x_labels = generator.integers(4, size=(2, 900))
    means = 4 * generator.standard_normal((4, 5))
    y, x = means[y_labels] + normal(8, 900, 5), means[x_labels] + normal(9, 900, 5)
    x, y_labels = x[x_labels != 3], y_labels + 2  # labels need not start at zero
    neighbour = KNeighborsClassifier(1).fit(y, y_labels)
    np.testing.assert_array_equal(
        registry.nearest(x, y), neighbour.kneighbors(x, return_distance=False).ravel()
    )
    shares = [np.bincount(labels, minlength=6) for labels in (neighbour.predict(x), y_labels)]
    expected = 0.5 * np.abs(shares[0] / len(x) - shares[1] / len(y)).sum()
    assert registry.mode_tv(x, y, y_labels) == pytest.approx(expected)
    assert 0.15 < expected < 0.35  # a mode of weight 1/4 is missing
    assert registry.mode_tv(y, y, y_labels) == 0


def test_mode_shares_are_right_where_modes_overlap():
    """Weights 0.9 and 0.1, one deviation apart: a vote of 25 neighbours loses the smaller mode."""
    generator = default_rng(10)

    def draw(n):
        labels = (generator.uniform(size=n) < 0.1).astype(int)
        return generator.standard_normal((n, 2)) + labels[:, None] * [1, 0], labels

    (x, _), (y, y_labels) = draw(5000), draw(5000)
    # Two independent shares of 10 %, each of standard error 0.0042, and clumps: below 5 × 0.0085.
    assert registry.mode_tv(x, y, y_labels) < 0.0425
    vote = KNeighborsClassifier(25).fit(y, y_labels).predict(x)
    assert abs(vote.mean() - y_labels.mean()) > 0.06


def test_log_density_gap():
    x, y = normal(11, 4000), 2 * normal(12, 4000)
    log_p = [stats.multivariate_normal(cov=4).logpdf(z[:, 0]) for z in (x, y)]
    # E log N(y; 0, 4) is −1/8 · 4 for Y and −1/8 · 1 for X, but for a shared constant.
    gap = registry.log_density_gap(*log_p)
    assert gap == pytest.approx(3 / 8, abs=5 * 0.5 * (2 / 4000) ** 0.5)
    assert gap == registry.log_density_gap(*log_p[::-1])


def test_nll_and_kl_of_gaussians():
    """Held-out N(0, 1) in two dimensions, the model N(0, 2²): both have closed forms.

    KL = 2 (log 2 + 1/8 − 1/2). The true density at other points than the model's is noticed.
    """
    y = normal(40, 3000)
    truth = stats.norm.logpdf(y).sum(1)
    log_prob = stats.norm(scale=2).logpdf(y).sum(1)
    expected = 2 * (np.log(2) + 1 / 8 - 1 / 2)
    error = (truth - log_prob).std() / 3000**0.5
    assert abs(registry.kl(log_prob, truth) - expected) < 5 * error < 0.1
    entropy = np.log(2 * np.pi) + 2 * np.log(2) + 1 / 4
    assert abs(registry.nll(log_prob) - entropy) < 5 * log_prob.std() / 3000**0.5
    assert registry.kl(truth, truth) == 0
    others = stats.norm.logpdf(normal(41, 3000)).sum(1)
    assert abs(registry.kl(log_prob, others) - registry.kl(log_prob, truth)) > 1e-3


def test_nll_in_single_precision_is_that_in_double():
    log_prob = (1e3 + normal(41, 100_000, 1)[:, 0]).astype(np.float32)
    expected = -log_prob.astype(np.float64).mean()
    assert registry.nll(log_prob) == pytest.approx(expected, rel=1e-12)
    assert registry.kl(log_prob, np.full(100_000, 1e3)) == pytest.approx(1e3 + expected, abs=1e-9)


CENTRES = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
ROOTS = np.array([[[2.0, 0.0], [1.0, 0.5]], [[1.0, 0.0], [0.0, 1.0]], [[0.3, 0.0], [0.0, 0.6]]])


def moded(seed, n, stretch=1.0, labels=(0, 1, 2)):
    """Points of three Gaussian modes far apart, covariances stretched by a factor; and labels."""
    generator = default_rng(seed)
    modes = generator.choice(labels, n)
    z = generator.standard_normal((n, 2, 1))
    return CENTRES[modes] + stretch**0.5 * (ROOTS[modes] @ z)[..., 0], modes


@pytest.mark.parametrize("stretch", [0.5, 1.5, 3.0])
def test_mode_shape_of_stretched_modes(stretch):
    """Covariances off by a factor s are off by |s − 1|, whatever their sizes and shapes."""
    (x, _), (y, labels) = moded(42, 30_000, stretch), moded(43, 30_000)
    assert registry.mode_shape(x, y, labels) == pytest.approx(abs(stretch - 1), rel=0.05)


def test_mode_shape_of_one_law_is_near_zero_and_of_a_round_one_is_not():
    """The floor falls like n^−½; modes of the right trace and the wrong shape are found out."""
    floor = {}
    for n in (2000, 32_000):
        values = [registry.mode_shape(moded([44, i], n)[0], *moded([45, i], n)) for i in range(5)]
        floor[n] = np.mean(values)
    assert floor[32_000] < 0.03 and 3 < floor[2000] / floor[32_000] < 5.5
    y, labels = moded(46, 30_000)
    x, modes = moded(47, 30_000)
    width = (np.square(ROOTS).sum((1, 2)) / 2) ** 0.5  # round, as wide on the whole
    x = CENTRES[modes] + width[modes, None] * normal(48, 30_000)
    covariances = ROOTS @ ROOTS.transpose(0, 2, 1)
    wrong = width[:, None, None] ** 2 * np.eye(2) - covariances
    expected = (
        np.linalg.norm(wrong, axis=(1, 2)) / np.linalg.norm(covariances, axis=(1, 2))
    ).mean()
    assert registry.mode_shape(x, y, labels) == pytest.approx(expected, rel=0.05)
    assert expected > 0.3


def test_mode_shape_by_the_definition_and_for_lost_modes():
    """A mode without two samples is wrong by all of it; each mode counts alike."""
    (x, x_modes), (y, labels) = moded(49, 900, labels=(0, 1)), moded(50, 1200)
    labels = labels + 3  # labels need not start at zero
    errors = [1.0]
    for mode in (0, 1):
        own, truth = x[x_modes == mode], np.cov(y[labels == mode + 3].T)
        errors.append(np.linalg.norm(np.cov(own.T) - truth) / np.linalg.norm(truth))
    assert registry.mode_shape(x, y, labels) == pytest.approx(np.mean(errors), rel=1e-9)
    one = np.concatenate([x, CENTRES[2:]])
    assert registry.mode_shape(one, y, labels) == pytest.approx(np.mean(errors), rel=1e-9)


@pytest.mark.parametrize(
    "experiment, there",
    [
        ({"dataset": {"name": "weighted_modes"}}, {"vector", "modes", "has_density"}),
        ({"dataset": {"name": "pinwheel", "pool": 9}}, {"vector", "modes", "pool"}),
        ({"dataset": {"name": "digits", "shares": [1]}, "space": "pixel"}, {"image", "shares"}),
        ({"dataset": {"name": "digits"}, "space": "latent"}, {"image", "vector", "latent"}),
    ],
)
def test_traits(experiment, there):
    assert registry.traits(experiment) == there | {"name"}


def test_registry():
    maximised = {name for name, entry in registry.METRICS.items() if entry.better == "max"}
    assert maximised == MAXIMISED
    neither = {name for name, entry in registry.METRICS.items() if entry.better == "neither"}
    assert neither == {*DIAGNOSTIC}
    for entry in registry.METRICS.values():
        assert entry.better in ("min", "max", "neither")
        assert entry.of in ("samples", "method", "model")
