"""What training steps learn from: the pool against full simulation, and the bridges."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from scipy import stats
from torch import Tensor

from conftest import job_spec
from ndsm import datasets, fitted, train
from ndsm.examples import Bridge, Bridges, FromData, Pool, most_laps
from ndsm.fits import fit_mixture
from ndsm.fitted import data_sampler
from ndsm.likelihood import log_prob
from ndsm.mixture import Mixture
from ndsm.model import build
from ndsm.nets import ScoreNet, StackedMLP
from ndsm.objectives import denoising, flow_matching, ndsm_cv, ndsm_flow
from ndsm.sde import Chain, Jump, angle_of_time, exponential, signal, time_grid, variance
from ndsm.streams import Streams

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


def test_too_large_a_pool_is_lowered_with_a_line(capsys):
    settings = {"evaluations": 20, "batch": 8, "pool": 32}
    arguments = chain_with(1), ring_data(), "ndsm", settings, Streams([("lowered",)])
    pool = train.examples(*arguments)
    said = capsys.readouterr().out
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
    seeds, law = 6, datasets.weighted_modes()
    drawn = [law.sample(2000, default_rng(seed))[0] for seed in range(seeds)]
    held_out = law.sample(400, default_rng(99))[0]
    fit = fitted.stack([fit_mixture(x, "tied", 10, 0) for x in drawn]).to("cpu", torch.float32)
    settings = {"evaluations": 1500, "batch": 128, "learning_rate": 5e-3, "ema": 0.1}
    network = {"type": "mlp", "sees_drift": True, "width": 64, "depth": 3}
    process = {"kernel": "exponential", "steps": 100, "t_min": 1e-3, "T": 4.0}
    job = job_spec("ndsm_cv", stride=15, network=network, process=process)

    def kl(laps: int | None) -> Tensor:
        streams = Streams([("train", i) for i in range(seeds)])
        net, chain = build(fit, job, streams)
        data = data_sampler([torch.as_tensor(x).float() for x in drawn], fit)
        if laps:
            source: FromData | Pool = Pool(chain, data, 128, laps, streams)
        else:
            source = Simulated(chain, data, streams.fork())
        weights, _ = train.train(net, source, "ndsm_cv", settings, streams)
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


# Bridges.


def bridges(drift: Mixture, law: Mixture, n: int, straight: bool = False) -> tuple[Bridge, Tensor]:
    """Bridges of n data points of a law, and their noise."""
    streams = Streams([("bridges",)])
    x = law.sample(n, streams)
    chain = Chain(drift, exponential, time_grid(0.01, 3.0, 20), from_data=True, ends_in_pi=True)
    source = Bridges(chain, lambda u: x, straight)
    return source.draw(0, streams.uniform(3, n)), streams.normal(*x.shape[1:]).double()


def at_angle(bridge: Bridge, phi: float) -> Bridge:
    """The same bridges, all at one angle."""
    return Bridge(**vars(bridge) | {"angle": torch.full_like(bridge.angle, phi)})


def ends_of(bridge: Bridge, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The point y of each bridge and T = −dy/dφ, read off the objective.

    Of F = 0 and F = e the losses ½|T|² and ½|e − T|² differ by e·T − ½.
    """
    seen, units = [], torch.eye(noise.shape[-1]).double()

    def constant(value: Tensor) -> Tensor:
        return ndsm_flow(lambda y, t: (seen.append(y), value.expand_as(y))[1], bridge, noise)

    nothing = constant(0 * units[0])
    return seen[0], torch.stack([nothing - constant(e) + 0.5 for e in units], -1)


def largest_z(error: Tensor, y: Tensor) -> float:
    """Largest |z| of E[g(y) error] over a dozen functions g; zero if E[error | y] = 0."""
    looks = [torch.ones_like(y), y, y.square(), torch.sin(y), torch.sin(3 * y), torch.cos(2 * y)]
    products = torch.cat(
        [look * error for look in looks] + [look.flip(-1) * error for look in looks], -1
    )
    return (products.mean(0) / products.std(0) * math.sqrt(len(y))).abs().max().item()


