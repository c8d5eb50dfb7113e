r"""Stage ``gradients``: mean and variance of each objective and of its gradient (claims C3, C4).

At a fixed network of random weights, over draws of a jump that takes h and arrives at time t:

    objective variance   Var ℓ
    gradient variance    tr Cov ∇_θ ℓ
    gradient bias        ⟨E ∇_θ ℓ, E ∇_θ ℓ_dsm⟩ / ‖E ∇_θ ℓ_dsm‖² − 1, for the linear drift, where
                         DSM's closed form is the truth

The gradient of every single draw comes from a stack of as many copies of the network.
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

from ndsm import store
from ndsm.drift import fit_ou, fit_part
from ndsm.fitted import Fitted
from ndsm.mixture import Mixture
from ndsm.nets import ScoreNet, StackedMLP
from ndsm.objectives import OBJECTIVES
from ndsm.sde import Chain, Jump, exponential, time_grid
from ndsm.streams import Streams
from ndsm.subset import training_subset

NETWORK = {"width": 16, "depth": 2}
CHUNK = 2048  # draws whose gradients are in memory together
STEPS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]  # h / t of the sweep over the step size
TIMES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]  # t of the sweep over time
T_FIXED, STEP_FIXED = 0.1, 0.1  # t of the first sweep; h / t of the second
BIAS_STEP = 0.5  # h / t at which the bias is measured: a usual stride
BIAS_DRAWS = 32  # times as many draws for the bias as for a variance


@dataclass(frozen=True)
class Moments:
    """Moments over draws: of the objective, and of its gradient (P parameters)."""

    objective_variance: float
    gradient_variance: float
    gradient_mean: Tensor


class Laboratory:
    """One drift, one network, one training subset; draws jumps and measures objectives on them."""

    def __init__(self, fit: Fitted, x: Tensor, seed: int) -> None:
        self.drift, self.data = fit.mixture, fit.to_working(x.unsqueeze(0))
        self.streams = Streams([("gradients", seed)])
        network = StackedMLP(x.shape[1], **NETWORK, streams=self.streams)
        last = network.weights[-1].data
        last.copy_(self.streams.normal(*last.shape[1:]) / math.sqrt(last.shape[1]))
        copies = StackedMLP(x.shape[1], **NETWORK, streams=Streams([("copy",)] * CHUNK))
        for copy, weight in zip(copies.parameters(), network.parameters(), strict=True):
            copy.data.copy_(weight.data.expand_as(copy))
        # One replica per draw: the copies' drift is the one mixture, seen by each.
        tensors = {k: t.expand(CHUNK, *t.shape[1:]) for k, t in self.drift.tensors().items()}
        self.copies = ScoreNet(Mixture(**tensors), copies)

    def jump(self, t: float, h: float) -> Jump:
        """CHUNK jumps that take h and arrive at time t; from the data if h = t."""
        u = self.streams.uniform(CHUNK)
        y = self.data[:, (u[0] * self.data.shape[1]).long()]
        before = t - h
        if before > 0:
            grid = time_grid(min(1e-4, before / 2), before, 30).float()
            y = Chain(self.drift, exponential, grid).simulate(y, 30, self.streams)
        mu, sigma = exponential(self.drift, y, torch.tensor(h).expand(1, CHUNK, 1))
        return Jump(*(a.transpose(0, 1) for a in (mu, sigma, torch.full_like(sigma, t))))

    def measure(self, objective: str, t: float, h: float, draws: int) -> Moments:
        """Moments of an objective over about ``draws`` jumps."""
        goal, weights = OBJECTIVES[objective], list(self.copies.parameters())
        losses, chunks = [], math.ceil(draws / CHUNK)
        total, squares = torch.zeros(1, dtype=torch.float64), 0.0
        for _ in range(chunks):
            jump = self.jump(t, t if goal.from_data else h)
            noise = self.streams.normal(*jump.mu.shape[::2]).transpose(0, 1)
            loss = goal.loss(self.copies, jump, noise)
            rows = torch.autograd.grad(loss.sum(), weights)
            gradient = torch.cat([row.flatten(1) for row in rows], 1).double()
            losses.append(loss.detach().double())
            total = total + gradient.sum(0)
            squares += gradient.square().sum().item()
        n = chunks * CHUNK
        mean = total / n
        variance = (squares / n - mean.square().sum().item()) * n / (n - 1)
        return Moments(torch.cat(losses).var().item(), variance, mean)


def bias(mean: Tensor, truth: Tensor) -> float:
    """Relative error of an expected gradient along the true one."""
    return (torch.dot(mean, truth) / truth.square().sum() - 1).item()


def sweep_rows(laboratory: Laboratory, objectives: list[str], draws: int) -> list[dict[str, Any]]:
    """Variances of each objective against step size and against time."""
    points = [("step", T_FIXED, T_FIXED * ratio) for ratio in STEPS]
    points += [("time", t, t * STEP_FIXED) for t in TIMES]
    rows = []
    for sweep, t, h in points:
        for objective in objectives:
            found = laboratory.measure(objective, t, h, draws)
            rows.append(
                {"objective": objective, "sweep": sweep, "h": h, "t": t}
                | {
                    "objective_variance": found.objective_variance,
                    "gradient_variance": found.gradient_variance,
                }
            )
    return rows


def main(
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
) -> None:
    """Measures the objectives under the linear and the nonlinear drift, for several seeds."""
    start, tensors = time.perf_counter(), store.read_tensors(data)
    draws, n_train = spec["draws"], spec["n_train"]
    curves, rows = [], []
    for seed in range(spec["seeds"]):
        x = training_subset(tensors, n_train, seed)
        points = x.double().numpy()
        fits = {"ou": fit_ou(points), "gmm": fit_part(points, spec, seed)}
        for drift, fit in fits.items():
            laboratory = Laboratory(fit.to("cpu", torch.float32), x, seed)
            names = [name for name in OBJECTIVES if (name == "dsm") <= (drift == "ou")]
            found = sweep_rows(laboratory, names, draws)
            curves += [row | {"drift": drift, "seed": seed} for row in found]
            if drift == "ou":
                means = {
                    name: laboratory.measure(
                        name, T_FIXED, BIAS_STEP * T_FIXED, BIAS_DRAWS * draws
                    ).gradient_mean
                    for name in names
                }
                for name in names[1:]:
                    error = bias(means[name], means["dsm"])
                    rows.append((name, seed, "gradient_bias", abs(error)))
            else:
                smallest = [
                    r for r in found if r["sweep"] == "step" and r["h"] == T_FIXED * STEPS[0]
                ]
                for row in smallest:
                    for metric in ("objective_variance", "gradient_variance"):
                        rows.append((row["objective"], seed, metric, row[metric]))
        print(f"seed {seed}: {time.perf_counter() - start:.1f} s", flush=True)
    record = store.provenance(spec, seconds=round(time.perf_counter() - start, 3))
    metrics = pd.DataFrame(rows, columns=["method", "seed", "metric", "value"])
    metrics.insert(0, "experiment", spec["experiment"])
    metrics.insert(2, "n_train", n_train)
    store.write_table(out.with_suffix(".metrics.csv"), metrics, record)
    store.write_table(out, pd.DataFrame(curves), record)


if __name__ == "__main__":
    store.run(main)
