"""The forward chain: moments, order and stationary law of its kernels, and its strides."""

import math

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from scipy import stats
from torch import Tensor

from ndsm.method.drift_fits import fit_mixture
from ndsm.method.fitted_drift import data_sampler
from ndsm.method.forward_process import (
    KERNELS,
    Chain,
    Kernel,
    euler,
    exponential,
    signal,
    time_grid,
    variance,
)
from ndsm.method.mixture import Mixture, standard_normal
from ndsm.method.random_streams import Streams
from ndsm.stages.drift import mismatch

Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison
P_VALUE = 1e-7  # of one two-sample test


def ou(d: int = 1) -> Mixture:
    """The drift of the Ornstein–Uhlenbeck process, float64."""
    return Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, d).double())


def affine_moments(kernel: Kernel, times: Tensor, visited: list[int]) -> tuple[float, float]:
    """Factor of x_0 and variance at the end of jumps between the visited grid indices (linear f).

    A linear drift's jump is affine in y: its two coefficients are μ(0) and μ(1) − μ(0).
    """
    y, factor, var = torch.tensor([[[0.0], [1.0]]]).double(), 1.0, 0.0
    chain = Chain(ou(), kernel, times)
    for start, stop in zip(visited, visited[1:], strict=False):
        index = torch.full((1, 2), start)
        jump = chain.jump(y, index, torch.full_like(index, stop))
        offset, slope = jump.mu[0, 0, 0].item(), (jump.mu[0, 1] - jump.mu[0, 0]).item()
        assert offset == 0 and jump.t[0, 0, 0] == times[stop]
        factor, var = slope * factor, slope**2 * var + jump.sigma[0, 0, 0].item() ** 2
    return factor, var