def one_dimension(weights: list[float], means: list[float]) -> Mixture:
    """Overlapping components N(m, 1) on the line, float64."""
    return Mixture(
        torch.tensor([weights]).double().log(), torch.tensor([means]).double().unsqueeze(-1)
    )


def exact_velocity(law: Mixture, drift: Mixture, y: Tensor, phi: Tensor) -> Tensor:
    """E[−dy/dφ | y] at points y and angles (B, 1) on the line, by quadrature over x and k."""
    x = torch.linspace(-12, 12, 1201).double().view(1, -1, 1)
    prior, r = law.log_prob(x)[0].exp(), drift.responsibilities(x)[0]
    a, s = torch.cos(phi), torch.sin(phi)
    above = below = torch.zeros(len(y), 1).double()
    for k in range(r.shape[1]):
        start = (x[0] - drift.means[0, k]).mT  # (1, X)
        z = (y - drift.means[0, k] - a * start) / s
        weight = torch.exp(-0.5 * z.square()) * prior * r[:, k]
        above = above + (weight * (s * start - a * z)).sum(1, keepdim=True)
        below = below + weight.sum(1, keepdim=True)
    return above / below


def test_the_flow_is_exact_where_components_overlap():
    """Its target has the exact velocity for its mean given y. The old jump's target has not."""
    drift, law = one_dimension([0.3, 0.7], [-1.0, 1.5]), one_dimension([0.5, 0.5], [-2.0, 0.5])
    bridge, noise = bridges(drift, law, 40_000)
    y, target = ends_of(bridge, noise)
    away = bridge.angle[0, :, 0] > 0.1  # nearer to the data the lattice is too coarse
    y, target, phi = y[0, away], target[0, away], bridge.angle[0, away]
    error = target - exact_velocity(law, drift, y, phi)
    assert largest_z(error, y) < Z
    a, s = torch.cos(phi), torch.sin(phi)
    x = bridge.x[0, away]
    centre = drift.centre(bridge.x)[0, away]
    jump_y = centre + a * (x - centre) + s * noise[0, away]
    old = (
        s * (x - centre)
        - a * noise[0, away]
        + s / a.clamp(min=0.05) * (centre - drift.centre(jump_y[None])[0])
    )
    assert largest_z(old - exact_velocity(law, drift, jump_y, phi), jump_y) > Z


def far_apart() -> tuple[Mixture, Mixture]:
    """π and data: two modes ten deviations apart, each Gaussian with a covariance of its own."""
    means = torch.tensor([[[-20.0, 0.0], [20.0, 5.0]]]).double()
    factors = torch.tensor([[[[1.2, 0.0], [0.5, 0.6]], [[0.4, 0.0], [-0.3, 0.9]]]]).double()
    data = torch.tensor([[[[0.3, 0.0], [0.1, 0.8]], [[1.0, 0.0], [0.5, 0.2]]]]).double()
    weights = torch.tensor([[0.4, 0.6]]).double().log()
    return Mixture(weights, means, factors), Mixture(weights, means + 0.7, data)


def gaussian_velocity(law: Mixture, drift: Mixture, y: Tensor, phi: Tensor) -> Tensor:
    """E[−dy/dφ | y] (B, d) of two modes far apart: within each all is jointly Gaussian."""
    a, s, total = torch.cos(phi).unsqueeze(-1), torch.sin(phi).unsqueeze(-1), torch.zeros_like(y)
    for k in range(2):
        start = law.means[0, k] - drift.means[0, k]
        c, sigma = (m.scale_tril[0, k] @ m.scale_tril[0, k].mT for m in (law, drift))
        covariance = a.square() * c + s.square() * sigma  # (B, d, d) of y
        with_target = a * s * c - a * s * sigma
        mean = drift.means[0, k] + a.squeeze(-1) * start
        gain = torch.linalg.solve(covariance, (y - mean).unsqueeze(-1))
        value = s.squeeze(-1) * start + (with_target @ gain).squeeze(-1)
        total = torch.where(((y[:, :1] > 0) == (k == 1)), value, total)
    return total


