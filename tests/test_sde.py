"""The forward chain: moments, order and stationary law of its kernels, strides, and the pool."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from scipy import stats
from torch import Tensor

from ndsm.drift import mismatch
from ndsm.fits import fit_mixture
from ndsm.fitted import data_sampler
from ndsm.mixture import Mixture
from ndsm.sde import KERNELS, Chain, Kernel, Pool, euler, exponential, signal, time_grid, variance
from ndsm.streams import Streams

Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison
P_VALUE = 1e-7  # of one two-sample test


def ou(d: int = 1) -> Mixture:
    """The drift of the Ornstein–Uhlenbeck process, float64."""
    return Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, d).double())


def overlapping() -> Mixture:
    """Two components in the plane that overlap, so that the drift is nonlinear where data lie."""
    weights, means = torch.tensor([[0.3, 0.7]]), torch.tensor([[[-1.5, 0.0], [1.5, 0.5]]])
    return Mixture(weights.double().log(), means.double())


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
    chain = Chain(ou(), exponential, time_grid(0.01, 1.0, 20))
    y, streams = torch.full((1, 50, 1), 2.0).double(), Streams([("halves",)])
    halves = chain.simulate(chain.simulate(y, 8, streams), 20, streams, start=8)
    torch.testing.assert_close(halves, chain.simulate(y, 20, Streams([("halves",)])))
    assert torch.equal(chain.simulate(y, 20, streams, start=20), y)


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


# The pool against full re-simulation.

STEPS, SIZE = 12, 12_000


def pool_chain(stride: int) -> Chain:
    return Chain(overlapping(), exponential, time_grid(0.02, 1.5, STEPS), stride)


def ring_data() -> Callable[[Tensor], Tensor]:
    points = torch.as_tensor(ring(4000, 1))
    return lambda u: points[(u * len(points)).long()]


def observe(pool: Pool, iterations: int, streams: Streams) -> tuple[Tensor, Tensor]:
    """Particles (iterations, B, d) and their grid indices (iterations, B) after each move."""
    points, indices = [], []
    for _ in range(iterations):
        jump = pool.jump(*streams.uniform(2, SIZE).unbind(1))
        assert torch.equal(jump.t[..., 0], pool.chain.times[pool.stop])
        pool.move(jump, streams.normal(SIZE, 2).to(pool.y))
        points.append(pool.y[0])
        indices.append(pool.index[0])
    return torch.stack(points), torch.stack(indices)


def resimulate(chain: Chain, n: int, streams: Streams) -> Tensor:
    """Particles that visit t_n, each simulated from its own data point at t = 0."""
    data, y, index = ring_data(), None, None
    y, index = data(streams.uniform(4 * SIZE)), torch.zeros(1, 4 * SIZE).long()
    while (index < n).any():
        stop = index + 1 + (streams.uniform(4 * SIZE) * chain.stride).long()
        h = chain.times[stop.clamp(max=STEPS)] - chain.times[index.clamp(max=STEPS)]
        mu, sigma = chain.kernel(chain.drift, y, h.unsqueeze(-1))
        moved = mu + sigma * streams.normal(4 * SIZE, 2).to(y)
        running = index < n
        y = torch.where(running.unsqueeze(-1), moved, y)
        index = torch.where(running, stop, index)
    return y[index == n][:SIZE]


def smallest_p_value(pool: Pool) -> float:
    """Of Kolmogorov–Smirnov tests at four times along four functions of the particle."""
    points, indices = observe(pool, STEPS, Streams([("moves",)]))
    p_values = []
    for n in (1, 4, 8, STEPS):
        pair = points[indices == n], resimulate(pool.chain, n, Streams([("again", n)]))
        for look in (
            lambda y: y[:, 0],
            lambda y: y[:, 1],
            lambda y: y.sum(1),
            lambda y: y.norm(dim=1),
        ):
            p_values.append(stats.ks_2samp(*(look(y).numpy() for y in pair)).pvalue)
    return min(p_values)


class NoFreshData(Pool):
    """A planted mistake: time starts anew at T, the particle does not."""

    def jump(self, u_hop: Tensor, u_data: Tensor):
        data, self.data = self.data, lambda _: self.y
        found = super().jump(u_hop, u_data)
        self.data = data
        return found


class SameData(Pool):
    """A planted mistake: each particle always starts from the same data point."""

    def jump(self, u_hop: Tensor, u_data: Tensor):
        return super().jump(u_hop, torch.linspace(0, 0.999, SIZE).unsqueeze(0))


@pytest.mark.parametrize("stride", [1, 5])
def test_pool_marginals_equal_full_resimulation(stride):
    """A pool that has run for three rounds; a particle is looked at once per time and round."""
    pool = Pool(pool_chain(stride), ring_data(), SIZE, Streams([("pool",)]))
    observe(pool, 2 * STEPS, Streams([("rounds",)]))
    assert smallest_p_value(pool) > P_VALUE


def test_a_pool_that_is_not_restarted_from_data_is_noticed():
    pool = NoFreshData(pool_chain(1), ring_data(), SIZE, Streams([("pool",)]))
    observe(pool, 2 * STEPS, Streams([("rounds",)]))
    assert smallest_p_value(pool) < P_VALUE


def test_pool_starts_out_spread_and_meets_every_time_equally_often():
    pool = Pool(pool_chain(1), ring_data(), SIZE, Streams([("pool",)]))
    first = torch.bincount(pool.index[0], minlength=STEPS)
    assert stats.chisquare(first.numpy()).pvalue > P_VALUE
    _, indices = observe(pool, STEPS, Streams([("moves",)]))
    assert torch.equal(torch.bincount(indices.flatten()), torch.tensor([0] + [SIZE] * STEPS))


def restart_correlation(pool: Pool) -> float:
    """|z| of the correlation between a particle's starts in consecutive rounds."""
    points, indices = observe(pool, 2 * STEPS, Streams([("moves",)]))
    starts = [
        torch.where((indices[half] == 1).unsqueeze(-1), points[half], 0).sum(0)[:, 0].numpy()
        for half in (slice(0, STEPS), slice(STEPS, 2 * STEPS))
    ]
    return abs(np.corrcoef(*starts)[0, 1]) * math.sqrt(SIZE)


def test_pool_draws_fresh_data_in_every_round():
    arguments = pool_chain(1), ring_data(), SIZE, Streams([("pool",)])
    assert restart_correlation(Pool(*arguments)) < Z
    assert restart_correlation(SameData(*arguments)) > Z


def test_pool_from_data_jumps_once_from_the_data():
    """Every jump starts at a data point and crosses 1 to N grid times, all equally often."""
    chain = Chain(ou(2), exponential, time_grid(0.02, 1.5, STEPS), from_data=True)
    pool = Pool(chain, lambda u: torch.full((*u.shape, 2), 3.0).double(), SIZE, Streams([(0,)]))
    streams = Streams([("moves",)])
    for _ in range(2):
        jump = pool.jump(*streams.uniform(2, SIZE).unbind(1))
        torch.testing.assert_close(jump.mu, 3 * signal(jump.t).expand_as(jump.mu))
        torch.testing.assert_close(jump.sigma, variance(jump.t).sqrt())
        counts = torch.bincount(pool.stop[0], minlength=STEPS + 1)[1:]
        assert stats.chisquare(counts.numpy()).pvalue > P_VALUE
        pool.move(jump, streams.normal(SIZE, 2))
