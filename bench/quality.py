"""Rows: seconds of training to a fixed quality, the drift's fit included, against peers.

Each budget is a training of its own with its whole schedule; between two the seconds are
interpolated. The ratio is taken for each seed. A peer that never gets there counts with its largest
budget, and we with our smallest where that suffices: the ratio is then a bound.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from bench.measure import Row, one_thread, row
from bench.models import Settings, linear, stack, trained
from bench.peers import Flow, Karras, train
from ndsm import autoencoder, classifier, config, datasets, fitted, images, samplers
from ndsm.distances import energy_distance, spread
from ndsm.fits import fit_part
from ndsm.fitted import Fitted, data_sampler
from ndsm.image_metrics import fid
from ndsm.nets import StackedMLP
from ndsm.sde import grid_of
from ndsm.streams import Streams
from ndsm.subset import training_subset
from ndsm.verdict import size_to_match

SEEDS = range(5)
OURS = "ndsm_jump"
PEERS = {"dsm": "dsm of this project", "flow": "flow matching, torchcfm", "karras": "EDM, azula"}


@cache
def study() -> Settings:
    """The default study's settings."""
    return config.resolve(yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text()))


@dataclass(frozen=True)
class Task:
    """Data, and the quality that is to be reached.

    Attributes:
        name: of the experiment, whose settings hold.
        subsets: the training points of each replica, (n, d).
        measure: from a replica's number and samples (n, d) to the metric, the lower the better.
        goals: the values to reach, and what each is, for the reader.
        samples: how many are measured.
        budgets: network evaluations, growing.
    """

    name: str
    subsets: list[Tensor]
    measure: Callable[[int, Tensor], float]
    goals: dict[float, str]
    samples: int
    budgets: list[int]

    @property
    def settings(self) -> Settings:
        """The experiment's settings."""
        return study()["experiments"][self.name]


def weighted_modes() -> Task:
    """Nine modes in the plane."""
    n, samples = 2000, 5000
    data = datasets.prepare({"name": "weighted_modes"}, samples)
    held_out = data["held_out"]
    own = spread(held_out)
    subsets = [torch.from_numpy(training_subset(data, n, seed)).float() for seed in SEEDS]
    # Of real data the unbiased distance is zero on average; of the training set itself it is 1/n.
    goals = {1.2 / n: f"an energy distance of {1.2 / n:g}, 1.2 times that of the training set"}
    budgets = [125, 250, 500, 1000, 2000, 4000]

    def measure(replica: int, x: Tensor) -> float:
        return energy_distance(x.numpy(), held_out, own)

    return Task("weighted_modes", subsets, measure, goals, samples, budgets)


def latent_digits() -> Task:
    """Codes of 900 images of 8×8 pixels, from an autoencoder for each replica."""
    parts = images.split({"name": "digits"}, None)
    pool, held_out = {"pool": parts["pool"][0]}, parts["held_out"][0]
    rows, labels = map(torch.from_numpy, parts["classifier"])
    eye = classifier.train(rows.float(), labels)
    seen = classifier.see(eye, held_out).features
    told = study()["experiments"]["digits_latent"]["autoencoder"]
    x = [torch.from_numpy(training_subset(pool, 900, seed)).float() for seed in SEEDS]
    coders = [autoencoder.train(subset, told, seed) for subset, seed in zip(x, SEEDS, strict=True)]

    @torch.no_grad()
    def measure(replica: int, z: Tensor) -> float:
        drawn = coders[replica].decode(z).clamp(0, 1).numpy()
        return fid(classifier.see(eye, drawn).features, seen)

    with torch.no_grad():
        codes = [coder.encode(subset) for coder, subset in zip(coders, x, strict=True)]
    budgets = [15, 30, 60, 125, 250, 500, 1000]
    goals = {30.0: "an FID of 30", 12.0: "an FID of 12, near the autoencoder's ceiling"}
    return Task("digits_latent", codes, measure, goals, 800, budgets)


