"""The mixture against autograd, quadrature, SciPy, scikit-learn and its own samples, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from scipy import stats
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ndsm.method.drift_fits import fit_mixture
from ndsm.method.fitted_drift import Fitted, stack
from ndsm.method.mixture import Mixture, standard_normal
from ndsm.method.random_streams import Streams

COVARIANCES = ("spherical", "tied", "diag", "full")
Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison


def clusters(seed: int, n: int = 300, d: int = 3) -> np.ndarray:
    """Three correlated clusters of different widths and weights, far from the origin."""
    generator = default_rng(seed)
    means = 3 * generator.standard_normal((3, d)) + 5
    roots = generator.uniform(0.2, 1, (3, 1, 1)) * generator.standard_normal((3, d, d))
    label = generator.choice(3, n, p=[0.6, 0.3, 0.1])
    noise = (roots[label] @ generator.standard_normal((n, d, 1)))[..., 0]
    return means[label] + noise + 0.3 * generator.standard_normal((n, d))


def pair(covariance: str, d: int = 3) -> Fitted:
    """A stack of two replicas with four and two components: the second is padded."""
    fits = [fit_mixture(clusters(i, d=d), covariance, k, seed=0) for i, k in enumerate((4, 2))]
    return stack(fits)


def covariances(mixture: Mixture) -> Tensor:
    """Σ_k, (R, K, d, d)."""
    d = mixture.means.shape[-1]
    if mixture.scale_tril is None:
        return torch.eye(d, dtype=torch.float64).expand(*mixture.means.shape, d)
    return mixture.scale_tril @ mixture.scale_tril.mT


def exact_moments(mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Mean (R, d) and covariance (R, d, d) of π."""
    w = mixture.log_weights.exp()
    mean = torch.einsum("rk,rkd->rd", w, mixture.means)
    second = covariances(mixture) + mixture.means.unsqueeze(-1) * mixture.means.unsqueeze(-2)
    moment = torch.einsum("rk,rkde->rde", w, second)
    return mean, moment - mean.unsqueeze(-1) * mean.unsqueeze(-2)


def far_points(mixture: Mixture, reach: float) -> Tensor:
    """Points up to ``reach`` standard deviations from the origin, (R, 200, d)."""
    d = mixture.means.shape[-1]
    direction = torch.as_tensor(default_rng(7).standard_normal((len(mixture.means), 200, d)))
    return reach * mixture.spread() * direction


def score_error(claimed: Mixture, mixture: Mixture, y: Tensor) -> float:
    """Largest relative error of ``claimed.score`` against autograd of ``mixture.log_prob``."""
    y = y.clone().requires_grad_()
    (expected,) = torch.autograd.grad(mixture.log_prob(y).sum(), y)
    found = claimed.score(y)
    assert found.isfinite().all() and expected.isfinite().all()
    return ((found - expected).norm(dim=-1) / (1 + expected.norm(dim=-1))).max().item()


