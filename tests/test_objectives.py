"""Expected gradients against the truth, the control variate's mean, and the growth of variances."""

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor

from ndsm.method.forward_process import KERNELS, Jump, Kernel, exponential, signal, variance
from ndsm.method.mixture import Mixture
from ndsm.method.networks import ScoreNet, StackedMLP
from ndsm.method.objectives import denoising, dot, ndsm, ndsm_anti, ndsm_cv
from ndsm.method.objectives import loss as loss_of
from ndsm.method.random_streams import Streams
from ndsm.method.registry import OBJECTIVES
from ndsm.stages.gradients import SCORES

Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison
Loss = Callable[..., Tensor]


# Planted mistakes.


def wrong_sign(score, jump: Jump, noise: Tensor) -> Tensor:
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return variance(jump.t).squeeze(-1) * (0.5 * dot(s, s) - dot(s, noise / jump.sigma))


def cross_term_twice(score, jump: Jump, noise: Tensor) -> Tensor:
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return variance(jump.t).squeeze(-1) * (0.5 * dot(s, s) + 2 * dot(s, noise / jump.sigma))


def wrong_antithetic_factor(score, jump: Jump, noise: Tensor) -> Tensor:
    """The cross term of the pair without its ½."""
    plus, minus = ((score(jump.mu + e * jump.sigma * noise, jump.t)) for e in (1, -1))
    squares, cross = 0.25 * (dot(plus, plus) + dot(minus, minus)), dot(plus - minus, noise)
    return variance(jump.t).squeeze(-1) * (squares + cross / jump.sigma.squeeze(-1))


def no_division_by_sigma(score, jump: Jump, noise: Tensor) -> Tensor:
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return variance(jump.t).squeeze(-1) * (0.5 * dot(s, s) + dot(s, noise))


def control_variate_at_y(score, jump: Jump, noise: Tensor) -> Tensor:
    """The variate taken at y, which depends on Z, in place of μ."""
    s = score(jump.mu + jump.sigma * noise, jump.t)
    return variance(jump.t).squeeze(-1) * (0.5 * dot(s, s) + dot(s - s, noise / jump.sigma))


def two_percent_more(score, jump: Jump, noise: Tensor) -> Tensor:
    return 1.02 * ndsm(score, jump, noise)


MISTAKES = {
    mistake.__name__: mistake
    for mistake in (
        wrong_sign,
        cross_term_twice,
        wrong_antithetic_factor,
        no_division_by_sigma,
        control_variate_at_y,
        two_percent_more,
    )
}


# One dimension, s_θ(y) = θ_0 y + θ_1: the truth by quadrature, for any kernel and drift.

THETA = (0.2, -4.0)
MEAN, DEVIATION, T, H = 0.7, 0.6, 0.8, 0.3
DRIFTS = {
    "linear": Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, 1).double()),
    "nonlinear": Mixture(
        torch.tensor([[0.3, 0.7]]).double().log(), torch.tensor([[[-1.5], [1.5]]]).double()
    ),
}


def true_gradient(kernel: Kernel, drift: Mixture) -> Tensor:
    """E[λ (s_θ(y) − ∇log p(y)) (y, 1)] with y one jump H from N(MEAN, DEVIATION²), (2,)."""
    x = torch.linspace(-7, 7, 1401).double() * DEVIATION + MEAN
    mu, sigma = kernel(drift, x.view(1, -1, 1), torch.tensor(H).double().view(1, 1, 1))
    y = torch.linspace(-9, 9, 1801).double()
    z = (y - mu.view(-1, 1)) / sigma.item()
    start = torch.exp(-0.5 * ((x - MEAN) / DEVIATION) ** 2)
    joint = start.unsqueeze(1) * torch.exp(-0.5 * z**2)
    law = joint.sum(0) / joint.sum()
    score = (joint * -z / sigma.item()).sum(0) / joint.sum(0).clamp(min=1e-300)
    error = THETA[0] * y + THETA[1] - score
    return variance(torch.tensor(T).double()) * torch.stack(
        [(law * error * y).sum(), (law * error).sum()]
    )


