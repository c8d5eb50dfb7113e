"""Adam, its average and its learning rate."""

from collections.abc import Callable

import pytest
import torch

from ndsm.method import optimiser
from ndsm.method.optimiser import Adam


@pytest.mark.parametrize("fused", [True, False])
def test_adam_is_torchs(fused, monkeypatch):
    """Same weights after a hundred steps, and the average by its definition."""
    assert optimiser.FUSED, "another torch: compare its torch._fused_adam_ with the call"
    monkeypatch.setattr(optimiser, "FUSED", fused)
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(2, 3, generator=generator).double() for _ in range(2)]
    ours, theirs = [w.clone() for w in start], [w.clone().requires_grad_() for w in start]
    adam, reference = Adam(ours, ema=0.2), torch.optim.Adam(theirs, lr=0.01)
    average = [w.clone() for w in start]
    for step in range(100):
        for weight in theirs:
            weight.grad = torch.randn(2, 3, generator=generator).double() + weight.detach()
        adam.step([weight.grad for weight in theirs], 0.01)
        reference.step()
        decay = (step / (1 + step)) ** 4
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
        adam = Adam([weight], ema=0.1)
        for _ in range(2):
            adam.step([(gradient * (1 + weight)).contiguous()], 0.01)
    torch.testing.assert_close(plain, last, rtol=0, atol=0)


def mean_age(ema: float, steps: int) -> float:
    """Of what the average holds, as a share of the steps: weights that are the number of theirs."""
    weight = torch.zeros(1).double()
    adam = Adam([weight], ema)
    for step in range(1, steps + 1):
        weight.fill_(step)
        adam.step([torch.zeros(1).double()], 0.0)
    return 1 - adam.average[0].item() / steps


def age_by(decay: Callable[[int], float], steps: int) -> float:
    """The same for a rule that gives the decay of each step."""
    age = 0.0
    for step in range(1, steps + 1):
        age = decay(step) * (age + 1)
    return age / steps


@pytest.mark.parametrize("steps", [100, 1000])
@pytest.mark.parametrize("ema", [0.02, 0.1, 0.3])
def test_mean_age_of_the_average_is_a_share_of_the_steps(ema, steps):
    """But for the half a step that a number is old on average before the next one comes."""
    assert mean_age(ema, steps) * steps == pytest.approx(ema * steps - 0.5, abs=0.1)


def test_a_decay_that_does_not_know_the_steps_is_noticed():
    """0.999 holds on to the first weights for 1,000 steps; with a ramp it is young after 50,000."""
    assert age_by(lambda _: 0.999, 1000) > 0.6

    def ramp(step: int) -> float:
        return min(0.999, step / (9 + step))

    assert age_by(ramp, 1000) == pytest.approx(0.1, abs=0.01)  # as with ema: 0.1
    assert age_by(ramp, 50_000) == pytest.approx(0.02, abs=0.001)


def test_learning_rate_warms_up_and_ends_near_zero():
    rates = [optimiser.learning_rate(step, 200, 2e-3) for step in range(200)]
    assert max(rates) == pytest.approx(2e-3, rel=0.02) and rates.index(max(rates)) == 9
    assert 0 < rates[0] == pytest.approx(2e-4, rel=0.01) and rates[-1] < 1e-6
