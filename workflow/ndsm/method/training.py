"""Training: one stack of score networks, one network for each replica, all in one pass."""

import logging
import time
from typing import Protocol

import torch
from torch import Tensor

from ndsm.errors import Refused
from ndsm.method import objectives
from ndsm.method.control_variate import LearnedAlpha
from ndsm.method.fitted_drift import Sampler
from ndsm.method.forward_process import Chain
from ndsm.method.networks import ScoreNet
from ndsm.method.optimiser import Adam, learning_rate
from ndsm.method.random_streams import Streams
from ndsm.method.registry import BRIDGE, DATA, OBJECTIVES
from ndsm.method.settings import TrainingSettings
from ndsm.method.training_examples import Bridges, Examples, FromData, Pool, most_laps

log = logging.getLogger(__name__)

EXPLODED = 1e6  # a loss above this per dimension, or NaN, is a diverged training


class Keeper(Protocol):
    """Keeps the state of a training that may be interrupted (see ``artefacts.checkpoint``)."""

    def due(self) -> bool:
        """Whether it is time to keep the state."""

    def save(self, tensors: dict[str, Tensor]) -> None:
        """Keeps the state."""

    def load(self, device: torch.device) -> dict[str, Tensor] | None:
        """The state that was kept, if any."""


def examples(
    chain: Chain, data: Sampler, objective: str, settings: TrainingSettings, streams: Streams
) -> Examples:
    """What an objective learns from.

    Args:
        chain: the forward chain.
        data: see ``fitted_drift.data_sampler``.
        objective: a key of ``OBJECTIVES``.
        settings: of the training.
        streams: one generator per replica.
    """
    goal = OBJECTIVES[objective]
    if goal.examples == DATA:
        return FromData(chain, data)
    if goal.examples == BRIDGE:
        return Bridges(chain, data, straight=objective == "flow_matching")
    laps, most = settings.pool, most_laps(settings.evaluations // goal.evaluations)
    if laps > most:
        log.info("training.pool: %d is too much for so few steps, %d is taken", laps, most)
    pool = Pool(chain, data, settings.batch, min(laps, most), streams)
    replicas, particles = pool.index.shape
    mb = (pool.y.nbytes + pool.index.nbytes) / 1e6
    log.info("pool of %d particles a replica, %.1f MB for %d", particles, mb, replicas)
    return pool


class Losses:
    """The losses of a training: their means between log ticks, and the first that explodes.

    Args:
        means: of the components of R replicas, (R, K, d), for R, d and the device.
        steps: of the training.
        rate: its learning rate, to be named where a loss explodes.
    """

    def __init__(self, means: Tensor, steps: int, rate: float) -> None:
        self.steps, self.rate, self.limit = steps, rate, EXPLODED * means.shape[-1]
        self.tick = max(1, steps // 20)
        self.start, self.first = time.perf_counter(), 0
        self.means: list[Tensor] = []  # (R,) at each tick
        self.sum = torch.zeros(len(means), device=means.device)  # since the last tick
        self.trouble = torch.zeros(2, device=means.device)  # step and time of the first exploded

    def add(self, step: int, loss: Tensor, t: Tensor) -> None:
        """Takes the losses (R, B) of a step at the times t (R, B, 1).

        Raises:
            Refused: at a tick, if one has exploded.
        """
        self.sum += loss.mean(1)
        latest = torch.where(loss.abs() < self.limit, 0.0, t.squeeze(-1)).amax()
        now = torch.stack([torch.full_like(latest, step + 1), latest])
        self.trouble = torch.where((self.trouble[0] == 0) & (latest > 0), now, self.trouble)
        if (self.steps - 1 - step) % self.tick == 0:  # the only reading off the device
            bad_step, bad_time = self.trouble.tolist()
            refuse_divergence(bad_step, bad_time, self.rate)
            self.means.append(self.sum / min(self.tick, step + 1))
            seconds = time.perf_counter() - self.start
            log_progress(step + 1, self.steps, self.means[-1], seconds, self.first)
            self.sum = torch.zeros_like(self.sum)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs; ``restore`` puts it back."""
        return {"loss_sum": self.sum, "trouble": self.trouble}

    def restore(self, state: dict[str, Tensor], first: int) -> None:
        """Goes on from a checkpoint's state at the step ``first``."""
        self.sum, self.trouble, self.first = state["loss_sum"], state["trouble"], first


def train(
    net: ScoreNet,
    source: Examples,
    objective: str,
    settings: TrainingSettings,
    streams: Streams,
    checkpoint: Keeper | None = None,
    learned: LearnedAlpha | None = None,
    weight: float = 0.0,
) -> tuple[list[Tensor], list[Tensor]]:
    """Trains the stack and returns its averaged (EMA) weights and the losses at log ticks.

    Args:
        net: the score network of R replicas; trained in place.
        source: see ``training_examples``.
        objective: a key of ``OBJECTIVES``.
        settings: of the training.
        streams: one generator per replica.
        checkpoint: keeps and finds an interrupted training.
        learned: the α of ``ndsm_cv``, if it is to be learned.
        weight: w of the objectives' λ = v e^{wt}.

    Raises:
        Refused: if the loss explodes, with the step, the time bin and the remedy.
    """
    goal, batch, d = OBJECTIVES[objective], settings.batch, net.drift.means.shape[-1]
    loss_of, function = (
        learned.loss if learned else objectives.loss(objective),
        getattr(net, goal.learns),
    )
    steps, rate = settings.evaluations // goal.evaluations, settings.learning_rate
    weights = list(net.parameters())
    adam, losses = Adam(weights, settings.ema), Losses(net.drift.means, steps, rate)
    if checkpoint and (found := checkpoint.load(net.drift.means.device)):
        adam.restore(found)
        streams.restore(found["streams"].cpu())
        source.restore(found)
        losses.restore(found, adam.steps)
        if learned:
            learned.moments = found["moments"]
    first = adam.steps
    for step in range(first, steps):
        k = step % source.block
        if step == first or k == 0:
            drawn_from = streams.state()
            source.shuffle(streams)
            noises = streams.normal(source.block, batch, d).unbind(1)
            uniforms = streams.uniform(source.block, 3, batch).unbind(1)
        if checkpoint and checkpoint.due():  # a training that goes on draws this block again
            moving = source.state() | {"streams": drawn_from} | losses.state()
            moving |= {"moments": learned.moments} if learned else {}
            checkpoint.save(adam.state() | moving)
        example = source.draw(k, uniforms[k])
        loss = loss_of(function, example, noises[k]) * torch.exp(weight * example.t).squeeze(-1)
        # Replicas share no weights, so the gradient of the sum is that of each alone.
        gradients = torch.autograd.grad(loss.mean(1).sum(), weights)
        adam.step(list(gradients), learning_rate(step, steps, rate))
        source.move(example, noises[k])
        losses.add(step, loss.detach(), example.t)
    return adam.average, losses.means


def refuse_divergence(step: float, t: float, rate: float) -> None:
    """Stops the run if a loss exploded, at ``step`` and time ``t`` (both zero if none)."""
    if step:
        raise Refused(
            f"training diverged at step {step:.0f}, at times up to t = {t:.3g}: "
            f"lower training.learning_rate (now {rate:g}) or raise process.t_min"
        )


def log_progress(done: int, steps: int, loss: Tensor, seconds: float, first: int) -> None:
    """One line per 5 %: step, loss (mean and range over the replicas), seconds, time left."""
    left = seconds / max(1, done - first) * (steps - done)
    log.info(
        f"{100 * done / steps:3.0f} %  step {done}/{steps}  "
        f"loss {loss.mean():.4f} [{loss.min():.4f}, {loss.max():.4f}]  "
        f"{seconds:.1f} s, {left:.1f} s left"
    )
