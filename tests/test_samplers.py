"""Reverse samplers with the exact score of a Gaussian, whose every step is affine in y.

Data N(m, s²) noised by the OU process has p_t = N(a m, q), q = a² s² + v, so the score is
−(y − a m)/q and F = √v (a (s² − 1) y + m)/q. The mean and the variance that a sampler ends with
follow without sampling: from its answers to y = 0, y = 1 and to a unit of noise in one step.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ndsm.method import samplers
from ndsm.method.forward_process import Chain, signal, time_grid, time_of_angle, variance
from ndsm.method.forward_process import exponential as exponential_kernel
from ndsm.method.mixture import Mixture
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams

Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison
M, S2, T = 1.5, 0.25, 3.0
DRIFT = Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, 1).double())
REVERSE = {"euler": samplers.euler, "exponential": samplers.exponential}


class GaussianDeparture(nn.Module):
    """The exact F of data N(M, S2)."""

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """F at y (R, B, 1) and t (R, B, 1)."""
        a, v = signal(t), variance(t)
        return v.sqrt() * (a * (S2 - 1) * y + M) / (a * a * S2 + v)


NET = ScoreNet(DRIFT, GaussianDeparture())


def chain_to(end: float, t_min: float = 1e-4, **how: bool) -> Chain:
    """The process of data N(M, S2) up to a time."""
    return Chain(DRIFT, exponential_kernel, time_grid(t_min, end, 100), **how)


def law(t: float) -> tuple[float, float]:
    """Mean and variance of p_t."""
    a = math.exp(-t)
    return a * M, a * a * S2 + 1 - a * a


def slope(steps: list[int], errors: list[float]) -> float:
    """Order of convergence: −slope of log error against log steps."""
    return -np.polyfit(np.log(steps), np.log(np.abs(errors)), 1)[0]


def test_departure_is_that_of_the_gaussian():
    """The stub above gives the score of p_t through the study's own parametrisation."""
    y = torch.linspace(-3, 3, 7).double().view(1, -1, 1)
    for t in (1e-3, 0.3, 2.0):
        mean, var = law(t)
        score = NET(y, torch.full_like(y, t))
        torch.testing.assert_close(score, -(y - mean) / var)


# Heun: the probability flow of a Gaussian keeps (y − a m)/√q.


def flow_error(steps: int, solver: Callable[..., Tensor]) -> float:
    """Largest error at t = 0 over two starting points."""
    y = torch.tensor([[[-1.0], [2.0]]]).double()
    mean, var = law(T)
    exact = M + math.sqrt(S2) * (y - mean) / math.sqrt(var)

    def departure(y: Tensor, phi: Tensor) -> Tensor:
        return NET.departure(y, time_of_angle(phi).expand_as(y))

    return (solver(departure, y, samplers.angles(chain_to(T), steps)) - exact).abs().max().item()


def first_order(departure: Callable[[Tensor, Tensor], Tensor], y: Tensor, phi: Tensor) -> Tensor:
    """A planted mistake: Heun without its second evaluation."""
    for here, there in zip(phi[:-1], phi[1:], strict=True):
        y = y + (here - there) * departure(y, here)
    return y


@pytest.mark.parametrize("solver", [samplers.adams, samplers.heun])
def test_heun_and_adams_have_order_two(solver):
    steps = [10, 20, 40, 80]
    order = slope(steps, [flow_error(n, solver) for n in steps])
    assert order == pytest.approx(2, abs=0.15)
    assert slope(steps, [flow_error(n, first_order) for n in steps]) == pytest.approx(1, abs=0.15)


def test_angles():
    phi = samplers.angles(chain_to(T), 10)
    assert phi[-1] == 0 and len(phi) == 11
    torch.testing.assert_close(phi.diff(), phi.diff()[:1].expand(10))
    t = time_of_angle(phi)
    assert t[0].item() == pytest.approx(T)
    torch.testing.assert_close(torch.cos(phi), signal(t))
    torch.testing.assert_close(torch.sin(phi), variance(t).sqrt())
    whole = samplers.angles(chain_to(T, ends_in_pi=True), 10)
    torch.testing.assert_close(whole, torch.linspace(math.pi / 2, 0, 11).double())


