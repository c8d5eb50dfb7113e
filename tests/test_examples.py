"""What training steps learn from: the pool against full simulation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from scipy import stats
from torch import Tensor

from conftest import job_spec
from ndsm.data import laws
from ndsm.method import fitted_drift, training
from ndsm.method.drift_fits import fit_mixture
from ndsm.method.fitted_drift import data_sampler
from ndsm.method.forward_process import Chain, Jump, exponential, signal, time_grid, variance
from ndsm.method.likelihood import log_prob
from ndsm.method.mixture import Mixture
from ndsm.method.model import build
from ndsm.method.networks import ScoreNet, StackedMLP
from ndsm.method.objectives import ndsm_cv
from ndsm.method.random_streams import Streams
from ndsm.method.settings import ModelSettings, TrainingSettings
from ndsm.method.training_examples import FromData, Pool, most_laps

Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison
P_VALUE = 1e-7  # of one test
STEPS = 12


def overlapping(dtype: torch.dtype = torch.float64) -> Mixture:
    """Two components in the plane that overlap, so that the drift is nonlinear where data lie."""
    weights, means = torch.tensor([[0.3, 0.7]]), torch.tensor([[[-1.5, 0.0], [1.5, 0.5]]])
    return Mixture(weights.to(dtype).log(), means.to(dtype))


def chain_with(stride: int, steps: int = STEPS) -> Chain:
    return Chain(overlapping(), exponential, time_grid(0.02, 1.5, steps), stride)


def ring_data() -> Callable[[Tensor], Tensor]:
    """Points of a noisy ring: no Gaussian mixture."""
    generator = default_rng(1)
    angle, radius = generator.uniform(0, 2 * np.pi, 4000), 2 + 0.1 * generator.standard_normal(4000)
    points = torch.as_tensor(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1))
    return lambda u: points[(u * len(points)).long()]


def pool_of(chain: Chain, batch: int, laps: int, kind: type[Pool] = Pool) -> Pool:
    return kind(chain, ring_data(), batch, laps, Streams([("pool",)]))


def observe(pool: Pool, laps: int, name: str = "moves") -> tuple[Tensor, Tensor]:
    """Particles (laps, P, d) and their grid indices (laps, P) after each lap."""
    points, indices, streams = [], [], Streams([(name,)])
    for _ in range(laps):
        pool.shuffle(streams)
        for k in range(pool.block):
            jump = pool.draw(k, streams.uniform(3, pool.batch))
            assert torch.equal(jump.t[..., 0], pool.chain.times[pool.stop])
            pool.move(jump, streams.normal(pool.batch, 2).to(pool.y))
        points.append(pool.y[0].clone())
        indices.append(pool.index[0].clone())
    return torch.stack(points), torch.stack(indices)


# The pool: where its particles are.


class LateHops(Pool):
    """The old pool, planted: whoever would pass T takes its hop from the data at once."""

    def draw(self, k: int, u: Tensor) -> Jump:
        jump = super().draw(k, u)
        hop, start = self.chain.hops(u[:, 0]), self.index.gather(1, self.rows)
        passes = start + hop > self.chain.steps
        self.stop = torch.where(passes, hop, self.stop)
        y = self.y.gather(1, self.rows.unsqueeze(-1).expand(-1, -1, 2))
        y = torch.where(passes.unsqueeze(-1), self.data(u[:, 1]), y)
        return self.chain.jump(y, torch.where(passes, 0, start), self.stop) if k >= 0 else jump


def uniformity(kind: type[Pool], stride: int) -> float:
    """p-value of a chi-square test that arrivals are uniform over the grid, a lap's at a time.

    Twenty laps pass first; in one lap every particle arrives once, so that counts are independent.
    """
    pool = pool_of(chain_with(stride, 30), 2000, 10, kind)
    _, indices = observe(pool, 21)
    return stats.chisquare(torch.bincount(indices[-1], minlength=31)[1:].numpy()).pvalue


@pytest.mark.parametrize("stride", [1, 5, 15])
def test_every_grid_time_is_met_equally_often(stride):
    assert uniformity(Pool, stride) > P_VALUE


@pytest.mark.parametrize("stride", [5, 15])
def test_hops_that_favour_long_first_ones_are_noticed(stride):
    assert uniformity(LateHops, stride) < P_VALUE


def test_a_pool_starts_out_spread():
    pool = pool_of(chain_with(5, 30), 2000, 10)
    counts = torch.bincount(pool.index[0], minlength=31)
    assert counts[0] == 0 and stats.chisquare(counts[1:].numpy()).pvalue > P_VALUE


def smallest_p_value(pool: Pool) -> float:
    """Of Kolmogorov–Smirnov tests at four times along four functions of the particle."""
    points, indices = observe(pool, 4)
    points, indices = points[-1], indices[-1]  # each particle once: independent of one another
    chain, data, p_values = pool.chain, ring_data(), []
    for n in (1, 4, 8, STEPS):
        streams = Streams([("again", n)])
        again = chain.simulate(data(streams.uniform(12_000)), n, streams)[0]
        for look in (
            lambda y: y[:, 0],
            lambda y: y[:, 1],
            lambda y: y.sum(1),
            lambda y: y.norm(dim=1),
        ):
            pair = look(points[indices == n]).numpy(), look(again).numpy()
            p_values.append(stats.ks_2samp(*pair).pvalue)
    return min(p_values)


class NoFreshData(Pool):
    """A planted mistake: time starts anew at T, the particle does not."""

    def draw(self, k: int, u: Tensor) -> Jump:
        rows = self.order[:, k]
        waiting = self.y.gather(1, rows.unsqueeze(-1).expand(-1, -1, 2)).clone()
        data, self.data = self.data, lambda _: waiting
        found = super().draw(k, u)
        self.data = data
        return found


@pytest.mark.parametrize("stride", [1, 5])
def test_pool_marginals_equal_full_simulation(stride):
    """After two rounds of the grid for each particle."""
    pool = pool_of(chain_with(stride), 3000, 10)
    observe(pool, 2 * STEPS, "rounds")
    assert smallest_p_value(pool) > P_VALUE


def test_a_pool_that_is_not_restarted_from_data_is_noticed():
    pool = pool_of(chain_with(1), 3000, 10, NoFreshData)
    observe(pool, 2 * STEPS, "rounds")
    assert smallest_p_value(pool) < P_VALUE


class SameData(Pool):
    """A planted mistake: each particle always starts from the same data point."""

    def draw(self, k: int, u: Tensor) -> Jump:
        own = self.order[:, k] / self.index.shape[1]
        return super().draw(k, torch.stack([u[:, 0], own], 1))


def restart_correlation(kind: type[Pool]) -> float:
    """|z| of the correlation between a particle's starts in consecutive rounds."""
    pool = pool_of(chain_with(1), 1200, 10, kind)
    points, indices = observe(pool, 2 * STEPS)
    starts = [
        torch.where((indices[half] == 1).unsqueeze(-1), points[half], 0).sum(0)[:, 0].numpy()
        for half in (slice(0, STEPS), slice(STEPS, 2 * STEPS))
    ]
    return abs(np.corrcoef(*starts)[0, 1]) * math.sqrt(len(starts[0]))