def gradient_z(loss: Loss, kernel: Kernel, drift: Mixture, draws: int = 100_000) -> float:
    """Largest |z| of the mean gradient of ``loss`` against the truth.

    Each draw has parameters of its own, so that the gradient of the sum holds every draw's.
    """
    generator = torch.Generator().manual_seed(0)

    def normal() -> Tensor:
        return torch.randn(1, draws, 1, generator=generator, dtype=torch.float64)

    h = torch.full((1, draws, 1), H).double()
    jump = Jump(*kernel(drift, MEAN + DEVIATION * normal(), h), torch.full_like(h, T))
    theta = [torch.full_like(h, value).requires_grad_() for value in THETA]

    def score(y: Tensor, t: Tensor) -> Tensor:
        a, b = (p.repeat(1, y.shape[1] // draws, 1) for p in theta)
        return a * y + b

    rows = torch.autograd.grad(loss(score, jump, normal()).sum(), theta)
    gradient = torch.cat(rows, -1)[0]
    error = gradient.mean(0) - true_gradient(kernel, drift)
    return (error / gradient.std(0)).abs().max().item() * math.sqrt(draws)


@pytest.mark.parametrize("objective", SCORES)
@pytest.mark.parametrize(
    "kernel, drift",
    [("exponential", "linear"), ("exponential", "nonlinear"), ("euler", "nonlinear")],
)
def test_expected_gradient_is_exact_at_a_large_step(kernel, drift, objective):
    """Of a linear score, for any Gaussian kernel: no small-step limit."""
    assert gradient_z(loss_of(objective), KERNELS[kernel], DRIFTS[drift]) < Z


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_expected_gradient_is_noticed(mistake):
    assert gradient_z(MISTAKES[mistake], exponential, DRIFTS["linear"]) > Z


# A network under the linear drift, against DSM on the same noise.

DRAWS = 100_000
POINTS = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -1.0], [0.4, -1.1]]).double()


def network(drift: Mixture, seed: int = 0) -> tuple[ScoreNet, dict[str, Tensor]]:
    """A small score network with random weights, float64, and its parameters by name."""
    streams = Streams([("network", seed)])
    net = ScoreNet(drift, StackedMLP(drift.means.shape[-1], 8, 2, streams)).double()
    for weight in net.parameters():
        weight.data += 0.5 * streams.normal(*weight.shape[1:])
    return net, {name: weight.detach() for name, weight in net.named_parameters()}


def same_noise_jumps(t: float, h: float, draws: int, seed: int) -> dict[bool, tuple[Jump, Tensor]]:
    """A jump h along the OU chain, and the one jump from the data (key True) to the same y."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(1, draws, 2, generator=generator, dtype=torch.float64)

    x = POINTS[torch.randint(len(POINTS), (1, draws), generator=generator)]
    arrival, hop = torch.full((1, draws, 1), t).double(), torch.full((1, draws, 1), h).double()
    y_prev = signal(arrival - hop) * x + variance(arrival - hop).sqrt() * normal()
    along, noise = Jump(*exponential(DRIFT, y_prev, hop), arrival), normal()
    from_data = Jump(*exponential(DRIFT, x, arrival), arrival)
    y = along.mu + along.sigma * noise
    return {False: (along, noise), True: (from_data, (y - from_data.mu) / from_data.sigma)}


DRIFT = Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, 2).double())


def score_with(net: ScoreNet, weights: dict[str, Tensor], y: Tensor, t: Tensor) -> Tensor:
    """The network's score with other weights."""
    return torch.func.functional_call(net, weights, (y, t))


def directional(
    loss: Loss,
    net: ScoreNet,
    at: dict[str, Tensor],
    along: dict[str, Tensor],
    jump: Jump,
    noise: Tensor,
) -> Tensor:
    """Derivative of every draw's loss at θ along a direction, by central differences, (draws,)."""
    size = 1e-5 / max(step.abs().max().item() for step in along.values())
    ends = []
    for sign in (1, -1):
        weights = {name: weight + sign * size * along[name] for name, weight in at.items()}
        with torch.no_grad():
            ends.append(loss(partial(score_with, net, weights), jump, noise)[0])
    return (ends[0] - ends[1]) / (2 * size)


def directions(net: ScoreNet, theta: dict[str, Tensor], t: float) -> list[dict[str, Tensor]]:
    """DSM's mean gradient g over ‖g‖², and two random directions of the same length."""
    jump, noise = same_noise_jumps(t, t / 2, 20_000, seed=1)[True]
    g = torch.autograd.grad(denoising(net, jump, noise).mean(), list(net.parameters()))
    norm = sum(part.square().sum().item() for part in g) ** 0.5
    found = [dict(zip(theta, [part / norm**2 for part in g], strict=True))]
    generator = torch.Generator().manual_seed(2)
    for _ in range(2):
        random = [torch.randn(part.shape, generator=generator).double() for part in g]
        length = sum(part.square().sum().item() for part in random) ** 0.5
        found.append(dict(zip(theta, [part / length / norm for part in random], strict=True)))
    return found


@cache
def dsm_reference(t: float, ratio: float):
    """The network, jumps, directions, and DSM's derivatives along them."""
    net, theta = network(DRIFT)
    jumps, along = same_noise_jumps(t, ratio * t, DRAWS, seed=3), directions(net, theta, t)
    truth = [directional(denoising, net, theta, d, *jumps[True]) for d in along]
    return net, theta, jumps[False], along, truth


def excess(loss: Loss) -> tuple[np.ndarray, np.ndarray]:
    """Relative error of the expected gradient against DSM's, and its standard error, (3,) each.

    The first entry is along the gradient itself, so it is 0.02 if the gradient is 2 % too long.
    """
    net, theta, jump, along, truth = dsm_reference(t=0.5, ratio=0.5)
    found = torch.stack([directional(loss, net, theta, d, *jump) for d in along])
    difference = (found - torch.stack(truth)).numpy()
    return difference.mean(1), difference.std(1) / math.sqrt(DRAWS)


