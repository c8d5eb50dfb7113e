"""Stage ``train``: one job trains a stack of score networks, one per replica [n_train, seed]."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from ndsm.artefacts import drift_file, files
from ndsm.artefacts.checkpoint import Checkpoint
from ndsm.artefacts.model import build
from ndsm.data.training_subset import of_each, training_subset
from ndsm.errors import Refused
from ndsm.method import objectives
from ndsm.method.control_variate import LearnedAlpha
from ndsm.method.fitted_drift import Sampler, data_sampler
from ndsm.method.forward_process import Chain
from ndsm.method.networks import ScoreNet
from ndsm.method.optimiser import Adam, learning_rate
from ndsm.method.random_streams import Streams, pick_device
from ndsm.method.registry import BRIDGE, DATA, OBJECTIVES
from ndsm.method.training_examples import Bridges, Examples, FromData, Pool, most_laps
from ndsm.study import code_dependencies

EXPLODED = 1e6  # a loss above this per dimension, or NaN, is a diverged training


def examples(
    chain: Chain, data: Sampler, objective: str, settings: dict[str, Any], streams: Streams
) -> Examples:
    """What an objective learns from.

    Args:
        chain: the forward chain.
        data: see ``fitted_drift.data_sampler``.
        objective: a key of ``OBJECTIVES``.
        settings: of the training, with ``evaluations``, ``batch`` and ``pool``.
        streams: one generator per replica.
    """
    goal = OBJECTIVES[objective]
    if goal.examples == DATA:
        return FromData(chain, data)
    if goal.examples == BRIDGE:
        return Bridges(chain, data, straight=objective == "flow_matching")
    laps, most = settings["pool"], most_laps(settings["evaluations"] // goal.evaluations)
    if laps > most:
        print(f"training.pool: {laps} is too much for so few steps, {most} is taken", flush=True)
    pool = Pool(chain, data, settings["batch"], min(laps, most), streams)
    replicas, particles = pool.index.shape
    mb = (pool.y.nbytes + pool.index.nbytes) / 1e6
    print(f"pool of {particles} particles a replica, {mb:.1f} MB for {replicas}", flush=True)
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
    settings: dict[str, Any],
    streams: Streams,
    checkpoint: Checkpoint | None = None,
    learned: LearnedAlpha | None = None,
    weight: float = 0.0,
) -> tuple[list[Tensor], list[Tensor]]:
    """Trains the stack and returns its averaged (EMA) weights and the losses at log ticks.

    Args:
        net: the score network of R replicas; trained in place.
        source: see ``training_examples``.
        objective: a key of ``OBJECTIVES``.
        settings: ``evaluations`` a particle, ``batch``, ``learning_rate``, ``ema`` (see ``Adam``).
        streams: one generator per replica.
        checkpoint: where to keep and find an interrupted training.
        learned: the α of ``ndsm_cv``, if it is to be learned.
        weight: w of the objectives' λ = v e^{wt}.

    Raises:
        Refused: if the loss explodes, with the step, the time bin and the remedy.
    """
    goal, batch, d = OBJECTIVES[objective], settings["batch"], net.drift.means.shape[-1]
    loss_of, function = (
        learned.loss if learned else objectives.loss(objective),
        getattr(net, goal.learns),
    )
    steps, rate = settings["evaluations"] // goal.evaluations, settings["learning_rate"]
    weights = list(net.parameters())
    adam, losses = Adam(weights, settings["ema"]), Losses(net.drift.means, steps, rate)
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
    print(
        f"{100 * done / steps:3.0f} %  step {done}/{steps}  "
        f"loss {loss.mean():.4f} [{loss.min():.4f}, {loss.max():.4f}]  "
        f"{seconds:.1f} s, {left:.1f} s left",
        flush=True,
    )


def main(
    data: Annotated[list[Path], typer.Option(help="one file, or one for each replica")],
    drift: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    known: Annotated[Path | None, typer.Option(help="the mixture of dsm_mixture")] = None,
) -> None:
    """Trains one part of one method."""
    device = pick_device(spec["device"])
    fit = drift_file.read(drift, device, spec)
    settings, replicas = spec["training"], spec["replicas"]
    subsets = [training_subset(t, *r) for t, r in zip(of_each(data, spec), replicas, strict=True)]
    streams = Streams([("train", spec["experiment"], *r) for r in replicas], device)
    mixture = drift_file.read(known, device, spec, "known") if known else None
    net, chain = build(fit, spec, streams, mixture)
    learned = LearnedAlpha(len(subsets), chain.times) if spec["alpha"] else None
    if spec["equivariant"]:  # the orbits under g x = 1 − x; sampling averages the network over g
        subsets = [torch.cat([subset, 1 - subset]) for subset in subsets]
    points = data_sampler(subsets, fit)
    cost = OBJECTIVES[spec["objective"]].evaluations
    steps = settings["evaluations"] // cost
    names = [name for name, _ in net.network.named_parameters()]
    spec = spec | {"device": device}
    read = [*data, drift, *([known] if known else []), *code_dependencies.files("train")]
    with Checkpoint(out, spec, read, device) as checkpoint:
        source = examples(chain, points, spec["objective"], settings, streams)
        ema, losses = train(
            net,
            source,
            spec["objective"],
            settings,
            streams,
            checkpoint=checkpoint,
            learned=learned,
            weight=spec["weight"],
        )
        files.write_tensors(
            out,
            {name: weight.cpu() for name, weight in zip(names, ema, strict=True)},
            files.provenance(
                spec,
                seconds=round(checkpoint.seconds, 3),
                replicas=len(subsets),
                parameters=sum(w[0].numel() for w in ema),
                network_evaluations=steps * cost * settings["batch"],
                iterations=steps,
                final_loss=[round(value, 6) for value in losses[-1].tolist()],
            ),
        )


if __name__ == "__main__":
    files.run(main)