# The reverse SDE.


def end_moments(name: str, times: Tensor) -> tuple[float, float, float]:
    """Mean at t = 0 from y_T = 0, its growth with y_T, and the variance, all without sampling.

    Particle 0 starts at 0, particle 1 at 1, and particle 2 + n, from 0, gets one unit of noise in
    step n alone.
    """
    steps = len(times) - 1
    y = torch.zeros(1, steps + 2, 1).double()
    y[:, 1] = 1
    calls = iter(range(steps))

    def noise() -> Tensor:
        unit = torch.zeros_like(y)
        unit[:, 2 + next(calls)] = 1
        return unit

    linear = {"euler": DRIFT.score, "exponential": DRIFT.centre}[name]
    step = REVERSE[name](linear, lambda y, t: NET(y, t.clamp(min=1e-12).expand_as(y)))
    end = samplers.reverse_sde(step, y, times, noise)
    assert next(calls) == steps - 1  # one draw a step, none in the last
    offset = end[0, 0, 0].item()
    factor, *responses = (end[0, 1:, 0] - offset).tolist()
    return offset, factor, sum(response**2 for response in responses)


def posterior() -> tuple[float, float, float]:
    """What ``end_moments`` converges to: the law of x_0 given y_T, by Bayes' formula."""
    mean, var = law(T)
    factor = math.exp(-T) * S2 / var
    return M - factor * mean, factor, S2 - factor**2 * var


@pytest.mark.parametrize("name", REVERSE)
def test_reverse_sde_has_weak_order_one(name):
    """Along the sampler's own geometric grid."""
    steps = [100, 200, 400, 800]
    found = [end_moments(name, samplers.reverse_times(T, 1e-7, n)) for n in steps]
    for index, truth in enumerate(posterior()):
        errors = [moments[index] - truth for moments in found]
        assert slope(steps, errors) == pytest.approx(1, abs=0.15)
        assert abs(errors[-1]) < 0.02


def test_wrong_reverse_drift_is_noticed(monkeypatch):
    """The score counted once in place of twice: the moments converge to other values."""

    def once(drift_score, score):
        return samplers_euler(drift_score, lambda y, t: 0.5 * score(y, t))

    samplers_euler = samplers.euler
    monkeypatch.setitem(REVERSE, "euler", once)
    _, _, var = end_moments("euler", samplers.reverse_times(T, 1e-7, 800))
    assert abs(var - posterior()[2]) > 0.1


def test_reverse_times():
    times = samplers.reverse_times(4.0, 1e-3, 20)
    assert len(times) == 21 and times[-1] == 0
    assert times[0].item() == pytest.approx(4.0) and times[-2].item() == pytest.approx(1e-3)
    ratio = times[1:-1] / times[:-2]
    torch.testing.assert_close(ratio, ratio[:1].expand(19))


# The whole sampler, by Monte Carlo.


def z_scores(y: Tensor, mean: float, var: float) -> tuple[float, float]:
    """Of the mean and the variance of independent normal numbers."""
    n = y.numel()
    return (
        abs(y.mean().item() - mean) / math.sqrt(var / n),
        abs(y.var().item() - var) / (var * math.sqrt(2 / n)),
    )


@pytest.mark.parametrize("ends_in_pi", [False, True])
@pytest.mark.parametrize(
    "sampler, steps",
    [("adams", 40), ("heun", 40), ("edm", 40), ("euler", 800), ("exponential", 800)],
)
def test_generate_ends_at_the_data(sampler, steps, ends_in_pi):
    """From draws of π ≈ p_T to mean and variance of the data, within sampling error."""
    streams = Streams([("generate", sampler)])
    start = DRIFT.sample(4000, streams)
    chain = chain_to(6.0, ends_in_pi=ends_in_pi)
    y = samplers.generate(NET, start, chain, sampler, steps, streams)
    assert max(z_scores(y, M, S2)) < Z
    assert z_scores(y, M, 1.5 * S2)[1] > Z and z_scores(y + 0.06, M, S2)[0] > Z


