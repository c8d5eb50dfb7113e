r"""Stage ``gradients``: mean and variance of each objective and of its gradient (claims C3, C4).

At a fixed network of random weights, over draws of a jump that takes h and arrives at time t:

    objective variance   Var ℓ
    gradient variance    tr Cov ∇_θ ℓ
    gradient bias        ⟨E ∇_θ ℓ, E ∇_θ ℓ_dsm⟩ / ‖E ∇_θ ℓ_dsm‖² − 1, for the linear drift, where
                         DSM's closed form is the truth

The variances of the claims are those of a network evaluation (a draw's times its evaluations), with
the shortest step, and at the last time (``…_late``), where there is least to gain.

The gradient of every single draw, which the variance asks for, comes from a stack of as many copies
of the network; the expected gradient from the gradient of a mean over many draws.
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from torch import Tensor

from ndsm.artefacts import files
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import training_subset
from ndsm.method import objectives
from ndsm.method.drift_fits import fit_ou, fit_part
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import Chain, Jump, exponential, time_grid
from ndsm.method.mixture import Mixture
from ndsm.method.networks import ScoreNet, StackedMLP
from ndsm.method.random_streams import Streams
from ndsm.method.registry import CHAIN, OBJECTIVES
from ndsm.method.settings import FitSettings, Settings

SCORES = [name for name, goal in OBJECTIVES.items() if goal.learns == "forward"]
NETWORK = {"width": 16, "depth": 2}
CHUNK = 2048  # draws whose gradients are in memory together
BATCH = 65_536  # draws whose mean gradient is taken at once
STEPS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]  # h / t of the sweep over the step size
TIMES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]  # t of the sweep over time
T_FIXED, STEP_FIXED = 0.1, 0.1  # t of the first sweep; h / t of the second
BIAS_STEP = 0.5  # h / t at which the bias is measured: a usual stride
VARIANCES, LATE = ["objective_variance", "gradient_variance"], "_late"
BIAS_DRAWS = 1000  # times as many as for a variance: of two million, plain NDSM is 0.4 % unsure


class Job(Settings):
    """What a job is given; ``draws`` for a variance."""

    experiment: str
    n_train: int
    seeds: int
    draws: int
    fit: FitSettings


@dataclass(frozen=True)
class Moments:
    """Variances over draws: of the objective, and of its gradient summed over the parameters."""

    objective_variance: float
    gradient_variance: float


class Laboratory:
    """One drift, one network, one training subset; draws jumps and measures objectives on them."""

    def __init__(self, fit: Fitted, x: Tensor, seed: int) -> None:
        self.drift, self.data = fit.mixture, fit.to_working(x.unsqueeze(0))
        self.streams = Streams([("gradients", seed)])
        network = StackedMLP(x.shape[1], **NETWORK, streams=self.streams)
        self.net = ScoreNet(self.drift, network)
        last = network.weights[-1].data
        last.copy_(self.streams.normal(*last.shape[1:]) / math.sqrt(last.shape[1]))
        copies = StackedMLP(x.shape[1], **NETWORK, streams=Streams([("copy",)] * CHUNK))
        for copy, weight in zip(copies.parameters(), network.parameters(), strict=True):
            copy.data.copy_(weight.data.expand_as(copy))
        # One replica per draw: the copies' drift is the one mixture, seen by each.
        tensors = {k: t.expand(CHUNK, *t.shape[1:]) for k, t in self.drift.tensors().items()}
        self.copies = ScoreNet(Mixture(**tensors), copies)

    def jump(self, t: float, h: float, draws: int) -> Jump:
        """Jumps (1, draws, ·) that take h and arrive at time t; from the data if h = t."""
        u = self.streams.uniform(draws)
        y = self.data[:, (u[0] * self.data.shape[1]).long()]
        before = t - h
        if before > 0:
            steps = 1 if self.drift.means.shape[1] == 1 else 30  # one component: exact in one
            grid = time_grid(before if steps == 1 else min(1e-4, before / 2), before, steps)
            y = Chain(self.drift, exponential, grid.float()).simulate(y, steps, self.streams)
        mu, sigma = exponential(self.drift, y, torch.tensor(h).expand(1, draws, 1))
        return Jump(mu, sigma, torch.full_like(sigma, t))

    def expected_gradient(self, objective: str, t: float, h: float, draws: int) -> Tensor:
        """E ∇_θ ℓ over about ``draws`` jumps, (P,) for P parameters."""
        goal, weights = OBJECTIVES[objective], list(self.net.parameters())
        total, batches = torch.zeros(1, dtype=torch.float64), math.ceil(draws / BATCH)
        for _ in range(batches):
            jump = self.jump(t, h if goal.examples == CHAIN else t, BATCH)
            noise = self.streams.normal(*jump.mu.shape[1:])
            rows = torch.autograd.grad(
                objectives.loss(objective)(self.net, jump, noise).mean(), weights
            )
            total = total + torch.cat([row.flatten() for row in rows]).double()
        return total / batches

    def measure(self, objective: str, t: float, h: float, draws: int) -> Moments:
        """Variances of an objective over about ``draws`` jumps."""
        goal, weights = OBJECTIVES[objective], list(self.copies.parameters())
        losses, chunks = [], math.ceil(draws / CHUNK)
        total, squares = torch.zeros(1, dtype=torch.float64), 0.0
        for _ in range(chunks):
            together = self.jump(t, h if goal.examples == CHAIN else t, CHUNK)
            jump = Jump(*(part.transpose(0, 1) for part in vars(together).values()))
            noise = self.streams.normal(CHUNK, jump.mu.shape[-1]).transpose(0, 1)
            loss = objectives.loss(objective)(self.copies, jump, noise)
            rows = torch.autograd.grad(loss.sum(), weights)
            gradient = torch.cat([row.flatten(1) for row in rows], 1).double()
            losses.append(loss.detach().double())
            total = total + gradient.sum(0)
            squares += gradient.square().sum().item()
        n = chunks * CHUNK
        mean = total / n
        variance = (squares / n - mean.square().sum().item()) * n / (n - 1)
        return Moments(torch.cat(losses).var().item(), variance)


def sweep(laboratory: Laboratory, objectives: list[str], draws: int) -> pd.DataFrame:
    """Variances of each objective against step size, from the smallest, and against time."""
    points = [("step", T_FIXED, T_FIXED * ratio) for ratio in STEPS]
    points += [("time", t, t * STEP_FIXED) for t in TIMES]
    return pd.DataFrame(
        {"objective": objective, "sweep": kind, "h": h, "t": t}
        | vars(laboratory.measure(objective, t, h, draws))
        for kind, t, h in points
        for objective in objectives
    )


def at_both_ends(curves: pd.DataFrame) -> pd.DataFrame:
    """Variances for an evaluation, with the shortest step and at the latest time, as metrics."""
    curves = curves.rename(columns={"objective": "method"})
    cost = curves.method.map({name: goal.evaluations for name, goal in OBJECTIVES.items()})
    steps, times = (curves[curves.sweep == sweep] for sweep in ("step", "time"))
    ends = {"": steps[steps.h == steps.h.min()], LATE: times[times.t == times.t.max()]}
    return pd.concat(
        (
            rows[VARIANCES]
            .mul(cost.loc[rows.index], axis=0)
            .add_suffix(end)
            .assign(method=rows.method)
        ).melt("method", var_name="metric")
        for end, rows in ends.items()
    )


def biases(laboratory: Laboratory, draws: int) -> pd.DataFrame:
    """The size of the relative error of each expected gradient along DSM's, under the OU drift."""
    step, many = BIAS_STEP * T_FIXED, BIAS_DRAWS * draws
    mean = {name: laboratory.expected_gradient(name, T_FIXED, step, many) for name in SCORES}
    truth = mean.pop("dsm")
    return pd.DataFrame(
        {
            "method": name,
            "metric": "gradient_bias",
            "value": abs((gradient @ truth / truth.square().sum()).item() - 1),
        }
        for name, gradient in mean.items()
    )