def test_pool_draws_fresh_data_in_every_round():
    assert restart_correlation(Pool) < Z < restart_correlation(SameData)


def test_a_lap_moves_every_particle_once():
    pool, streams = pool_of(chain_with(5), 7, 4), Streams([("laps",)])
    orders = []
    for _ in range(2):
        pool.shuffle(streams)
        orders.append(pool.order.clone())
        assert pool.order.flatten().sort().values.tolist() == list(range(28))
    assert not torch.equal(*orders)


def test_most_laps():
    """Every particle moves at least twice."""
    assert [most_laps(steps) for steps in (1, 2, 63, 64)] == [1, 1, 31, 32]


def test_too_large_a_pool_is_lowered_with_a_line(caplog):
    caplog.set_level("INFO")
    settings = TrainingSettings(evaluations=20, batch=8, learning_rate=1e-3, ema=0.1, pool=32)
    arguments = chain_with(1), ring_data(), "ndsm", settings, Streams([("lowered",)])
    pool = training.examples(*arguments)
    said = caplog.text
    assert isinstance(pool, Pool) and pool.block == 10 and pool.index.shape == (1, 80)
    assert "training.pool: 32 is too much for so few steps, 10 is taken" in said
    assert "pool of 80 particles a replica" in said


# The pool: how alike successive batches are.


