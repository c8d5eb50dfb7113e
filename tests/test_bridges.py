"""Bridges from the data to components of π: the flows that they teach, against closed forms."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from ndsm.method.forward_process import (
    Chain,
    Jump,
    angle_of_time,
    exponential,
    signal,
    time_grid,
    variance,
)
from ndsm.method.mixture import Mixture
from ndsm.method.networks import ScoreNet, StackedMLP
from ndsm.method.objectives import denoising, flow_matching, ndsm_flow
from ndsm.method.random_streams import Streams
from ndsm.method.training_examples import Bridge, Bridges
from test_examples import P_VALUE, Z, overlapping


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
