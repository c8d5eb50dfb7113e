"""Stage ``train``: one job trains a stack of score networks, one for each replica [n_train, seed]."""

import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from ndsm import fitted, store
from ndsm.checkpoint import Checkpoint
from ndsm.datasets import training_subset
from ndsm.fitted import Sampler, data_sampler
from ndsm.model import build
from ndsm.nets import ScoreNet
from ndsm.objectives import OBJECTIVES
from ndsm.sde import Chain, Jump, Pool
from ndsm.streams import Streams, pick_device

BLOCK = 4_000_000  # random numbers drawn at once


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first twentieth of the steps, then a cosine to zero."""
    return peak * min(1.0, 20 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(
    net: ScoreNet,
    chain: Chain,
    data: Sampler,
    objective: str,
    settings: dict[str, Any],
    streams: Streams,
    checkpoint: Checkpoint | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Trains the stack and returns its averaged (EMA) weights and the losses at log ticks.

    Args:
        net: the score network of R replicas; trained in place.
        chain: the forward chain; its drift is the network's.
        data: see ``fitted.data_sampler``.
        objective: a key of ``OBJECTIVES``.
        settings: ``evaluations`` of the network per particle, ``batch``, ``learning_rate``, ``ema``.
        streams: one generator per replica.
        checkpoint: where to keep and find an interrupted training.

    Raises:
        store.Refused: if the loss is not finite, with the step, the time bin and the remedy.
    """
    goal, batch = OBJECTIVES[objective], settings["batch"]
    steps = settings["evaluations"] // goal.evaluations
    weights = list(net.parameters())
    d = net.drift.means.shape[-1]
    adam = torch.optim.Adam(weights, lr=settings["learning_rate"], fused=True)
    ema = [w.detach().clone() for w in weights]
    pool = Pool(chain, data, batch, streams)
    replicas = len(pool.y)
    block = max(1, BLOCK // (replicas * batch * d))
    tick, losses, start, first = max(1, steps // 20), [], time.perf_counter(), 0
    loss_sum = torch.zeros(replicas, device=pool.y.device)
    if checkpoint and (found := checkpoint.load()):
        first = found.restore(weights, ema, adam, pool, streams)

    for step in range(first, steps):
        if (step - first) % block == 0:
            if checkpoint and checkpoint.due():
                checkpoint.save(step, weights, ema, adam, pool, streams)
            noises = streams.normal(block, batch, d).unbind(1)
            uniforms = streams.uniform(block, 2, batch).unbind(1)
        noise, uniform = noises[(step - first) % block], uniforms[(step - first) % block]

        jump = pool.jump(*uniform.unbind(1))
        loss = goal.loss(net, jump, noise)
        adam.zero_grad()
        loss.mean(1).sum().backward()  # replicas share no weights, so the sum trains each alone
        for group in adam.param_groups:
            group["lr"] = learning_rate(step, steps, settings["learning_rate"])
        adam.step()
        pool.move(jump, noise)
        # Early on, the average forgets quickly, so that the first weights do not linger.
        decay = min(settings["ema"], (1 + step) / (10 + step))
        torch._foreach_lerp_(ema, [w.detach() for w in weights], 1 - decay)

        loss_sum += loss.detach().mean(1)
        if (step + 1) % tick == 0:
            refuse_divergence(loss.detach(), loss_sum, jump, chain.times, step, settings)
            losses.append(loss_sum / tick)
            log_progress(step + 1, steps, losses[-1], time.perf_counter() - start, first)
            loss_sum = torch.zeros_like(loss_sum)
    return ema, losses


def refuse_divergence(
    loss: Tensor, loss_sum: Tensor, jump: Jump, times: Tensor, step: int, settings: dict[str, Any]
) -> None:
    """Stops the run if a loss since the last tick is not finite."""
    if loss_sum.isfinite().all():
        return
    bad = ~loss.isfinite()
    t = jump.t.squeeze(-1)[bad] if bad.any() else times
    raise store.Refused(
        f"training diverged at step {step + 1}, t in [{t.min():.3g}, {t.max():.3g}]: "
        f"lower training.learning_rate (now {settings['learning_rate']:g}) or raise process.t_min"
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
    data: Annotated[Path, typer.Option()],
    drift: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
) -> None:
    """Trains one part of one method."""
    device = pick_device(spec["device"])
    tensors, fit = store.read_tensors(data), fitted.read(drift, device)
    settings = spec["training"]
    subsets = [training_subset(tensors, n_train, seed) for n_train, seed in spec["replicas"]]
    streams = Streams([("train", spec["experiment"], *r) for r in spec["replicas"]], device)
    net, chain = build(fit, spec, streams)
    start = time.perf_counter()
    checkpoint = Checkpoint(out, spec)
    ema, losses = train(
        net, chain, data_sampler(subsets, fit), spec["objective"], settings, streams, checkpoint
    )
    cost = OBJECTIVES[spec["objective"]].evaluations
    steps = settings["evaluations"] // cost
    names = [name for name, _ in net.network.named_parameters()]
    store.write_tensors(
        out,
        dict(zip(names, ema, strict=True)),
        store.provenance(
            spec | {"device": device},
            seconds=round(time.perf_counter() - start, 3),
            replicas=len(subsets),
            parameters=sum(w[0].numel() for w in ema),
            network_evaluations=steps * cost * settings["batch"],
            iterations=steps,
            final_loss=[round(value, 6) for value in losses[-1].tolist()],
        ),
    )
    checkpoint.remove()


if __name__ == "__main__":
    store.run(main)