def gradient_autocorrelation(laps: int, steps: int = 600) -> float:
    """Lag-1 autocorrelation of the batch gradient of ``ndsm_cv`` at a fixed network.

    Of a random projection of it, a mean over eight projections.
    """
    drift, streams = overlapping(), Streams([("gradient", laps)])
    net = ScoreNet(drift, StackedMLP(2, 16, 2, Streams([("net",)]))).double()
    for weight in net.parameters():
        weight.data += 0.3 * Streams([("weights",)]).normal(*weight.shape[1:])
    chain = Chain(drift, exponential, time_grid(1e-3, 3.0, 60), 5)
    pool = Pool(chain, ring_data(), 64, laps, Streams([("pool",)]))
    weights, rows = list(net.parameters()), []
    for step in range(steps):
        if step % laps == 0:
            pool.shuffle(streams)
        jump, noise = pool.draw(step % laps, streams.uniform(3, 64)), streams.normal(64, 2).double()
        gradients = torch.autograd.grad(ndsm_cv(net, jump, noise).mean(), weights)
        rows.append(torch.cat([g.flatten() for g in gradients]))
        pool.move(jump, noise)
    g = torch.stack(rows)
    g = (g - g.mean(0)) / g.std(0)
    p = g @ torch.as_tensor(default_rng(0).standard_normal((g.shape[1], 8)))
    return ((p[1:] * p[:-1]).sum(0) / p.square().sum(0)).mean().item()


def test_successive_batches_are_not_alike():
    """Below a tenth; independent ones have a standard error of 0.02. One batch alone is seen."""
    assert abs(gradient_autocorrelation(32)) < 0.1 < gradient_autocorrelation(1) - 0.1


class Simulated(FromData):
    """Batches from a full simulation, each particle from its own data point: the naive way."""

    def __init__(self, chain: Chain, data: Callable[[Tensor], Tensor], streams: Streams) -> None:
        super().__init__(chain, data)
        self.streams = streams

    def draw(self, k: int, u: Tensor) -> Jump:
        chain = self.chain
        n = 1 + (u[:, 0] * chain.steps).long()
        start = (n - chain.hops(u[:, 2])).clamp(min=0)
        return chain.jump(chain.simulate(self.data(u[:, 1]), start, self.streams), start, n)


def test_a_pool_trains_as_well_as_independent_simulation():
    """Held-out KL of six seeds of ``ndsm_cv`` on the nine modes of the study, half of its budget.

    The pool's mean is within three standard errors of that with independent simulation; a pool of
    one batch, planted, is not.
    """
    seeds, law = 6, laws.weighted_modes()
    drawn = [law.sample(2000, default_rng(seed))[0] for seed in range(seeds)]
    held_out = law.sample(400, default_rng(99))[0]
    fit = fitted_drift.stack([fit_mixture(x, "tied", 10, 0) for x in drawn]).to(
        "cpu", torch.float32
    )
    settings = TrainingSettings(evaluations=1500, batch=128, learning_rate=5e-3, ema=0.1, pool=32)
    network = {"type": "mlp", "sees_drift": True, "width": 64, "depth": 3}
    process = {"kernel": "exponential", "steps": 100, "t_min": 1e-3, "T": 4.0}
    job = job_spec("ndsm_cv", stride=15, network=network, process=process)
    own = ModelSettings.model_validate(job)

    def kl(laps: int | None) -> Tensor:
        streams = Streams([("train", i) for i in range(seeds)])
        net, chain = build(fit, own, streams)
        data = data_sampler([torch.as_tensor(x).float() for x in drawn], fit)
        if laps:
            source: FromData | Pool = Pool(chain, data, 128, laps, streams)
        else:
            source = Simulated(chain, data, streams.fork())
        weights, _ = training.train(net, source, "ndsm_cv", settings, streams)
        for weight, average in zip(net.parameters(), weights, strict=True):
            weight.data.copy_(average)
        points = torch.as_tensor(held_out).float().expand(seeds, -1, -1)
        with torch.no_grad():
            model = log_prob(net, chain, fit, points, streams, steps=16)
        return law.log_density(held_out).mean() - model.mean(1)

    simulated, pooled, single = kl(None), kl(30), kl(1)
    close, far = pooled - simulated, single - simulated
    assert abs(close.mean().item()) < 3 * close.std().item() / math.sqrt(seeds)
    assert far.mean().item() > 3 * far.std().item() / math.sqrt(seeds)


# Jumps from the data.


def test_jumps_from_data_meet_every_grid_time_equally_often():
    drift = Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, 2).double())
    chain = Chain(drift, exponential, time_grid(0.02, 1.5, STEPS), from_data=True)
    source = FromData(chain, lambda u: torch.full((*u.shape, 2), 3.0).double())
    jump = source.draw(0, Streams([("moves",)]).uniform(3, 12_000))
    torch.testing.assert_close(jump.mu, 3 * signal(jump.t).expand_as(jump.mu))
    torch.testing.assert_close(jump.sigma, variance(jump.t).sqrt())
    _, counts = jump.t.unique(return_counts=True)
    assert len(counts) == STEPS and stats.chisquare(counts.numpy()).pvalue > P_VALUE
