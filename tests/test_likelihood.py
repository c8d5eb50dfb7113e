"""Log-densities by the probability flow, against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ndsm.method import likelihood
from ndsm.method import mixture as mixture_module
from ndsm.method import noised_mixture as diffused_module
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import (
    Chain,
    angle_of_time,
    exponential,
    signal,
    time_grid,
    variance,
)
from ndsm.method.likelihood import log_prob
from ndsm.method.mixture import Mixture, standard_normal
from ndsm.method.networks import Differentiable, Odd, ScoreNet, StackedMLP, Zero
from ndsm.method.noised_mixture import diffused
from ndsm.method.random_streams import Streams
from ndsm.method.samplers import generate, prior

Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison


def double(mixture: Mixture) -> Mixture:
    return Mixture(**{name: tensor.double() for name, tensor in mixture.tensors().items()})


def plain(mixture: Mixture, scale: float = 1.0, shift: float = 0.0) -> Fitted:
    """A mixture in working coordinates x = shift + scale y."""
    replicas, _, d = mixture.means.shape
    maps = torch.full((replicas, 1, d), shift), torch.full((replicas, 1, 1), scale)
    return Fitted(mixture, maps[0].double(), maps[1].double())


class Gaussian(Differentiable):
    """The exact F of data N(m, C) under the OU process, C = U diag(λ) Uᵀ."""

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.mean, (self.spectrum, self.basis) = mean, torch.linalg.eigh(covariance)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """F at y (R, B, d) and t (R, B, 1)."""
        a, v, m = signal(t), variance(t), self.mean @ self.basis
        z = y @ self.basis
        return (v.sqrt() * (a * (self.spectrum - 1) * z + m) / (a * a * self.spectrum + v)) @ (
            self.basis.mT
        )

    def jvp(self, y: Tensor, t: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """F is affine."""
        times = t[:, :1].expand(*tangents.shape[:2], 1)
        return self(y, t), self(tangents, times) - self(0 * tangents, times)


def gaussian(d: int) -> tuple[Tensor, Tensor]:
    """A mean and a covariance that is neither round nor diagonal."""
    factor = torch.eye(d).double() * 0.6 + 0.3 * torch.ones(d, d).double().tril()
    return torch.linspace(-1, 1, d).double(), factor @ factor.mT


def normal_log_prob(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


def chain_of(drift: Mixture, T: float = 16.0, **how: bool) -> Chain:  # noqa: N803
    return Chain(drift, exponential, time_grid(1e-8, T, 100), **how)


def gaussian_error(steps: int, d: int = 3) -> float:
    """Largest error of the log-density of a Gaussian over some points."""
    mean, covariance = gaussian(d)
    drift = double(standard_normal(1, d))
    net = ScoreNet(drift, Gaussian(mean, covariance))
    x = torch.linspace(-2, 2, 7 * d).double().view(1, -1, d)
    found = log_prob(net, chain_of(drift), plain(drift), x, Streams([("any",)]), steps)
    return (found - normal_log_prob(x, mean, covariance)).abs().max().item()


def test_density_of_a_gaussian_is_exact_of_order_four():
    assert gaussian_error(32) < 1e-4
    steps = [2, 4, 8]
    errors = [gaussian_error(n) for n in steps]
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert order > 3.5


def test_a_missing_divergence_would_be_noticed(monkeypatch):
    """A planted mistake: the integral of the divergence of half of the coordinates alone."""
    half = torch.eye(3)
    half[2] = 0
    monkeypatch.setattr(likelihood.torch, "eye", lambda n: half)
    assert gaussian_error(32) > 0.1


def modes(covariance: str) -> Mixture:
    """Three components in the plane; with covariances of their own if ``full``."""
    means = torch.tensor([[[-2.0, 0.0], [1.0, 1.5], [0.5, -1.0]]]).double()
    weights = torch.tensor([[0.5, 0.3, 0.2]]).double().log()
    if covariance != "full":
        return Mixture(weights, means)
    factors = torch.tensor([[[0.5, 0], [0.3, 0.4]], [[0.9, 0], [-0.4, 0.7]], [[0.2, 0], [0, 1.1]]])
    return Mixture(weights, means, factors.double().unsqueeze(0))


def fits(covariance: str) -> Fitted:
    """The mixture with working coordinates that are a scale, or for ``tied`` a matrix."""
    fit = plain(modes(covariance), 0.7, 0.3)
    if covariance != "tied":
        return fit
    factor = torch.tensor([[[0.8, 0.0], [0.4, 0.5]]]).double()
    return Fitted(fit.mixture, fit.shift, factor)


LINEAR = plain(double(standard_normal(1, 2)), 1.4, 0.2)  # of the process, for data of ``fits``
POINTS = torch.tensor([[[-1.5, 0.2], [0.4, 0.9], [0.0, 0.0], [2.0, -1.0], [0.3, 3.0]]]).double()


@pytest.mark.parametrize("covariance", ["spherical", "tied", "full"])
def test_an_untrained_model_has_the_density_of_its_mixture(covariance):
    """F_θ = 0: of NDSM in closed form, of the known mixture through the flow from N(0, I)."""
    fit, streams = fits(covariance), Streams([("any",)])
    chain = chain_of(fit.mixture, ends_in_pi=True)
    found = log_prob(ScoreNet(fit.mixture, Zero(2)), chain, fit, POINTS, streams)
    torch.testing.assert_close(found, fit.log_prob(POINTS))
    drift = LINEAR.mixture
    net = ScoreNet(drift, Zero(2), known=diffused(fit, LINEAR))
    through = log_prob(net, chain_of(drift), LINEAR, POINTS, streams, steps=128)
    torch.testing.assert_close(through, fit.log_prob(POINTS), atol=2e-3, rtol=0)


def test_what_is_known_is_known_below_the_first_time_as_well(monkeypatch):
    """The untrained rival is its mixture whatever t_min is: only the network stops there."""
    fit, drift = fits("full"), LINEAR.mixture
    net = ScoreNet(drift, Zero(2), known=diffused(fit, LINEAR))
    chain = Chain(drift, exponential, time_grid(0.1, 16.0, 100))

    def worst() -> float:
        found = log_prob(net, chain, LINEAR, POINTS, Streams([("any",)]), steps=128)
        return (found - fit.log_prob(POINTS)).abs().max().item()

    assert worst() < 2e-3
    exact = net.departure
    monkeypatch.setattr(net, "departure", lambda y, t, asked=None: exact(y, t.clamp(min=0.1)))
    assert worst() > 0.05  # the planted mistake: its time stops as well


def stack_of(deviations: list[float]) -> tuple[ScoreNet, Chain, Fitted, Fitted]:
    """Replicas of three components that are as narrow as is said, known under linear noise."""
    known, scale = modes("spherical"), torch.tensor(deviations).double().view(-1, 1, 1)
    means = known.means / scale
    mixture = Mixture(known.log_weights.expand(len(means), -1), means)
    fit = Fitted(mixture, torch.zeros_like(means[:, :1]), scale)
    linear = plain(double(standard_normal(len(means), 2)), 1.4, 0.2)
    net = ScoreNet(linear.mixture, Zero(2), known=diffused(fit, linear))
    return net, chain_of(linear.mixture), linear, fit


def test_each_point_has_the_steps_that_it_needs():
    """And the same numbers alone as in a stack. A narrow component asks for more than others."""
    deviations = [0.5, 0.02]
    net, chain, linear, fit = stack_of(deviations)
    points = fit.to_data(fit.mixture.sample(120, Streams([("any",), ("other",)])).double())
    found, steps, unsure = likelihood.settled(net, chain, linear, points, Streams([("any",)]))
    settled = log_prob(net, chain, linear, points, Streams([("any",)]), 2048)
    error = (found - settled).abs()
    assert steps[0] < steps[1] and (unsure == 0).all()
    assert (error < likelihood.TOLERANCE / 2).all() and (error.mean(1) < likelihood.ENOUGH).all()
    for i, deviation in enumerate(deviations):
        net_, chain_, linear_, _ = stack_of([deviation])
        alone = likelihood.settled(net_, chain_, linear_, points[[i]], Streams([("any",)]))[0]
        torch.testing.assert_close(alone[0], found[i], rtol=0, atol=1e-9)
    # The planted mistake: the same number of steps for all.
    few = log_prob(net, chain, linear, points, Streams([("any",)]))
    assert (few - settled).abs().max() > 2 * likelihood.TOLERANCE


def test_a_nodes_place_is_that_of_the_kink():
    """Where the network's time stops; at few steps that is nearest to the data, which stay."""
    for t_min, steps in ((0.1, 16), (0.1, 3), (1e-6, 16)):
        chain = Chain(LINEAR.mixture, exponential, time_grid(t_min, 4.0, 100))
        phi, kink = likelihood.nodes(chain, steps), angle_of_time(chain.times[1].double())
        assert len(phi) == steps + 1 and (phi.diff() > 0).all() and phi[0] == 0
        assert phi[-1] == pytest.approx(angle_of_time(chain.times[-1].double()).item())
        assert bool((phi == kink).any()) == (t_min == 0.1)


