"""Rows: seconds for 10,000 vectors of a given quality, our sampler against each of azula's.

One trained network behind both: with the linear drift its denoiser is Karras's. Each sampler takes
the fewest steps on a list with which it is as good as Heun's method with many, within a tenth.
"""

from collections.abc import Callable, Iterator
from functools import partial

import azula.sample
import torch
from torch import Tensor

from bench.measure import Row, ratios, row
from bench.models import linear, stack, trained
from bench.peers import Karras
from bench.quality import study
from ndsm import datasets, samplers
from ndsm.distances import energy_distance, spread
from ndsm.sample import CHUNK
from ndsm.subset import training_subset

SAMPLES, MANY = 10_000, 200
STEPS = [3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192]
PEERS = ["DDIM", "Euler", "Heun", "zAB", "vAB", "zEAB", "xEAB"]


@torch.no_grad()
def rows() -> Iterator[Row]:
    """All rows of this module."""
    own, data = study()["experiments"]["clusters16"], datasets.prepare({"name": "clusters16"}, 1)
    subset = [torch.from_numpy(training_subset(data, max(own["n_train"]), 0)).float()]
    fit = linear(subset)
    model = stack(subset, fit, "dsm", own["network"], own["process"])
    with torch.enable_grad():
        weights = trained(model, "dsm", **own["training"])
    for weight, average in zip(model.net.parameters(), weights, strict=True):
        weight.copy_(average)
    karras = Karras(model.net.network, model.chain.times)
    noise, held_out = model.streams.normal(SAMPLES, 16), data["held_out"]
    own_spread = spread(held_out)

    def ours(steps: int) -> Tensor:
        how = model.chain.times, "heun", steps, model.streams
        return torch.cat([samplers.generate(model.net, y, *how) for y in noise.split(CHUNK, 1)], 1)

    def theirs(name: str, steps: int) -> Tensor:
        return karras.sample(noise, getattr(azula.sample, f"{name}Sampler"), steps)

    def distance(y: Tensor) -> float:
        return energy_distance(fit.to_data(y)[0].numpy(), held_out, own_spread)

    goal = 1.1 * distance(ours(MANY))

    def cheapest(sampler: Callable[[int], Tensor]) -> int | None:
        return next((steps for steps in STEPS if distance(sampler(steps)) <= goal), None)

    few = cheapest(ours)
    assert few
    for name in PEERS:
        steps = cheapest(partial(theirs, name))
        found = ratios(partial(ours, few), partial(theirs, name, steps or STEPS[-1]))
        note = f"d = 16, to an energy distance of {goal:.3g}; {few} steps of Heun : {steps} steps"
        yield row(f"10,000 samples: ours : azula's {name}", found, "≥ 1", note)
