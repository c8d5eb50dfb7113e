"""The error of a score, measured against the true one of its own process."""

import pytest
import torch
from torch import Tensor, nn

from ndsm.errors import Refused
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import Chain, Jump, exponential, signal, time_grid, variance
from ndsm.method.mixture import Mixture, standard_normal
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.stages.score import estimate, noise_index, score_error

GRID = time_grid(1e-3, 4.0, 60)
STREAMS = [("score", replica) for replica in range(2)]


class Constant(nn.Module):
    """F_θ = c everywhere, so that s_θ is off by (a/√v) c where F should be zero."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = c

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        return torch.full_like(y, self.c)


def double(mixture: Mixture) -> Mixture:
    return Mixture(**{name: t.double() for name, t in mixture.tensors().items()})


def measured(drift: Mixture, c: float, stride: int, from_data: bool) -> tuple[Tensor, float]:
    """score_error of two replicas with data from π, where F = 0 is the truth, and a²c²d."""
    x = drift.sample(10_500, Streams(STREAMS))
    chain = Chain(drift, exponential, GRID, stride, from_data)
    n = torch.tensor([[48], [48]])
    error = score_error(ScoreNet(drift, Constant(c)), chain, x, n, Streams(STREAMS))
    return error, c**2 * x.shape[-1] * torch.exp(-2 * GRID[48]).item()


@pytest.mark.parametrize("stride, from_data", [(1, False), (15, False), (1, True)])
@pytest.mark.parametrize("c", [0.0, 0.6])
def test_error_of_a_known_departure(c: float, stride: int, from_data: bool) -> None:
    """Data N(0, I) under OU: the true F is zero. Tolerance: ten times the error seen over seeds."""
    error, truth = measured(double(standard_normal(2, 2)), c, stride, from_data)
    assert (error - truth).abs().max() < 0.04
    if c:  # a departure that is there is not taken for none
        assert error.min() > 0.1


def test_a_replica_alone_and_in_a_stack_have_the_same_error() -> None:
    """Though the other one's time is later, and its simulation longer."""
    drift = double(standard_normal(2, 2))
    x, n = drift.sample(10_500, Streams(STREAMS)), torch.tensor([[5], [48]])
    alone = double(standard_normal(1, 2))
    for stride in (1, 15):
        errors = []
        for mixture, rows in ((drift, slice(2)), (alone, slice(1))):
            chain, net = Chain(mixture, exponential, GRID, stride), ScoreNet(mixture, Constant(0.6))
            errors.append(score_error(net, chain, x[rows], n[rows], Streams(STREAMS[rows])))
        torch.testing.assert_close(errors[0][:1], errors[1], rtol=1e-9, atol=0)


def test_noise_level_is_in_units_of_the_data() -> None:
    """At the time found, √v/a times the width of a component is the level times the deviation."""
    x = 7 * torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)).double()
    factor = torch.tensor([[[1.0, 0.0], [0.5, 2.0]], [[3.0, 0.0], [0.0, 3.0]]]).double()
    fit = Fitted(double(standard_normal(2, 2)), torch.zeros(2, 1, 2).double(), factor)
    grid = time_grid(1e-3, 4.0, 4000)
    index = noise_index(fit, Chain(fit.mixture, exponential, grid), x, 0.3)
    t = grid[index].squeeze(1)
    noise = torch.sqrt(variance(t)) / signal(t)
    width = torch.linalg.matrix_norm(factor) / 2**0.5
    expected = 0.3 * x.var(0).mean().sqrt().expand(2)
    torch.testing.assert_close(noise * width, expected, rtol=2e-3, atol=0)


def test_a_level_of_noise_that_is_never_reached_is_refused() -> None:
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    fit = Fitted(standard_normal(1, 2), torch.zeros(1, 1, 2), torch.ones(1, 1, 1))
    chain = Chain(fit.mixture, exponential, time_grid(1e-3, 1.0, 20).float())
    assert noise_index(fit, chain, x, 2.0).item() < len(chain.times)
    with pytest.raises(Refused, match=r"score\.noise: 4 .* process\.T, 1; lower the level"):
        noise_index(fit, chain, x, 4.0)


def test_estimate_is_the_gradient_of_the_log_density() -> None:
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn(2, 30, 3, generator=generator, dtype=torch.float64)
    sigma = 0.3 + torch.rand(2, 30, 1, generator=generator, dtype=torch.float64)
    y = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    square = ((y.unsqueeze(2) - mu.unsqueeze(1)) / sigma.unsqueeze(1)).square().sum(-1)
    log_density = torch.logsumexp(-0.5 * square - 3 * sigma.log().mT, -1)
    (gradient,) = torch.autograd.grad(log_density.sum(), y)
    jump = Jump(mu, sigma, torch.ones_like(sigma))
    torch.testing.assert_close(estimate(y.detach(), jump), gradient, rtol=1e-9, atol=1e-9)
