"""The U-Net: replicas that stay apart, half precision, and exact equivariance by averaging."""

import pytest
import torch
from torch import Tensor, nn

from ndsm.method import samplers, unet
from ndsm.method.forward_process import Chain, exponential, time_grid
from ndsm.method.mixture import standard_normal
from ndsm.method.networks import Odd, ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.method.unet import StackedUNet


def stacked(keys: list[int], side: int = 8) -> StackedUNet:
    """U-Nets of the given keys in float64, with random weights where they start at zero."""
    network = StackedUNet(side**2, 8, 1, Streams([("weights", key) for key in keys]))
    others = Streams([("others", key) for key in keys])
    for weight in network.parameters():
        if not weight.any():
            weight.data.copy_(0.3 * others.normal(*weight.shape[1:]))
    return network.double()


def inputs(replicas: int, side: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(replicas, 6, side**2, generator=generator, dtype=torch.float64)
    return y, torch.rand(replicas, 6, 1, generator=generator, dtype=torch.float64) + 0.1


@pytest.mark.parametrize("side", [8, 14, 28])
def test_a_replica_alone_and_in_a_stack_are_alike(side: int) -> None:
    y, t = inputs(2, side)
    together = stacked([3, 5], side)(y, t)
    for r, key in enumerate([3, 5]):
        torch.testing.assert_close(stacked([key], side)(y[r : r + 1], t[r : r + 1])[0], together[r])
    assert (together[0] - together[1]).abs().max() > 0.01


def test_replicas_share_no_weights() -> None:
    network, (y, t) = stacked([3, 5]), inputs(2)
    gradients = torch.autograd.grad(network(y, t)[1].square().sum(), list(network.parameters()))
    assert not any(gradient[0].any() for gradient in gradients)
    assert all(gradient[1].any() for gradient in gradients)


def test_images_of_a_batch_do_not_see_one_another() -> None:
    network, (y, t) = stacked([3]), inputs(1)
    torch.testing.assert_close(network(y[:, 2:3], t[:, 2:3]), network(y, t)[:, 2:3])
    assert (network(y, t.flip(1)) - network(y, t)).abs().max() > 0.01  # each sees its own time


def test_at_first_the_score_is_that_of_the_mixture() -> None:
    y, t = inputs(1)
    network = StackedUNet(64, 8, 1, Streams([("weights",)])).double()
    assert not network(y, t).any()


def test_bfloat16_is_close_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """To two parts in a hundred (the precision is 1/256), and not equal: it was in use."""
    network, (y, t) = stacked([3]).float(), (x.float() for x in inputs(1))
    monkeypatch.setattr(unet, "has_bfloat16", lambda _: False)
    exact = network(y, t)
    monkeypatch.setattr(unet, "has_bfloat16", lambda _: True)
    error = (network(y, t) - exact).norm() / exact.norm()
    assert 1e-4 < error < 2e-2
    assert network(y, t).dtype == torch.float32


def test_group_average_is_exactly_equivariant() -> None:
    network, (y, t) = stacked([3]), inputs(1)
    odd = Odd(network)
    torch.testing.assert_close(odd(-y, t), -odd(y, t), rtol=0, atol=1e-12)
    assert (network(-y, t) + network(y, t)).abs().max() > 0.1  # without it, far from it


@pytest.mark.parametrize("averaged", [True, False])
def test_its_samples_have_the_symmetry(averaged: bool) -> None:
    """Heun's method carries −y to minus what it carries y to; a plain network does not."""
    network, (y, _) = stacked([3]), inputs(1)
    wrapped: nn.Module = Odd(network) if averaged else network
    drift = standard_normal(1, 64)
    net = ScoreNet(type(drift)(drift.log_weights.double(), drift.means.double()), wrapped)
    chain = Chain(net.drift, exponential, time_grid(0.1, 3.0, 20))
    with torch.no_grad():
        x, mirrored = (
            samplers.generate(net, start, chain, "heun", 5, Streams([("a",)])) for start in (y, -y)
        )
    assert net.evaluations == (2 if averaged else 1)
    assert bool((x + mirrored).abs().max() < 1e-9) == averaged