@pytest.mark.parametrize("objective", ["ndsm", "ndsm_cv", "ndsm_anti"])
def test_expected_gradient_of_a_network_agrees_with_dsm(objective):
    """And a 2 % error along it would be noticed, nine standard errors away."""
    mean, error = excess(loss_of(objective))
    assert (np.abs(mean) < Z * error).all()
    assert 0.02 > (Z + 3) * error[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_gradient_of_a_network_is_noticed(mistake):
    mean, error = excess(MISTAKES[mistake])
    assert abs(mean[0]) > Z * error[0]


def test_jump_objective_is_dsm_for_one_component():
    """Same loss, one component: the same number for every draw."""
    net, _ = network(DRIFT)
    jump, noise = same_noise_jumps(0.5, 0.25, 100, seed=0)[True]
    a, b = (loss_of(name)(net, jump, noise) for name in ("dsm", "ndsm_jump"))
    assert torch.equal(a, b)
    assert OBJECTIVES["ndsm_jump"].examples == OBJECTIVES["dsm"].examples == "data"


def test_objectives_by_hand():
    """One particle, s(y, t) = 2y, with the arithmetic written out."""
    t, mu, sigma, z = 0.5, 0.25, 0.5, -1.25  # exact in binary
    jump = Jump(*(torch.full((1, 1, 1), value).double() for value in (mu, sigma, t)))
    noise, weight = torch.full((1, 1, 1), z).double(), 1 - math.exp(-2 * t)
    plus, minus = 2 * (mu + sigma * z), 2 * (mu - sigma * z)
    expected = {
        denoising: 0.5 * (plus + z / sigma) ** 2,
        ndsm: 0.5 * plus**2 + plus * z / sigma,
        ndsm_cv: 0.5 * plus**2 + (plus - 2 * mu) * z / sigma,
        ndsm_anti: 0.25 * (plus**2 + minus**2) + 0.5 * (plus - minus) * z / sigma,
    }
    for loss, value in expected.items():
        found = loss(lambda y, t: 2 * y, jump, noise)
        assert found.item() == pytest.approx(weight * value, rel=1e-12)


# The control variate, and the growth of variances.


def control_variate_z(loss: Loss, drift: Mixture) -> float:
    """|z| of the mean of what ``loss`` takes off NDSM, and of its derivative along a direction."""
    net, theta = network(drift)
    generator = torch.Generator().manual_seed(0)
    y_prev, noise = torch.randn(2, 1, 50_000, 2, generator=generator).double()
    t = torch.full((1, 50_000, 1), 0.5).double()
    jump = Jump(*exponential(drift, y_prev, 0.5 * t), t)
    along = {name: torch.ones_like(weight) for name, weight in theta.items()}
    with torch.no_grad():
        values = [(ndsm(net, jump, noise) - loss(net, jump, noise))[0]]
    pair = [directional(which, net, theta, along, jump, noise) for which in (ndsm, loss)]
    values.append(pair[0] - pair[1])
    return max(abs(v.mean() / v.std()).item() * math.sqrt(v.numel()) for v in values)


@pytest.mark.parametrize("alpha", [1.0, 0.6])
@pytest.mark.parametrize("components", [1, 2])
def test_control_variate_has_mean_zero(components, alpha):
    means = torch.tensor([[[0.0, 0.0], [1.5, 1.0]]]).double()[:, :components]
    drift = Mixture(torch.full((1, components), -math.log(components)).double(), means)

    def loss(score, jump: Jump, noise: Tensor) -> Tensor:
        return ndsm_cv(score, jump, noise, alpha)

    assert control_variate_z(loss, drift) < Z
    assert control_variate_z(control_variate_at_y, drift) > Z


def test_a_detached_control_variate_would_not_tame_the_gradient():
    """Why it is not detached: the gradient's variance would still grow like 1/h."""
    net, theta = network(DRIFT)
    g = directions(net, theta, 0.5)[0]

    def detached(score, jump: Jump, noise: Tensor) -> Tensor:
        s, fixed = score(jump.mu + jump.sigma * noise, jump.t), net(jump.mu, jump.t)
        return variance(jump.t).squeeze(-1) * (
            0.5 * dot(s, s) + dot(s - fixed.detach(), noise / jump.sigma)
        )

    growth = {}
    for loss in (ndsm_cv, detached):
        variances = [
            directional(loss, net, theta, g, *same_noise_jumps(0.5, h, 20_000, 4)[False])
            .var()
            .item()
            for h in (0.05, 0.0005)
        ]
        growth[loss] = math.log(variances[1] / variances[0]) / math.log(100)
    assert growth[ndsm_cv] < 0.15 < 0.7 < growth[detached]