@pytest.mark.parametrize("wrong", [False, True])
def test_the_flow_is_exact_for_any_covariance(wrong):
    """Against the posterior mean in closed form; a factor that is transposed is noticed."""
    drift, law = far_apart()
    bridge, noise = bridges(drift, law, 40_000)
    if wrong:
        bridge = Bridge(**vars(bridge) | {"factor": bridge.factor.mT})
    y, target = ends_of(bridge, noise)
    error = target[0] - gaussian_velocity(law, drift, y[0], bridge.angle[0])
    local = y[0] - torch.where(y[0, :, :1] > 0, drift.means[0, 1], drift.means[0, 0])
    assert (largest_z(error, local) > Z) == wrong


def test_bridges_run_from_the_data_to_pi():
    """Kolmogorov–Smirnov tests at both ends. The data have π's weights, whatever their modes."""
    drift, law = far_apart()
    n = 40_000
    bridge, noise = bridges(drift, law, n)
    for phi, end in ((0.0, law), (math.pi / 2, drift)):
        y, other = ends_of(at_angle(bridge, phi), noise)[0][0], end.sample(n, Streams([(phi,)]))[0]
        for look in (lambda y: y[:, 0], lambda y: y[:, 1], lambda y: y.norm(dim=1)):
            assert stats.ks_2samp(look(y).numpy(), look(other).numpy()).pvalue > P_VALUE


def test_one_component_makes_the_flow_denoising_score_matching():
    """Loss by loss: a² times the flow's is dsm's, for the same network, points and noise."""
    drift = Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, 2).double())
    bridge, noise = bridges(drift, overlapping(), 1000)
    inside = ((bridge.angle > angle_of_time(torch.tensor(0.01))) & (bridge.t < 3.0))[0, :, 0]
    net = ScoreNet(drift, StackedMLP(2, 8, 2, Streams([("net",)]))).double()
    for weight in net.parameters():
        weight.data += 0.5 * Streams([("weights",)]).normal(*weight.shape[1:])
    a = signal(bridge.t)
    jump = Jump(a * bridge.x, variance(bridge.t).sqrt(), bridge.t)
    flow = a.squeeze(-1).square() * ndsm_flow(net.departure, bridge, noise)
    dsm = denoising(net, jump, noise)
    torch.testing.assert_close(flow[:, inside], dsm[:, inside], rtol=1e-6, atol=1e-9)
    assert inside.sum() > 800


def test_flow_matching_is_the_loss_of_the_straight_path():
    """½‖v_θ(x_s) − (x − Z)‖², v_θ the network itself, as its papers have it; s is uniform."""
    drift = Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, 2).double())
    bridge, noise = bridges(drift, overlapping(), 5000, straight=True)
    share = 1 / (1 + torch.tan(bridge.angle))
    assert stats.kstest(share.flatten().numpy(), "uniform").pvalue > P_VALUE
    network = StackedMLP(2, 8, 2, Streams([("net",)])).double()
    for weight in network.parameters():
        weight.data += 0.5 * Streams([("weights",)]).normal(*weight.shape[1:])
    net = ScoreNet(drift, network, straight=True)
    found = flow_matching(net.departure, bridge, noise)
    x_s = share * bridge.x + (1 - share) * noise
    error = network(x_s, bridge.t) - (bridge.x - noise)
    inside = (bridge.t[0, :, 0] > 0.0101) & (bridge.t[0, :, 0] < 2.99)
    torch.testing.assert_close(found[:, inside], 0.5 * error.square().sum(-1)[:, inside])
    assert inside.sum() > 4000
