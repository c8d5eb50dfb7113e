"""Adam, its average and its learning rate."""

import pytest
import torch

from ndsm import train
from ndsm.adam import Adam


def test_adam_is_torchs():
    """Same weights after a hundred steps, and the average by its definition."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(2, 3, generator=generator).double() for _ in range(2)]
    ours, theirs = [w.clone() for w in start], [w.clone().requires_grad_() for w in start]
    adam, reference = Adam(ours, decay=0.95), torch.optim.Adam(theirs, lr=0.01)
    average = [w.clone() for w in start]
    for step in range(100):
        for weight in theirs:
            weight.grad = torch.randn(2, 3, generator=generator).double() + weight.detach()
        adam.step([weight.grad for weight in theirs], 0.01)
        reference.step()
        decay = min(0.95, (1 + step) / (10 + step))
        average = [
            decay * a + (1 - decay) * w.detach() for a, w in zip(average, theirs, strict=True)
        ]
    torch.testing.assert_close(ours, [w.detach() for w in theirs], rtol=1e-10, atol=0)
    torch.testing.assert_close(adam.average, average, rtol=1e-10, atol=0)


def test_adam_heeds_the_order_in_memory():
    """Weights that lie channels last, with gradients that do not, move as others do."""
    gradient = torch.arange(24.0).reshape(2, 3, 2, 2) % 7 - 2.5
    plain, last = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    last = last.to(memory_format=torch.channels_last)
    for weight in (plain, last):
        adam = Adam([weight], decay=0.9)
        for _ in range(2):
            adam.step([(gradient * (1 + weight)).contiguous()], 0.01)
    torch.testing.assert_close(plain, last, rtol=0, atol=0)


def test_learning_rate_warms_up_and_ends_near_zero():
    rates = [train.learning_rate(step, 200, 2e-3) for step in range(200)]
    assert max(rates) == pytest.approx(2e-3, rel=0.02) and rates.index(max(rates)) == 9
    assert 0 < rates[0] == pytest.approx(2e-4, rel=0.01) and rates[-1] < 1e-6
