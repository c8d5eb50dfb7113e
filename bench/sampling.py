"""Rows: seconds for 10,000 vectors of a given quality, our samplers against each of azula's.

With the linear drift one trained network serves both: its denoiser is Karras's. Each sampler takes
the fewest steps on a list with which its energy distance, in the mean over the replicas, is within
a quarter of that of the probability flow solved exactly. A last row has our own model, trained as
long on the same data: its draws start from the mixture, all that it has untrained. Where those are
good enough already the row is held to no bound.
"""

from collections.abc import Callable, Iterator
from functools import partial

import azula.sample
import numpy as np
import torch
from torch import Tensor

from bench.measure import Row, one_thread, ratios, row
from bench.models import Stack, linear, stack, trained
from bench.peers import Karras
from bench.quality import OURS, study
from ndsm.data import datasets
from ndsm.data.training_subset import training_subset
from ndsm.method import fitted_drift, samplers
from ndsm.method.drift_fits import fit_part
from ndsm.method.settings import FitSettings
from ndsm.metrics.distances import energy_distance, spread

REPLICAS, SAMPLES, MEASURED, MANY, MARGIN = 4, 10_000, 3000, 100, 1.25
CHUNK = 1500  # of a replica's vectors at once, for all samplers: what is between stays in the cache
STEPS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64]
PEERS = ["DDIM", "Heun", "zAB", "vAB", "zEAB", "xEAB"]  # its Euler does what its DDIM does

Generator = Callable[[Tensor, int], Tensor]  # from noise and a number of steps to samples (R, n, d)


def in_chunks(noise: Tensor, carry: Callable[[Tensor], Tensor]) -> Tensor:
    """Some vectors at a time."""
    return torch.cat([carry(part) for part in noise.split(CHUNK, 1)], 1)


def model(
    objective: str, subsets: list[Tensor], fit: fitted_drift.Fitted, **network: bool
) -> Stack:
    """A trained stack of ``clusters16``, its averaged weights in place."""
    own = study()["experiments"]["clusters16"]
    made = stack(subsets, fit, objective, own["network"] | network, own["process"])
    trained(made, objective, **own["training"])
    return made


def carried(model: Stack, y: Tensor, steps: int) -> Tensor:
    """Samples of a stack by Adams, from noise y (R, n, d)."""
    return samplers.generate(model.net, y, model.chain, "adams", steps, model.streams)


def rows() -> Iterator[Row]:
    """All rows of this module, on one thread as in the study's jobs."""
    own, data = study()["experiments"]["clusters16"], datasets.prepare({"name": "clusters16"}, 1)
    seeds, n = range(REPLICAS), max(own["n_train"])
    subsets = [torch.from_numpy(training_subset(data, n, seed)).float() for seed in seeds]
    settings = FitSettings(**own["drifts"]["gmm"])
    parts = [fit_part(x.double().numpy(), settings, s) for s, x in enumerate(subsets)]
    # Karras's denoiser gives the network y alone; the linear drift, −y, would tell it nothing new.
    dsm = model("dsm", subsets, linear(subsets), sees_drift=False)
    own_model = model(OURS, subsets, fitted_drift.stack(parts).to("cpu", torch.float32))
    karras = Karras(dsm.net.network, dsm.chain.times)
    noise, held_out = dsm.streams.normal(SAMPLES, 16), data["held_out"]
    own_spread, setting = spread(held_out), f"d = {noise.shape[-1]}, {REPLICAS} replicas"

    def distance(fit: fitted_drift.Fitted, sampler: Generator, steps: int) -> float:
        y = fit.to_data(sampler(noise[:, :MEASURED], steps))
        return float(np.mean([energy_distance(x.numpy(), held_out, own_spread) for x in y]))

    def cheapest(fit: fitted_drift.Fitted, sampler: Generator) -> int:
        within = (steps for steps in STEPS if distance(fit, sampler, steps) <= goal)
        return next(within, STEPS[-1])

    def adams(noise: Tensor, steps: int) -> Tensor:
        return in_chunks(noise, lambda y: carried(dsm, y, steps))

    def nonlinear(noise: Tensor, steps: int) -> Tensor:
        chain, streams = own_model.chain, own_model.streams
        return in_chunks(  # of the noise only the number is used
            noise,
            lambda part: carried(own_model, samplers.prior(chain, part.shape[1], streams), steps),
        )

    def theirs(name: str) -> Generator:
        sampler = getattr(azula.sample, f"{name}Sampler")
        return lambda noise, steps: in_chunks(noise, lambda y: karras.sample(y, sampler, steps))

    with torch.no_grad(), one_thread():
        goal = MARGIN * distance(dsm.fit, adams, MANY)
        few, fewer = cheapest(dsm.fit, adams), cheapest(own_model.fit, nonlinear)
        for name in PEERS:
            steps = cheapest(dsm.fit, theirs(name))
            peer = partial(theirs(name), noise, steps)
            reached = f"{distance(dsm.fit, theirs(name), steps):.2g} in {steps} steps"
            ours = f"{distance(dsm.fit, adams, few):.2g} in {few} steps"
            found = ratios(partial(adams, noise, few), peer, 3)
            note = f"{setting}, one network; energy distance {ours} : {reached}"
            yield row(f"10,000 samples: adams : azula's {name}", found, "≥ 1", note)
        found = ratios(partial(nonlinear, noise, fewer), peer, 3)
        ours = f"{distance(own_model.fit, nonlinear, fewer):.2g} in {fewer} steps"
        title = f"10,000 samples: {OURS}, its prior included : azula's {name}"
        note = f"{setting}; energy distance {ours} : {reached}"
        untrained = distance(own_model.fit, nonlinear, 0)
        note += f"; ours untrained {untrained:.2g}" + ", within the goal" * (untrained <= goal)
        yield row(title, found, "≥ 1" if untrained > goal else "", note)