def wrong_exponential(drift: Mixture, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """A planted mistake: σ² = 1 − a in place of 1 − a²."""
    mu, _ = exponential(drift, y, h)
    return mu, torch.sqrt(-torch.expm1(-h))


def test_time_grid():
    times = time_grid(1e-4, 4.0, 100)
    assert len(times) == 101 and times[0] == 0
    assert times[1].item() == pytest.approx(1e-4) and times[-1].item() == pytest.approx(4.0)
    ratio = times[2:] / times[1:-1]
    torch.testing.assert_close(ratio, ratio[:1].expand(99))


def test_log_normal_noise_levels():
    """Equal quantiles of log σ: the truncated normal law's own, by SciPy, ends included."""
    times = time_grid(0.1, 3.0, 200, log_noise=(-0.6, 1.0))
    assert len(times) == 201 and times[0] == 0 and (times.diff() > 0).all()
    log_sigma = torch.expm1(2 * times[1:]).log() / 2
    ends = [(math.log(math.expm1(2 * t)) / 2 + 0.6) / 1.0 for t in (0.1, 3.0)]
    law = stats.truncnorm(*ends, loc=-0.6)
    np.testing.assert_allclose(law.cdf(log_sigma.numpy()), np.linspace(0, 1, 200), atol=1e-9)
    geometric = torch.expm1(2 * time_grid(0.1, 3.0, 200)[1:]).log() / 2
    assert np.abs(law.cdf(geometric.numpy()) - np.linspace(0, 1, 200)).max() > 0.1


@pytest.mark.parametrize("stride", [1, 2, 7, 40])
def test_exponential_kernel_is_exact_for_one_component(stride):
    """Whatever times are visited on the way, y_N has the moments of the OU process."""
    times = time_grid(1e-4, 1.5, 40)
    hops = default_rng(stride).integers(1, stride + 1, 40).cumsum()
    visited = [0, *hops[hops < 40].tolist(), 40]
    expected = pytest.approx((math.exp(-1.5), 1 - math.exp(-3)), rel=1e-12)
    assert affine_moments(exponential, times, visited) == expected
    assert affine_moments(wrong_exponential, times, visited) != expected
    assert signal(times[-1]).item() == pytest.approx(math.exp(-1.5), rel=1e-12)
    assert variance(times[-1]).item() == pytest.approx(1 - math.exp(-3), rel=1e-12)


def slope(h: list[float], error: list[float]) -> float:
    """Of log error against log h."""
    return np.polyfit(np.log(h), np.log(np.abs(error)), 1)[0]


def test_euler_kernel_has_weak_order_one_for_a_linear_drift():
    steps = [20, 40, 80, 160]
    found = [
        affine_moments(euler, torch.linspace(0, 1, n + 1).double(), list(range(n + 1)))
        for n in steps
    ]
    h = [1 / n for n in steps]
    factor_error = [factor - math.exp(-1) for factor, _ in found]
    variance_error = [var + math.exp(-2) - 1 for _, var in found]
    assert slope(h, factor_error) == pytest.approx(1, abs=0.1)
    assert slope(h, variance_error) == pytest.approx(1, abs=0.1)


def law_after(
    kernel: Kernel, drift: Mixture, y: Tensor, law: Tensor, h: float, steps: int
) -> Tensor:
    """Probabilities (B,) of the evenly spaced points y (1, B, 1) after some steps of the kernel.

    The trapezoidal rule is exact to rounding for kernels wider than the spacing.
    """
    mu, sigma = kernel(drift, y, torch.full((1, y.shape[1], 1), h).double())
    transition = torch.exp(-0.5 * ((y[0, :, 0] - mu[0]) / sigma[0]) ** 2)
    transition /= transition.sum(1, keepdim=True)
    for _ in range(steps):
        law = law @ transition
    return law


@pytest.mark.parametrize("name", KERNELS)
def test_weak_order_one_for_a_nonlinear_drift(name):
    """Started from π, the diffusion stays there: what moments lose by time 1 is the error."""
    drift = Mixture(
        torch.tensor([[0.3, 0.7]]).double().log(), torch.tensor([[[-1.5], [1.5]]]).double()
    )
    y = torch.linspace(-9, 9, 361).double().view(1, -1, 1)
    law = drift.log_prob(y)[0].softmax(0)
    steps = [10, 20, 40, 80]
    for power in (1, 2):
        value = y[0, :, 0] ** power
        ends = [law_after(KERNELS[name], drift, y, law, 1 / n, n) for n in steps]
        error = [((end - law) @ value).item() for end in ends]
        assert slope([1 / n for n in steps], error) == pytest.approx(1, abs=0.15)

    def hot(drift: Mixture, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        mu, sigma = KERNELS[name](drift, y, h)
        return mu, 1.1 * sigma

    end = law_after(hot, drift, y, law, 1 / 80, 80)
    assert abs(((end - law) @ value).item()) > 10 * abs(error[-1])


def ring(n: int, seed: int) -> np.ndarray:
    """Points of a noisy ring: no Gaussian mixture."""
    generator = default_rng(seed)
    angle = generator.uniform(0, 2 * np.pi, n)
    radius = 2 + 0.1 * generator.standard_normal(n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def test_forward_chain_from_data_reaches_pi_and_a_short_one_does_not():
    """By the study's own measure, averaged to a standard error of a fifth of the tolerance."""
    x, tolerance = ring(1000, 0), 0.0025
    fit = fit_mixture(x, "tied", 2, seed=0).to("cpu", torch.float32)
    data, far = data_sampler([torch.as_tensor(x).float()], fit), {}
    for T in (0.01, 4.0):  # noqa: N806
        chain = Chain(fit.mixture, exponential, time_grid(1e-3, T, 100).float())
        found = [mismatch(chain, data, Streams([("mismatch", i)])) for i in range(5)]
        distances, floors = np.array(found)[..., 0].T
        assert abs(floors.mean()) < tolerance
        assert distances.std() / math.sqrt(5) < tolerance / 5
        far[T] = distances.mean()
    assert far[4.0] < tolerance < far[0.01] / 2


@pytest.mark.parametrize("stride", [1, 9])
def test_simulated_law_of_one_component_at_any_stride(stride):
    """Mean and variance of y_N, and of an intermediate y_n at which a stride is cut short."""
    chain = Chain(ou(), exponential, time_grid(0.01, 1.0, 20), stride)
    n = 40_000
    for stop in (13, 20):
        y = chain.simulate(torch.full((1, n, 1), 2.0).double(), stop, Streams([(stride, stop)]))
        t = chain.times[stop].item()
        mean, var = 2 * math.exp(-t), 1 - math.exp(-2 * t)
        assert abs(y.mean().item() - mean) < Z * math.sqrt(var / n)
        assert abs(y.var().item() - var) < Z * var * math.sqrt(2 / n)


def test_simulation_goes_on_from_where_it_stopped():
    """In two halves as in one: the same mean and variance; from the end on nothing moves."""
    chain, n = Chain(ou(), exponential, time_grid(0.01, 1.0, 20)), 40_000
    y, streams = torch.full((1, n, 1), 2.0).double(), Streams([("halves",)])
    halves = chain.simulate(chain.simulate(y, 8, streams), 20, streams, start=8)
    mean, var = 2 * math.exp(-1), 1 - math.exp(-2)
    assert abs(halves.mean().item() - mean) < Z * math.sqrt(var / n)
    assert abs(halves.var().item() - var) < Z * var * math.sqrt(2 / n)
    assert torch.equal(chain.simulate(y, 20, streams, start=20), y)


def test_a_simulation_takes_the_same_of_its_streams_however_long_it_is():
    """So what a replica draws after it does not depend on its stack; shared streams would."""
    chain, after = Chain(standard_normal(2, 1), exponential, time_grid(0.01, 1.0, 20).float()), []
    for n in (1, 20):
        streams = Streams([("a",), ("b",)])
        chain.simulate(torch.zeros(2, 5, 1), torch.tensor([[3], [n]]), streams)
        after.append(streams.normal(4))
    assert torch.equal(*after)


@pytest.mark.parametrize("from_data", [False, True])
def test_strides_are_uniform(from_data):
    chain = Chain(ou(), exponential, time_grid(0.01, 1.0, 12), stride=5, from_data=from_data)
    hops = chain.hops(Streams([("hops",)]).uniform(60_000))
    longest = 12 if from_data else 5
    counts = torch.bincount(hops.flatten(), minlength=longest + 1)
    assert len(counts) == longest + 1 and counts[0] == 0
    assert stats.chisquare(counts[1:].numpy()).pvalue > P_VALUE
    edge = torch.tensor([0.0, 1 - 2**-24])
    assert chain.hops(edge).tolist() == [1, longest]