MODELS = ("plain", "spherical", "full", "straight", "odd")
KNOWN = ("known spherical", "known tied", "known full", "known diagonal")


def trained_net(kind: str) -> ScoreNet:
    """A network of random weights, that sees the drift or the known mixture if that is named."""
    covariance, known = kind.split()[-1], None
    fit = fits(covariance) if covariance in ("spherical", "tied", "full") else LINEAR
    if covariance == "diagonal":
        mixture = modes("full")
        assert mixture.scale_tril is not None
        fit = plain(Mixture(mixture.log_weights, mixture.means, mixture.scale_tril * torch.eye(2)))
    drift = fit.mixture
    if kind.startswith("known"):
        drift, known = LINEAR.mixture, diffused(fit, LINEAR)
    sees_drift = kind not in ("plain", "odd")
    streams = Streams([("weights",)])
    network = StackedMLP(2, 8, 2, streams, 4 if sees_drift else 2).double()
    network.weights[-1].data += streams.normal(8, 2)
    model = Odd(network) if kind == "odd" else network
    return ScoreNet(drift, model, sees_drift, known, straight=kind == "straight")


def divergence_error(kind: str) -> float:
    """Largest error against autograd, over points and times, of which some are not asked at."""
    net, worst = trained_net(kind), 0.0
    for t, at in ((1e-4, 1e-2), (0.1, None), (1.5, None)):
        times = torch.full((1, 1, 1), t).double()
        asked = None if at is None else torch.full((1, 1, 1), at).double()
        y = POINTS.clone().requires_grad_()
        value = net.departure(y, times, asked)
        rows = [torch.autograd.grad(f.sum(), y, retain_graph=True)[0] for f in value.unbind(-1)]
        truth = sum(row[..., i] for i, row in enumerate(rows))
        found = net.with_divergence(POINTS, times, asked)
        torch.testing.assert_close(found[0], value)
        worst = max(worst, ((found[1] - truth).abs() / (1 + truth.abs())).max().item())
    return worst