@pytest.mark.parametrize("ends_in_pi", [False, True])
@pytest.mark.parametrize("sampler", ["adams", "heun", "edm", "euler", "exponential"])
def test_evaluations_are_counted_and_stay_on_the_grid(sampler, ends_in_pi):
    """The network is asked as often as is said, and never below t_min or beyond T."""
    seen = []

    class Recorder(GaussianDeparture):
        def forward(self, y: Tensor, t: Tensor) -> Tensor:
            seen.append(t.unique().item())
            return super().forward(y, t)

    streams = Streams([("count",)])
    net, chain = ScoreNet(DRIFT, Recorder()), chain_to(6.0, ends_in_pi=ends_in_pi)
    samplers.generate(net, DRIFT.sample(10, streams), chain, sampler, 12, streams)
    assert len(seen) == samplers.evaluations(sampler, 12)
    assert max(seen) == pytest.approx(6.0)
    # Adams never asks where it ends, only a step before.
    before = time_of_angle(samplers.angles(chain, 12)[-2]).item()
    assert min(seen) == pytest.approx(before if sampler == "adams" else 1e-4)


@pytest.mark.parametrize("from_data", [False, True])
def test_prior_of_one_component_is_standard_normal(from_data):
    y = samplers.prior(chain_to(2.0, from_data=from_data), 40_000, Streams([("prior",)]))
    assert max(z_scores(y, 0, 1)) < Z


def test_prior_is_pushed_as_the_data_are():
    """Overlapping components: one long jump moves even π, as much as quadrature says.

    Where the process ends in π itself, draws are of π and nothing is pushed.
    """
    means = torch.tensor([[[-1.0], [1.0]]]).double()
    drift = Mixture(torch.full((1, 2), -math.log(2)).double(), means)
    chain = Chain(drift, exponential_kernel, time_grid(1e-3, 1.0, 6), from_data=True)
    streams = Streams([("prior", 2)])
    exact = Chain(drift, exponential_kernel, chain.times, from_data=True, ends_in_pi=True)
    pushed, still = (samplers.prior(each, 40_000, streams) for each in (chain, exact))
    y = torch.linspace(-9, 9, 2001).double().view(1, -1, 1)
    mu, sigma = exponential_kernel(drift, y, torch.ones_like(y))
    second = (drift.log_prob(y).softmax(1) * (mu**2 + sigma**2)[..., 0]).sum().item()
    for draws, moment, other in ((pushed, second, 2), (still, 2, second)):
        square = draws.square()
        error = square.std().item() / 200
        assert abs(square.mean().item() - moment) < Z * error < abs(square.mean().item() - other)


@pytest.mark.parametrize("T", [4.0, 18.0, 30.0])
@pytest.mark.parametrize("sampler", ["adams", "heun"])
def test_samples_are_right_however_long_the_process(sampler, T):  # noqa: N803
    """In single precision the angle of T passes π/2 from 18 on; the data are still reached."""
    drift = Mixture(torch.zeros(1, 1), torch.zeros(1, 1, 1))
    chain = Chain(drift, exponential_kernel, time_grid(1e-4, T, 100).float())
    net, streams = ScoreNet(drift, GaussianDeparture()), Streams([("long", T)])
    assert samplers.angles(chain, 10)[0].item() <= math.pi / 2
    y = samplers.generate(net, drift.sample(4000, streams), chain, sampler, 40, streams)
    assert max(z_scores(y.double(), M, S2)) < Z
    top = torch.asin(torch.sqrt(variance(torch.tensor(20.0))))  # planted: the old way, and its end
    assert not torch.isfinite(samplers.time_of_angle(top))
