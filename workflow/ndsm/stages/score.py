r"""Stage ``score``: how far a trained score is from the true one of its own process (claim C3).

    score_error = mean over times of E v(t) ‖s_θ(y, t) − ∇log p_t(y)‖²

Times are those at which the noise √v/a is a given multiple of the data's deviation, in data units:
at equal times a fitted drift, whose unit is the width of one component, has less noise than OU, and
less noise is harder. The process is run from held-out data. With the μ_j, σ_j of M particles' last
jumps,

    p_t(y) ≈ mean_j N(y; μ_j, σ_j²),    ∇log p_t(y) ≈ −Σ_j ρ_j(y) (y − μ_j)/σ_j²,

with ρ_j(y) ∝ N(y; μ_j, σ_j²). Two halves of the particles give independent estimates ŝ₁ and ŝ₂; the
mean of (s_θ − ŝ₁)·(s_θ − ŝ₂) is the squared error without their noise, up to O(1/M). It asks for
jumps wide enough to hold many particles: for strides well above one and times not too small.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from torch import Tensor

from ndsm.artefacts import drift_file, files, model_file
from ndsm.artefacts.metric_table import COLUMNS
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import Chain, Jump, variance
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams, pick_device
from ndsm.method.settings import Settings
from ndsm.vocabulary import UNTRAINED, Replicas

POINTS = 250  # y per time and replica
CHUNK = 10  # of these, against all particles at once: what is between them stays in the cache


class Job(Settings):
    """What a job is given, beside ``ModelSettings``; ``noise`` in deviations of the data."""

    experiment: str
    method: str
    replicas: Replicas
    noise: list[float]


def estimate(y: Tensor, jump: Jump) -> Tensor:
    """∇log of the mixture of the jumps' laws N(μ_j, σ_j²) at y (R, B, d)."""
    precision = jump.sigma.square().reciprocal()  # (R, M, 1)
    normalisation = y.shape[-1] * jump.sigma.log().mT
    scores = []
    for part in y.split(CHUNK, 1):
        logits = -0.5 * torch.cdist(part, jump.mu).square() * precision.mT - normalisation
        weights = logits.softmax(-1) * precision.mT
        scores.append(weights @ jump.mu - weights.sum(-1, keepdim=True) * part)
    return torch.cat(scores, 1)


def noise_index(fit: Fitted, chain: Chain, x: Tensor, level: float) -> Tensor:
    """The grid index at which √v/a is ``level`` deviations of the data x (M, d); (R, 1).

    Raises:
        Refused: there is less noise than that even at time T.
    """
    unit = (fit.factor.square().sum((1, 2)) / fit.factor.shape[-1]).sqrt()  # √ mean variance
    sigma = level * x.var(0).mean().sqrt() / unit
    t, T = 0.5 * torch.log1p(sigma**2), chain.times[-1].item()  # noqa: N806
    if t.max() > T:
        raise Refused(
            f"score.noise: {level:g} is reached at t = {t.max():.3g}, after process.T, {T:g}; "
            "lower the level or raise T"
        )
    return torch.searchsorted(chain.times, t).unsqueeze(1)


def score_error(net: ScoreNet, chain: Chain, x: Tensor, n: Tensor, streams: Streams) -> Tensor:
    """E v ‖s_θ − ∇log p_n‖² of each replica, (R,).

    Args:
        net: the score network.
        chain: its forward chain.
        x: (R, M, d) held-out data in working coordinates.
        n: (R, 1) indices of the times in the chain's grid.
        streams: one generator per replica.
    """
    # Before the simulation, which draws as much as the largest n of the stack asks for.
    noise = streams.normal(POINTS, x.shape[-1])
    jump = chain.last_jump(x, n, streams)
    ours, *halves = (
        Jump(*(part[:, rows] for part in vars(jump).values()))
        for rows in (slice(POINTS), slice(POINTS, None, 2), slice(POINTS + 1, None, 2))
    )
    y = ours.mu + ours.sigma * noise
    s = net(y, ours.t)
    first, second = (s - estimate(y, half) for half in halves)
    return (variance(ours.t) * first * second).sum(-1).mean(1)


@torch.no_grad()
def main(
    data: Annotated[Path, typer.Option()],
    drift: Annotated[Path, typer.Option()],
    train: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    known: Annotated[Path | None, typer.Option(help="the mixture of dsm_mixture")] = None,
) -> None:
    """Writes the tidy rows of ``score_error`` for one part of a method, and of it untrained."""
    start, job, inputs = time.perf_counter(), Job.model_validate(spec), Inputs()
    device, replicas = pick_device(spec["device"]), job.replicas
    fit = drift_file.read(inputs, drift, device, spec)

    def streams(*level: float) -> Streams:
        return Streams([("score", job.experiment, *r, *level) for r in replicas], device)

    mixture = drift_file.read(inputs, known, device, spec, "known") if known else None
    tensors = inputs.tensors(data, {"held_out": "m d", "real": "s n d"}, spec)
    held_out = torch.cat([tensors["held_out"], *tensors["real"][:2]]).to(device)
    x = fit.to_working(held_out.expand(len(replicas), -1, -1))
    rows = []
    for method, weights in {job.method: train, job.method + UNTRAINED: None}.items():
        net, chain = model_file.read(inputs, weights, fit, spec, streams(), mixture)
        each = [
            score_error(net, chain, x, noise_index(fit, chain, held_out, level), streams(level))
            for level in job.noise
        ]
        errors = torch.stack(each).mean(0).tolist()
        rows += [
            (job.experiment, method, n_train, seed, "score_error", error)
            for (n_train, seed), error in zip(replicas, errors, strict=True)
        ]
    record = files.provenance(spec, inputs.digests, seconds=round(time.perf_counter() - start, 3))
    files.write_table(out, pd.DataFrame(rows, columns=COLUMNS), record)
    print("\n".join(f"{m}, n_train {n}, seed {s}: {value:.5f}" for _, m, n, s, _, value in rows))


if __name__ == "__main__":
    files.run(main)
