"""What users would pick instead: torchcfm's flow matching, azula's Karras denoiser and samplers.

Each in its documented way; network, optimiser, schedule, average, batch and coordinates are ours.
"""

from collections.abc import Callable

import torch
from azula.denoise import KarrasDenoiser
from azula.noise import VESchedule
from azula.sample import HeunSampler
from torch import Tensor, nn
from torchcfm.conditional_flow_matching import ConditionalFlowMatcher

from bench.models import Settings
from ndsm.method import samplers
from ndsm.method.fitted_drift import Sampler
from ndsm.method.optimiser import Adam, learning_rate
from ndsm.method.random_streams import Streams

STEPS = 32  # of Heun's method; the peers' spacing is not made for our twelve


def train(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    data: Sampler,
    streams: Streams,
    steps: int,
    settings: Settings,
) -> None:
    """Trains a stack on ``loss`` of points (R, B, d), and leaves its averaged weights in it."""
    weights = list(network.parameters())
    adam = Adam(weights, settings["ema"])
    for step in range(steps):
        x = data(streams.uniform(settings["batch"]))
        gradients = torch.autograd.grad(loss(x), weights)
        adam.step(list(gradients), learning_rate(step, steps, settings["learning_rate"]))
    for weight, average in zip(weights, adam.average, strict=True):
        weight.data.copy_(average)


class Flow:
    """Conditional flow matching of a stacked network, by torchcfm."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.matcher = network, ConditionalFlowMatcher(sigma=0.0)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """At x (R, B, d) and t (R, B), 0 for noise and 1 for data; the network sees log(1 − t)."""
        return self.network(x, (1 - t).clamp(min=1e-3).unsqueeze(-1))

    def loss(self, x: Tensor) -> Tensor:
        """Of points (R, B, d), summed over the replicas."""
        points = x.flatten(0, 1)
        noise = torch.randn_like(points)
        t, x_t, u = self.matcher.sample_location_and_conditional_flow(noise, points)
        v = self.velocity(x_t.view_as(x), t.view(x.shape[:2]))
        return (v - u.view_as(x)).square().mean((1, 2)).sum()

    def sample(self, noise: Tensor, steps: int = STEPS) -> Tensor:
        """By Heun's method from noise (R, n, d)."""

        def velocity(x: Tensor, phi: Tensor) -> Tensor:
            return self.velocity(x, (1 - phi).expand(x.shape[:2]))

        return samplers.heun(velocity, noise, torch.linspace(1, 0, steps + 1))


class Backbone(nn.Module):
    """A stacked network with azula's idea of time, log σ/α, in place of t."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, log_sigma: Tensor) -> Tensor:
        """F_θ at x (R, B, d) and a scalar or (R, B) of log σ; σ² = e^{2t} − 1."""
        t = torch.log1p(torch.exp(2 * log_sigma)) / 2
        return self.network(x, t.expand(x.shape[:2]).unsqueeze(-1))


class Karras:
    """The Karras (EDM) denoiser of a stacked network, by azula.

    Args:
        network: takes x (R, B, d) and t (R, B, 1).
        grid: the study's times, (N + 1,); noise levels are drawn as it spreads them.
    """

    def __init__(self, network: nn.Module, grid: Tensor) -> None:
        self.levels = torch.expm1(2 * grid[1:]).log() / 2
        low, high = self.levels[0].exp().item(), self.levels[-1].exp().item()
        self.denoiser = KarrasDenoiser(Backbone(network), VESchedule(low, high))

    def loss(self, x: Tensor) -> Tensor:
        """Of points (R, B, d), summed over the replicas."""
        chosen = self.levels[torch.randint(len(self.levels), x.shape[:2])]
        share = (chosen - self.levels[0]) / (self.levels[-1] - self.levels[0])
        return len(x) * self.denoiser.loss(x, share)

    @torch.no_grad()
    def sample(self, noise: Tensor, sampler: type = HeunSampler, steps: int = STEPS) -> Tensor:
        """By one of azula's samplers from noise (R, n, d), and a last denoising."""
        x = self.levels[-1].exp().hypot(torch.ones(())) * noise
        x = sampler(self.denoiser, steps=steps, silent=True)(x)
        return self.denoiser(x, torch.zeros(())).mean
