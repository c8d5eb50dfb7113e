"""The learned α: least variance, unbiased, never aware of the noise that it is used on."""

import pytest
import torch
from torch import Tensor

from ndsm.method.control_variate import BINS, LearnedAlpha
from ndsm.method.forward_process import Jump, time_grid
from ndsm.method.objectives import ndsm, ndsm_cv

TIMES = time_grid(1e-3, 1.0, 30)
DRAWS = 20_000


def score(y: Tensor, t: Tensor) -> Tensor:
    """A score that changes within a jump, so that the best α is not one."""
    return 1 - 2 * y + torch.sin(3 * y) / t.sqrt()


def draw(seed: int, replicas: int = 1) -> tuple[Jump, Tensor]:
    """Jumps of half the time at which they arrive, times log-uniform over the grid."""
    generator = torch.Generator().manual_seed(seed)
    mu, noise = torch.randn(2, replicas, DRAWS, 2, generator=generator, dtype=torch.float64)
    t = 10 ** -(3 * torch.rand(replicas, DRAWS, 1, generator=generator, dtype=torch.float64))
    return Jump(mu, t.sqrt(), t), noise


def trained(steps: int = 20) -> LearnedAlpha:
    """An α that has seen some draws, none of them those of the tests."""
    learned = LearnedAlpha(1, TIMES)
    for seed in range(100, 100 + steps):
        learned.loss(score, *draw(seed))
    return learned


def variances(losses: Tensor, learned: LearnedAlpha, t: Tensor) -> Tensor:
    """Variance of the losses in each bin, (BINS,)."""
    bins = torch.bucketize(t.flatten(), learned.edges)
    return torch.stack([losses.flatten()[bins == b].var() for b in range(BINS)])


def test_learned_alpha_has_the_least_variance_in_every_bin():
    """Against a scan over fixed α; its own is a mean over the past, within 3 % of the least."""
    learned, (jump, noise) = trained(), draw(0)
    alpha = learned.alpha(jump.t)
    assert alpha.unique().numel() == BINS and not ((alpha - 1).abs() < 0.02).all()
    own = variances(learned.loss(score, jump, noise), learned, jump.t)
    scan = torch.stack(
        [
            variances(ndsm_cv(score, jump, noise, a), learned, jump.t)
            for a in torch.linspace(0, 1.5, 76).tolist()
        ]
    )
    assert (own < 1.03 * scan.amin(0)).all()
    assert (own < variances(ndsm(score, jump, noise), learned, jump.t)).all()


@pytest.mark.parametrize("wrong", [0.5, 1.5])
def test_another_alpha_would_be_noticed(wrong):
    learned, (jump, noise) = trained(), draw(0)
    own = variances(learned.loss(score, jump, noise), learned, jump.t)
    other = learned.alpha(jump.t) * wrong
    assert (variances(ndsm_cv(score, jump, noise, other), learned, jump.t) > 1.03 * own).any()


def test_alpha_of_a_step_does_not_know_its_noise():
    """It is a function of the past; one that took the step in first would differ."""
    learned, again, (jump, noise) = trained(3), trained(3), draw(0)
    loss = learned.loss(score, jump, noise)
    assert torch.allclose(loss, ndsm_cv(score, jump, noise, again.alpha(jump.t)), rtol=1e-12)
    assert not torch.allclose(loss, ndsm_cv(score, jump, noise, learned.alpha(jump.t)), rtol=1e-6)


def test_alpha_is_one_without_a_past_and_each_replica_has_its_own():
    learned, (jump, noise) = LearnedAlpha(2, TIMES), draw(0, replicas=2)
    assert torch.equal(learned.alpha(jump.t), torch.ones(2, DRAWS, dtype=torch.float64))
    learned.loss(lambda y, t: score(y, t) * torch.tensor([[[1.0]], [[-1.0]]]), jump, noise)
    alone, only = LearnedAlpha(1, TIMES), Jump(*(part[:1] for part in vars(jump).values()))
    alone.loss(score, only, noise[:1])
    assert torch.equal(learned.alpha(jump.t)[:1], alone.alpha(only.t))
