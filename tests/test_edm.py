"""EDM as Karras et al. (arXiv:2206.00364) have it: loss, noise levels, sampler."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ndsm.method import samplers
from ndsm.method.forward_process import Jump, signal, variance
from ndsm.method.mixture import Mixture
from ndsm.method.networks import ScoreNet, StackedMLP
from ndsm.method.objectives import denoising
from ndsm.method.random_streams import Streams
from test_samplers import S2, M, slope


def test_weight_two_is_the_loss_of_edm():
    """λ ‖D(x; σ) − x_0‖² of Karras et al. with σ_data = 1, with its preconditioning."""
    drift = Mixture(torch.zeros(1, 1).double(), torch.zeros(1, 1, 3).double())
    network = StackedMLP(3, 8, 2, Streams([("edm",)])).double()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    net = ScoreNet(drift, network)
    rng = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(2, 1, 50, 3, generator=rng).double()
    t = torch.rand(1, 50, 1, generator=rng).double() + 0.01
    jump = Jump(signal(t) * x_0, variance(t).sqrt(), t)
    ours = denoising(net, jump, noise) * torch.exp(2 * t).squeeze(-1)
    sigma = torch.sqrt(torch.expm1(2 * t))
    x = x_0 + sigma * noise
    c_in, c_skip = 1 / torch.sqrt(sigma**2 + 1), 1 / (sigma**2 + 1)
    c_out = sigma / torch.sqrt(sigma**2 + 1)
    denoised = c_skip * x + c_out * network(c_in * x, t)
    theirs = 0.5 * ((denoised - x_0) ** 2 / c_out**2).sum(-1)
    torch.testing.assert_close(ours, theirs)
    plain = denoising(net, jump, noise)  # w = 0: the planted mistake
    assert ((plain - theirs).abs() / theirs).min() > 0.01


def edm_error(steps: int, solver: Callable[..., Tensor]) -> float:
    """The same for Heun in the noise level, down to σ = 0.1; D = E[x_0 | x] of data N(M, S2)."""
    y = torch.tensor([[[-1.0], [2.0]]]).double()
    sigma = torch.linspace(6, 0.1, steps + 1, dtype=torch.float64)
    ends = torch.stack([sigma[0], sigma[-1]])
    scale = torch.sqrt(S2 + ends**2)
    exact = M + (y - M) * scale[1] / scale[0]

    def denoiser(x: Tensor, level: Tensor) -> Tensor:
        return (S2 * x + level**2 * M) / (S2 + level**2)

    return (solver(denoiser, y, sigma) - exact).abs().max().item()


def euler_in_sigma(denoiser, x: Tensor, sigma: Tensor) -> Tensor:
    """A planted mistake: no correction."""
    for here, there in zip(sigma[:-1], sigma[1:], strict=True):
        x = x + (there - here) * (x - denoiser(x, here)) / here
    return x


def test_edm_has_order_two():
    steps = [20, 40, 80, 160]
    order = slope(steps, [edm_error(n, samplers.edm) for n in steps])
    assert order == pytest.approx(2, abs=0.15)
    first = slope(steps, [edm_error(n, euler_in_sigma) for n in steps])
    assert first == pytest.approx(1, abs=0.15)


def test_edm_ends_with_the_denoiser():
    """The last step, to σ = 0, is Euler's: it gives D itself."""
    x, sigma = torch.tensor([[[3.0]]]).double(), torch.tensor([0.5, 0.0]).double()
    end = samplers.edm(lambda x, level: 0.25 * x + level, x, sigma)
    assert end.item() == pytest.approx(0.25 * 3 + 0.5)


def test_noise_levels_are_those_of_karras():
    """By the formula of the paper, ρ = 7, with σ = √(e^{2t} − 1)."""
    levels = samplers.noise_levels(4.0, 1e-3, 10)
    high, low = (math.sqrt(math.expm1(2 * t)) for t in (4.0, 1e-3))
    for i, level in enumerate(levels[:-1].tolist()):
        root = high ** (1 / 7) + i / 9 * (low ** (1 / 7) - high ** (1 / 7))
        assert level == pytest.approx(root**7)
    assert levels[-1] == 0 and len(levels) == 11