def fits(task: Task) -> tuple[Fitted, list[float]]:
    """Our drift of each replica and its seconds."""
    found, seconds = [], []
    for seed, subset in zip(SEEDS, task.subsets, strict=True):
        start = time.perf_counter()
        found.append(fit_part(subset.double().numpy(), task.settings["drifts"]["gmm"], seed))
        seconds.append(time.perf_counter() - start)
    return fitted.stack(found).to("cpu", torch.float32), seconds


def objective(task: Task, fit: Fitted, name: str, evaluations: int) -> tuple[float, Tensor]:
    """Seconds of a training of this project, and its samples (R, n, d)."""
    own = task.settings
    model = stack(task.subsets, fit, name, own["network"], own["process"])
    start = time.perf_counter()
    trained(model, name, **own["training"] | {"evaluations": evaluations})
    seconds = time.perf_counter() - start
    with torch.no_grad():
        y = samplers.prior(model.chain, task.samples, model.streams)
        how = model.chain.times, own["sampling"]["sampler"], own["sampling"]["steps"], model.streams
        return seconds, fit.to_data(samplers.generate(model.net, y, *how))


def peer(task: Task, fit: Fitted, name: str, evaluations: int) -> tuple[float, Tensor]:
    """The same of a peer."""
    own, (n, d) = task.settings, task.subsets[0].shape
    torch.manual_seed(0)
    streams = Streams([("bench", n, seed) for seed in SEEDS])
    size = {key: own["network"][key] for key in ("width", "depth")}
    network = StackedMLP(d, **size, streams=streams)
    model = Flow(network) if name == "flow" else Karras(network, grid_of(own["process"]).float())
    data = data_sampler(task.subsets, fit)
    start = time.perf_counter()
    train(network, model.loss, data, streams, evaluations, own["training"])
    seconds = time.perf_counter() - start
    with torch.no_grad():
        return seconds, fit.to_data(model.sample(streams.normal(task.samples, d)))


def compare(task: Task) -> Iterator[Row]:
    """The rows of one task."""
    import sklearn.mixture  # noqa: F401  its start does not belong to the fit's time

    ou, (gmm, fit_seconds) = linear(task.subsets), fits(task)
    runs = {
        OURS: (objective, gmm),
        "dsm": (objective, ou),
        "flow": (peer, ou),
        "karras": (peer, ou),
    }
    costs: dict[str, list[np.ndarray]] = {name: [] for name in runs}
    values: dict[str, list[list[float]]] = {name: [] for name in runs}
    for name, (run, fit) in runs.items():
        run(task, fit, name, 5)  # warm-up
    for budget in task.budgets:
        for name, (run, fit) in runs.items():
            if values[name] and max(values[name][-1]) <= min(task.goals):
                continue
            seconds, samples = run(task, fit, name, budget)
            own = fit_seconds if name == OURS else np.zeros(len(SEEDS))
            costs[name].append(np.add(own, seconds / len(SEEDS)))
            values[name].append([task.measure(r, x) for r, x in enumerate(samples)])
    for goal, quality in task.goals.items():
        times = {
            name: [
                size_to_match(cost, value, goal)
                for cost, value in zip(
                    np.transpose(costs[name]), np.transpose(values[name]), strict=True
                )
            ]
            for name in runs
        }
        for name, told in PEERS.items():
            found = [b.size / a.size for a, b in zip(times[OURS], times[name], strict=True)]
            ours, theirs = (np.median([match.size for match in times[who]]) for who in (OURS, name))
            never = sum(match.censored == "above" for match in times[name])
            note = f"{len(found)} seeds; in the median {ours:.2g} s : {theirs:.2g} s"
            note += f"; {never} of theirs never got there" if never else ""
            yield row(
                f"{task.name}, to {quality}: {OURS} with its fit : {told}", found, "≥ 1", note
            )


def rows() -> Iterator[Row]:
    """All rows of this module, on one thread as in the study's jobs."""
    with one_thread():
        yield from compare(weighted_modes())
        yield from compare(latent_digits())
