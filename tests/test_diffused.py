"""The diffused mixture, the known part of the rival's score, against its density."""

import math

import pytest
import torch
from torch import Tensor

from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import signal, variance
from ndsm.method.mixture import Mixture, standard_normal
from ndsm.method.networks import ScoreNet, Zero
from ndsm.method.noised_mixture import Diffused, diffused
from ndsm.method.random_streams import Streams
from test_likelihood import LINEAR, POINTS, double, fits, modes, normal_log_prob, plain


def log_pi_t(fit: Fitted, y: Tensor, t: float) -> Tensor:
    """Log density of a mixture under the linear process, component by component."""
    a, v, scale = math.exp(-t), 1 - math.exp(-2 * t), LINEAR.factor.item()
    parts = []
    for k in range(3):
        factor = fit.factor[0] if fit.factor.shape[-1] > 1 else fit.factor[0] * torch.eye(2)
        if fit.mixture.scale_tril is not None:
            factor = factor @ fit.mixture.scale_tril[0, k]
        covariance = a**2 * (factor @ factor.mT) / scale**2 + v * torch.eye(2)
        mean = a * LINEAR.to_working(fit.to_data(fit.mixture.means))[0, k]
        parts.append(fit.mixture.log_weights[0, k] + normal_log_prob(y, mean, covariance))
    return torch.stack(parts).logsumexp(0)


def score_error(known: Diffused, fit: Fitted) -> float:
    """Largest error of the score with F_θ = 0, over points and times."""
    net, worst = ScoreNet(LINEAR.mixture, Zero(2), known=known), 0.0
    for t in (1e-3, 0.1, 1.0, 4.0):
        y = POINTS.clone().requires_grad_()
        (truth,) = torch.autograd.grad(log_pi_t(fit, y, t).sum(), y)
        found = net(POINTS, torch.full((1, 5, 1), t).double())
        worst = max(worst, ((found - truth).abs() / (1 + truth.abs())).max().item())
    return worst


@pytest.mark.parametrize("covariance", ["spherical", "tied", "full"])
def test_the_score_of_a_diffused_mixture_is_exact(covariance):
    fit = fits(covariance)
    known = diffused(fit, LINEAR)
    assert score_error(known, fit) < 1e-6
    wrong = Diffused(**vars(known) | {"spectra": 1.1 * known.spectra})
    assert score_error(wrong, fit) > 0.01


def test_axes_of_their_own_need_no_basis():
    """Diagonal covariances: the same through a basis and without."""
    mixture = modes("full")
    assert mixture.scale_tril is not None
    straight = Mixture(mixture.log_weights, mixture.means, mixture.scale_tril * torch.eye(2))
    known = diffused(plain(straight, 0.7), LINEAR)
    assert known.bases is None
    tilted = diffused(fits("full"), LINEAR)
    assert tilted.bases is not None and tilted.bases.shape == (1, 3, 2, 2)
    assert score_error(known, plain(straight, 0.7)) < 1e-6


def test_the_whitened_score_has_unit_variance():
    """Under π_t, where components do not overlap: at all times within a tenth. It is the score."""
    means = 40 * torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]]).double()
    fit = plain(Mixture(torch.tensor([[0.5, 0.5]]).double().log(), means))
    linear = plain(double(standard_normal(1, 2)), 40.0)
    known, streams = diffused(fit, linear), Streams([("draws",)])
    x = linear.to_working(fit.to_data(fit.mixture.sample(20_000, streams)))
    for t in (1e-4, 1e-2, 0.5, 4.0):
        times = torch.full((1, 20_000, 1), t).double()
        y = signal(times) * x + variance(times).sqrt() * streams.normal(20_000, 2)
        _, unit = known.parts(y, times, known.denoise(y, times))
        assert unit.square().mean().sqrt().item() == pytest.approx(1, abs=0.1)
        score = ScoreNet(linear.mixture, Zero(2), known=known)(y, times)
        torch.testing.assert_close(
            unit / unit[0, 0, 0], score / score[0, 0, 0], rtol=1e-5, atol=1e-5
        )