@pytest.mark.parametrize("kind", MODELS + KNOWN)
def test_the_divergence_in_closed_form_is_that_of_autograd(kind, monkeypatch):
    assert divergence_error(kind) < 1e-9
    pad = functional.pad
    monkeypatch.setattr(functional, "pad", lambda x, by: 0.9 * pad(x, by))
    assert divergence_error(kind) > 1e-3  # the planted mistake: of the network


@pytest.mark.parametrize("kind", ["spherical", "full", *KNOWN])
def test_a_wrong_jacobian_of_the_mixture_would_be_noticed(kind, monkeypatch):
    right = mixture_module.moments
    for module in (mixture_module, diffused_module):
        monkeypatch.setattr(module, "moments", lambda *of: (right(*of)[0], 1.1 * right(*of)[1]))
    assert divergence_error(kind) > 1e-3


def test_an_affine_map_of_the_data_changes_the_density_by_its_determinant():
    fit, streams = fits("tied"), Streams([("any",)])
    net, chain = ScoreNet(fit.mixture, Zero(2)), chain_of(fit.mixture)
    a = torch.tensor([[2.0, 0.0], [0.7, 0.4]]).double()
    moved = Fitted(fit.mixture, fit.shift @ a.mT + 1, (a @ fit.factor))
    before = log_prob(net, chain, fit, POINTS, streams)
    after = log_prob(net, chain, moved, POINTS @ a.mT + 1, streams)
    torch.testing.assert_close(after, before - math.log(0.8))