def main(
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
) -> None:
    """Measures the objectives under the linear and the nonlinear drift, for several seeds."""
    start, job, inputs = time.perf_counter(), Job.model_validate(spec), Inputs()
    tensors = inputs.tensors(data, {"pool": "n d"}, spec)
    nonlinear = [name for name in SCORES if name != "dsm"]
    curves, metrics = [], []
    for seed in range(job.seeds):
        x = training_subset(tensors, job.n_train, seed)
        points = x.double().numpy()
        ou, gmm = (
            Laboratory(fit.to("cpu", torch.float32), x, seed)
            for fit in (fit_ou(points), fit_part(points, job.fit, seed))
        )
        linear = sweep(ou, SCORES, job.draws).assign(drift="ou", seed=seed)
        curve = sweep(gmm, nonlinear, job.draws).assign(drift="gmm", seed=seed)
        curves += [linear, curve]
        rows = [biases(ou, job.draws), at_both_ends(curve)]
        metrics.append(pd.concat(rows).assign(seed=seed))
        print(f"seed {seed}: {time.perf_counter() - start:.1f} s", flush=True)
    record = files.provenance(spec, inputs.digests, seconds=round(time.perf_counter() - start, 3))
    table = pd.concat(metrics).assign(experiment=job.experiment, n_train=job.n_train)
    files.write_table(out.with_suffix(".metrics.csv"), table, record)
    files.write_table(out, pd.concat(curves), record)


if __name__ == "__main__":
    files.run(main)