@pytest.mark.parametrize("reach", [0.3, 3.0, 30.0, 1e3])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_score_is_the_gradient_of_log_prob(covariance, reach):
    mixture = pair(covariance).mixture
    assert score_error(mixture, mixture, far_points(mixture, reach)) < 1e-10


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_score_without_weights_or_determinants_is_noticed(covariance):
    mixture = pair(covariance).mixture
    w = mixture.log_weights
    equal = replace(mixture, log_weights=torch.where(w.isfinite(), 0.0, w))
    y = far_points(mixture, 0.3)
    assert score_error(equal, mixture, y) > 1e-4
    if mixture.scale_tril is not None:
        log_det = mixture.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        no_determinant = replace(mixture, log_weights=w + log_det)
        assert score_error(no_determinant, mixture, y) > 1e-4


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_single_precision_is_finite_far_out(covariance):
    """At 1e3 standard deviations, and at the lone far end of a padded replica."""
    mixture = pair(covariance).to("cpu", torch.float32).mixture
    y = far_points(mixture, 1e3).float()
    score, log_prob, r = mixture.score(y), mixture.log_prob(y), mixture.responsibilities(y)
    assert score.isfinite().all() and log_prob.isfinite().all()
    torch.testing.assert_close(r.sum(-1), torch.ones(r.shape[:2]))
    assert not r[1, :, 2:].any()  # padding takes no part


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_padding_changes_nothing(covariance):
    fits = [fit_mixture(clusters(i), covariance, k, seed=0) for i, k in enumerate((4, 2))]
    padded, alone = stack(fits), fits[1]
    x = torch.as_tensor(clusters(3)).unsqueeze(0)
    y = alone.to_working(x)
    torch.testing.assert_close(padded.one(1).log_prob(x), alone.log_prob(x))
    torch.testing.assert_close(
        padded.mixture.score(y.expand(2, -1, -1))[1:], alone.mixture.score(y)
    )
    torch.testing.assert_close(padded.mixture.spread()[1:], alone.mixture.spread())


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_log_prob_in_data_units_is_normalised(covariance):
    """Its integral over the plane, by the trapezoidal rule, is one."""
    fit = fit_mixture(clusters(0, d=2), covariance, 3, seed=0)
    axes = []
    for column in clusters(0, d=2).T:
        margin = 4 * column.std()
        axes.append(torch.linspace(column.min() - margin, column.max() + margin, 500).double())
    x = torch.cartesian_prod(*axes).unsqueeze(0)
    cell = (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    density = fit.log_prob(x).exp()
    assert (density.sum() * cell).item() == pytest.approx(1, abs=1e-4)
    no_jacobian = fit.mixture.log_prob(fit.to_working(x)).exp()
    assert abs((no_jacobian.sum() * cell).item() - 1) > 0.01


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_log_prob_against_scipy(covariance, temperature):
    """SciPy's normal densities with the components carried to data units.

    A temperature multiplies their covariances and moves no mean; the factor alone moves them.
    """
    fit = pair(covariance)
    x = clusters(5)
    points = torch.as_tensor(x).expand(2, -1, -1)
    found = fit.tempered(temperature).log_prob(points)
    if temperature < 1:
        moved = Fitted(fit.mixture, fit.shift, fit.factor * temperature**0.5)
        assert (moved.log_prob(points) - found).abs().mean() > 0.1
    identity = temperature**0.5 * torch.eye(3, dtype=torch.float64)
    a = fit.factor * identity if fit.factor.shape[-1] == 1 else fit.factor @ identity
    means = fit.to_data(fit.mixture.means)
    for r in range(2):
        terms = [
            w.item() + stats.multivariate_normal(m.numpy(), (a[r] @ c @ a[r].mT).numpy()).logpdf(x)
            for w, m, c in zip(
                fit.mixture.log_weights[r], means[r], covariances(fit.mixture)[r], strict=True
            )
            if w.isfinite()
        ]
        np.testing.assert_allclose(found[r], np.logaddexp.reduce(terms), rtol=1e-9)


@pytest.mark.parametrize("covariance", ["tied", "diag", "full"])
def test_log_prob_against_sklearn(covariance):
    """The same EM run, its density rescaled to data units by hand."""
    x, other = clusters(0), clusters(1)
    shift, scale = x.mean(0), np.sqrt(x.var(0).mean())
    model = GaussianMixture(4, covariance_type=covariance, random_state=0).fit((x - shift) / scale)
    expected = model.score_samples((other - shift) / scale) - 3 * np.log(scale)
    found = fit_mixture(x, covariance, 4, seed=0).log_prob(torch.as_tensor(other).unsqueeze(0))
    np.testing.assert_allclose(found[0], expected, rtol=1e-8)


def moment_z(mixture: Mixture, y: Tensor) -> float:
    """Largest |z| of the mean and the second central moments of draws y of π."""
    mean, covariance = exact_moments(mixture)
    offset = y - mean.unsqueeze(1)
    square = offset.unsqueeze(-1) * offset.unsqueeze(-2) - covariance.unsqueeze(1)
    deviations = [offset, square.flatten(2)]
    root = y.shape[1] ** 0.5
    return max((root * v.mean(1) / v.std(1)).abs().max().item() for v in deviations)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_samples_have_the_moments_of_the_mixture(covariance):
    mixture = pair(covariance).mixture
    y = mixture.sample(20_000, Streams([("a",), ("b",)]))
    assert moment_z(mixture, y) < Z
    w = mixture.log_weights
    equal = replace(mixture, log_weights=torch.where(w.isfinite(), 0.0, w))
    assert moment_z(mixture, equal.sample(20_000, Streams([("a",), ("b",)]))) > Z
    if covariance == "full":
        transposed = replace(mixture, scale_tril=mixture.scale_tril.mT)
        assert moment_z(mixture, transposed.sample(20_000, Streams([("a",), ("b",)]))) > Z


def test_padding_is_never_drawn():
    """Wherever the padding stands, and although its mean would be far away."""
    log_weights = torch.tensor([[-torch.inf, 0.3, 0.7, -torch.inf]]).double()
    log_weights[:, 1:3] = log_weights[:, 1:3].log()
    means = torch.tensor([[[1e6], [0.0], [10.0], [1e6]]]).double()
    y = Mixture(log_weights, means).sample(100_000, Streams([("draw",)]))
    assert y.max() < 1e3
    share = (y > 5).double().mean().item()
    assert abs(share - 0.7) < Z * (0.7 * 0.3 / 100_000) ** 0.5


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_spread_is_the_deviation_of_a_coordinate(covariance):
    mixture = pair(covariance).mixture
    _, covariance = exact_moments(mixture)
    expected = covariance.diagonal(dim1=-2, dim2=-1).mean(-1).sqrt()
    torch.testing.assert_close(mixture.spread().flatten(), expected)


def test_standard_normal():
    mixture = standard_normal(2, 3)
    y = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixture.score(y), -y)
    expected = stats.multivariate_normal(np.zeros(3)).logpdf(y.double())
    np.testing.assert_allclose(mixture.log_prob(y), expected, rtol=1e-5)
    assert moment_z(standard_normal_double(), mixture.sample(20_000, Streams([(0,), (1,)]))) < Z


def standard_normal_double() -> Mixture:
    """N(0, I) of two replicas in float64, d = 3."""
    return Mixture(*(t.double() for t in list(vars(standard_normal(2, 3)).values())[:2]))


class Largest(TorchDispatchMode):
    """Notes the most elements that a tensor made in its context has."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **kwargs or {})
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_one_covariance_costs_matrix_products_alone():
    """No temporary of the size R B K d: none is larger than the largest of (R, B, K) and (R, B, d).

    With covariances of their own the components have one: the test sees it.
    """
    R, B, K, d = 2, 50, 7, 11  # noqa: N806
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(R, B, d, generator=generator)
    means = torch.randn(R, K, d, generator=generator)
    log_weights = torch.full((R, K), 1 / K).log()
    eye = torch.eye(d).expand(R, K, d, d)
    for scale_tril, limit in ((None, R * B * max(K, d)), (eye, R * B * K * d)):
        mixture = Mixture(log_weights, means, scale_tril)
        with Largest() as largest:
            mixture.score(y)
            if scale_tril is None:
                mixture.centre(y)
                mixture.log_prob(y)
        assert largest.elements == limit