def hutchinson_z(monkeypatch: pytest.MonkeyPatch, wrong: bool) -> float:
    """|z| of the mean error of 400 estimates of a log-density in 20 dimensions."""
    d, n = 20, 400
    mean, covariance = gaussian(d)
    drift = double(standard_normal(1, d))
    net, x = ScoreNet(drift, Gaussian(mean, covariance)), 0.3 * torch.ones(1, n, d).double()
    monkeypatch.setattr(likelihood, "PROBES", 1)
    if wrong:
        monkeypatch.setattr(Streams, "uniform", lambda self, *shape: torch.ones(1, *shape))
    found = log_prob(net, chain_of(drift), plain(drift), x, Streams([("probes",)]), 12)
    error = (found - normal_log_prob(x, mean, covariance))[0]
    assert wrong or error.std() > 0.1  # it is an estimate
    return (error.mean().abs() / error.std() * math.sqrt(n)).item()


def test_hutchinsons_estimate_is_unbiased(monkeypatch):
    """Probes of random signs; with all signs equal the off-diagonal terms stay."""
    with monkeypatch.context() as patch:
        assert hutchinson_z(patch, wrong=False) < Z
    with monkeypatch.context() as patch:
        assert hutchinson_z(patch, wrong=True) > Z


def test_the_error_of_hutchinsons_estimate_is_stated():
    """What other probes change is of the size of the estimate's own error, and is not zero."""
    d, n = 20, 100
    mean, covariance = gaussian(d)
    drift = double(standard_normal(1, d))
    net, x = ScoreNet(drift, Gaussian(mean, covariance)), 0.3 * torch.ones(1, n, d).double()
    model, streams = (net, chain_of(drift), plain(drift)), Streams([("probes",)])
    found, steps, change = likelihood.settled(*model, x, streams)
    deviation = (found - normal_log_prob(x, mean, covariance))[0].std().item() / math.sqrt(n)
    assert steps.item() == likelihood.STEPS[1]
    assert 0 < change.item() < Z * math.sqrt(2) * deviation


def test_the_sampler_draws_from_the_density():
    """Mean of −log p over draws is the entropy of a Gaussian, 1.5 (1 + log 2π) + ½ log det C."""
    mean, covariance = gaussian(3)
    drift = double(standard_normal(1, 3))
    net, chain, streams = (
        ScoreNet(drift, Gaussian(mean, covariance)),
        chain_of(drift),
        Streams([(0,)]),
    )
    y = generate(net, prior(chain, 4000, streams).double(), chain, "heun", 100, streams)
    value = -log_prob(net, chain, plain(drift), y, streams)[0]
    entropy = 1.5 * (1 + math.log(2 * math.pi)) + 0.5 * torch.logdet(covariance).item()
    assert abs(value.mean().item() - entropy) < Z * value.std().item() / math.sqrt(4000)
