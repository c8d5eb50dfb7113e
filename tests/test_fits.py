"""Fits with labels and with symmetry: what they may look at, and what they must keep exactly."""

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from ndsm.errors import Refused
from ndsm.method.drift_fits import FIXED_POINT, fit_labels, fit_orbit, fit_ou, weights_and_variance

Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison
MEANS = np.array([[0.1, 0.2, 0.1], [0.4, 0.1, 0.3], [0.2, 0.4, 0.4]])
WEIGHTS = np.array([0.6, 0.3, 0.1])
WIDTH = 0.02


def classes(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) of three round, well separated classes in [0, ½]³, and their labels."""
    generator = default_rng(seed)
    labels = generator.choice(3, n, p=WEIGHTS)
    return MEANS[labels] + WIDTH * generator.standard_normal((n, 3)), labels


def in_data_units(fit):
    return fit.to_data(fit.mixture.means)[0].numpy(), fit.mixture.log_weights.exp()[0].numpy()


def test_labels_give_the_means_and_all_points_the_weights():
    x, labels = classes()
    fit = fit_labels(x, labels, labelled=20, seed=0)
    means, weights = in_data_units(fit)
    assert np.abs(means - MEANS).max() < Z * WIDTH / 20**0.5
    assert np.abs(weights - WEIGHTS).max() < Z * (WEIGHTS * (1 - WEIGHTS) / 3000).max() ** 0.5
    # The variance has the error of the means in it, one part in twenty.
    assert fit.factor.item() == pytest.approx(WIDTH, rel=0.1)


def test_only_the_few_labels_are_looked_at():
    x, labels = classes()
    wrong = labels.copy()
    seen = [np.flatnonzero(labels == c)[:5] for c in range(3)]
    wrong[np.setdiff1d(np.arange(1000, 3000), np.concatenate(seen))] = 0
    one, other = (fit_labels(x, each, labelled=5, seed=0) for each in (labels, wrong))
    torch.testing.assert_close(one.mixture.means, other.mixture.means)
    all_of_them = fit_labels(x, wrong, labelled=3000, seed=0)
    assert (all_of_them.mixture.means - one.mixture.means).abs().max() > 1


def test_a_class_without_images_has_no_component():
    x, labels = classes(200)
    kept = labels != 2
    assert fit_labels(x[kept], labels[kept], 5, seed=0).mixture.means.shape[1] == 2


def symmetric(share: float, n: int = 3000) -> np.ndarray:
    """The classes, a share of the points inverted."""
    x, _ = classes(n)
    chosen = default_rng(1).uniform(size=n) < share
    return np.where(chosen[:, None], 1 - x, x)


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_orbits_are_exact_and_weights_are_free(share):
    fit = fit_orbit(symmetric(share), components=6, seed=0)
    m, g_m = fit.mixture.means[0].chunk(2)
    torch.testing.assert_close(g_m, -m, rtol=0, atol=0)
    means, weights = in_data_units(fit)
    np.testing.assert_allclose(means[3:], 1 - means[:3], atol=1e-12)
    inverted = weights[means.mean(1) > FIXED_POINT].sum()
    assert abs(inverted - share) < Z * (share * (1 - share) / 3000) ** 0.5
    for mean in MEANS:  # every class and its image is found
        for image in (mean, 1 - mean):
            assert np.abs(means - image).max(1).min() < Z * WIDTH / (0.1 * 3000) ** 0.5


def test_a_symmetric_orbit_has_equal_weights_in_each_pair():
    """So that its score is exactly equivariant, as that of free weights is not."""
    y = torch.as_tensor(default_rng(0).standard_normal((1, 50, 3)))
    errors = []
    for same in (True, False):
        fit = fit_orbit(symmetric(0.3), components=6, seed=0, symmetric=same)
        errors.append((fit.mixture.score(y) + fit.mixture.score(-y)).abs().max().item())
    assert errors[0] < 1e-9 and errors[1] > 1e-2
    weights = fit_orbit(symmetric(0.3), 6, 0, symmetric=True).mixture.log_weights.exp()[0]
    torch.testing.assert_close(weights[:3], weights[3:])


def test_an_odd_number_of_components_is_refused():
    with pytest.raises(Refused, match="n_components: 5 with fit orbit; give an even number"):
        fit_orbit(symmetric(0.5), 5, seed=0)


def test_symmetric_coordinates_turn_the_inversion_into_a_change_of_sign():
    x = symmetric(0.3)
    for fit in (fit_ou(x, symmetric=True), fit_orbit(x, 4, seed=0)):
        points = torch.as_tensor(x).unsqueeze(0)
        torch.testing.assert_close(fit.to_working(1 - points), -fit.to_working(points))
    plain = fit_ou(x)
    assert (plain.to_working(1 - points) + plain.to_working(points)).abs().max() > 0.5


def test_weights_and_variance_maximise_the_likelihood():
    """At the fixed means; against a start from elsewhere, and against small changes."""
    x, _ = classes()
    means = MEANS + 0.01
    weights, variance = weights_and_variance(x, means)
    square = ((x[:, None] - means) ** 2).sum(-1)

    def log_likelihood(w: np.ndarray, v: float) -> float:
        terms = np.log(w) - square / (2 * v) - 1.5 * np.log(v)
        return float(np.logaddexp.reduce(terms, axis=1).sum())

    best = log_likelihood(weights, variance)
    for change in ([0.01, -0.01, 0], [-0.01, 0, 0.01], [0, 0.01, -0.01]):
        assert log_likelihood(weights + change, variance) < best
    assert max(log_likelihood(weights, variance * f) for f in (0.98, 1.02)) < best
