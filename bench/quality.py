"""Rows: seconds of training to a fixed quality, the drift's fit included, against peers.

Each budget is a training of its own with its whole schedule; between two the seconds are
interpolated. The ratio is taken for each seed. Who never gets there counts with the largest budget,
and who is there at once with the smallest: the ratio is then a bound. The note has the qualities
that were reached, and that of our model untrained, which draws from its mixture: where that meets
the goal for some seed, the row says little of training and is held to no bound.
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
from bench.models import Settings, Stack, linear, stack, trained
from bench.peers import Flow, Karras, train
from ndsm.data import datasets, images
from ndsm.data.training_subset import training_subset
from ndsm.method import autoencoder, fitted_drift, samplers
from ndsm.method.drift_fits import fit_part
from ndsm.method.fitted_drift import Fitted, data_sampler
from ndsm.method.forward_process import grid_of
from ndsm.method.likelihood import log_prob
from ndsm.method.networks import StackedMLP
from ndsm.method.random_streams import Streams
from ndsm.method.settings import AutoencoderSettings, FitSettings, ProcessSettings
from ndsm.metrics import classifier
from ndsm.metrics.distances import energy_distance, spread
from ndsm.metrics.image_metrics import fid
from ndsm.report.frontier import first_passage
from ndsm.study import configuration
from ndsm.study.methods import evaluations_with, settings_of

SEEDS = range(5)
OURS = "ndsm_flow"
PEERS = {"dsm": "dsm of this project", "flow": "flow matching, torchcfm", "karras": "EDM, azula"}
POINTS, SOLVER = 500, 16  # held-out points whose density is taken, and steps of its solver

Values = dict[str, np.ndarray]  # of metrics, the lower the better, by name; (R,) each


@cache
def study() -> Settings:
    """The default study's settings."""
    path = Path(__file__).parents[1] / "config.yaml"
    return configuration.resolve(yaml.safe_load(path.read_text("utf-8")))


@dataclass(frozen=True)
class Goal:
    """A quality that is to be reached.

    Attributes:
        metric: its name: ``samples``, what the task measures of them, or ``kl``.
        value: the value to reach.
        told: what it is, for the reader.
    """

    metric: str
    value: float
    told: str


@dataclass(frozen=True)
class Task:
    """Data, and the qualities that are to be reached.

    Attributes:
        name: of the experiment, whose settings hold.
        subsets: the training points of each replica, (n, d).
        measure: from a replica's number and samples (n, d) to the metric, the lower the better.
        goals: the qualities to reach.
        samples: how many are measured.
        budgets: network evaluations, growing.
        truth: some held-out points (m, d) and their true log-density (m,), where it is known.
    """

    name: str
    subsets: list[Tensor]
    measure: Callable[[int, Tensor], float]
    goals: list[Goal]
    samples: int
    budgets: list[int]
    truth: tuple[Tensor, Tensor] | None = None

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
    told = f"an energy distance of {1.2 / n:g}, 1.2 times that of the training set"
    goals = [Goal("kl", 0.08, "a held-out KL of 0.08 nats"), Goal("samples", 1.2 / n, told)]
    density = datasets.DATASETS["weighted_modes"].log_density(held_out[:POINTS])
    truth = torch.from_numpy(held_out[:POINTS]).float(), torch.from_numpy(density)
    budgets = [125, 250, 500, 1000, 2000, 4000]

    def measure(replica: int, x: Tensor) -> float:
        return energy_distance(x.numpy(), held_out, own)

    return Task("weighted_modes", subsets, measure, goals, samples, budgets, truth)


def latent_digits() -> Task:
    """Codes of 900 images of 8×8 pixels, from an autoencoder for each replica."""
    parts = images.split({"name": "digits"}, None)
    pool, held_out = {"pool": parts["pool"][0]}, parts["held_out"][0]
    rows, labels = map(torch.from_numpy, parts["classifier"])
    judge = classifier.train(rows.float(), labels)
    seen = classifier.see(judge, held_out).features
    own = AutoencoderSettings(**study()["experiments"]["digits_latent"]["autoencoder"])
    x = [torch.from_numpy(training_subset(pool, 900, seed)).float() for seed in SEEDS]
    autoencoders = [
        autoencoder.train(subset, own, seed) for subset, seed in zip(x, SEEDS, strict=True)
    ]

    @torch.no_grad()
    def measure(replica: int, z: Tensor) -> float:
        drawn = autoencoders[replica].decode(z).clamp(0, 1).numpy()
        return fid(classifier.see(judge, drawn).features, seen)

    with torch.no_grad():
        codes = [network.encode(subset) for network, subset in zip(autoencoders, x, strict=True)]
    budgets = [15, 30, 60, 125, 250, 500, 1000]
    near = "an FID of 12, near the autoencoder's ceiling"
    goals = [Goal("samples", 30.0, "an FID of 30"), Goal("samples", 12.0, near)]
    return Task("digits_latent", codes, measure, goals, 800, budgets)


def fits(task: Task) -> tuple[Fitted, list[float]]:
    """Our drift of each replica and its seconds."""
    found, seconds = [], []
    for seed, subset in zip(SEEDS, task.subsets, strict=True):
        start = time.perf_counter()
        found.append(
            fit_part(subset.double().numpy(), FitSettings(**task.settings["drifts"]["gmm"]), seed)
        )
        seconds.append(time.perf_counter() - start)
    return fitted_drift.stack(found).to("cpu", torch.float32), seconds


def measured(task: Task, x: Tensor) -> Values:
    """What the task measures of samples x (R, n, d)."""
    return {"samples": np.array([task.measure(r, own) for r, own in enumerate(x)])}


def kl(task: Task, model: Stack) -> Values:
    """The held-out KL(data ‖ model), where the true density is known."""
    if task.truth is None:
        return {}
    x = task.truth[0].expand(len(SEEDS), -1, -1)
    log_q = log_prob(model.net, model.chain, model.fit, x, model.streams, SOLVER)
    return {"kl": (task.truth[1] - log_q).mean(1).numpy()}


def objective(task: Task, fit: Fitted, name: str, evaluations: int) -> tuple[float, Values]:
    """Seconds of a training of this project, and how good its model is.

    With what the search found best for it, and as many evaluations of points as its peers have.
    """
    own, usual = settings_of(study(), task.name, name), task.settings["training"]
    model = stack(task.subsets, fit, name, own["network"], own["process"])
    number = evaluations_with(usual | {"evaluations": evaluations}, own["training"]["batch"])
    settings = own["training"] | {"evaluations": number, "weight": own.get("weight", 0.0)}
    start = time.perf_counter()
    trained(model, name, **settings)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        y = samplers.prior(model.chain, task.samples, model.streams)
        sampler, number = own["sampling"]["sampler"], own["sampling"]["steps"]
        y = samplers.generate(model.net, y, model.chain, sampler, number, model.streams)
        x = fit.to_data(y)
        return seconds, measured(task, x) | kl(task, model)


def peer(task: Task, fit: Fitted, name: str, evaluations: int) -> tuple[float, Values]:
    """The same of a peer, whose density is not at hand."""
    own, (n, d) = task.settings, task.subsets[0].shape
    torch.manual_seed(0)
    streams = Streams([("bench", n, seed) for seed in SEEDS])
    size = {key: own["network"][key] for key in ("width", "depth")}
    network = StackedMLP(d, **size, streams=streams)
    model = (
        Flow(network)
        if name == "flow"
        else Karras(network, grid_of(ProcessSettings(**own["process"])))
    )
    data = data_sampler(task.subsets, fit)
    start = time.perf_counter()
    train(network, model.loss, data, streams, evaluations, own["training"])
    seconds = time.perf_counter() - start
    with torch.no_grad():
        x = fit.to_data(model.sample(streams.normal(task.samples, d)))
    return seconds, measured(task, x)


@dataclass(frozen=True)
class Curve:
    """Quality against seconds, one entry for each budget.

    Attributes:
        seconds: of each replica, (R,).
        values: the metrics.
    """

    seconds: list[np.ndarray]
    values: list[Values]

    def reaches(self, goals: list[Goal]) -> bool:
        """Whether the last budget is enough for all replicas and all goals that are measured."""
        last = self.values[-1] if self.values else {}
        wanted = [goal for goal in goals if goal.metric in last]
        return bool(last) and all(last[goal.metric].max() <= goal.value for goal in wanted)

    def meets(self, goal: Goal) -> tuple[np.ndarray, np.ndarray, int]:
        """Seconds (R,) to the goal, the qualities then (R,), and how many never got there."""
        seconds, found = np.transpose(self.seconds), [v[goal.metric] for v in self.values]
        costs, quality, never = [], [], 0
        for own, values in zip(seconds, np.transpose(found), strict=True):
            cost = first_passage(own, values, goal.value)
            late, early = np.isnan(cost), values[0] <= goal.value
            costs.append(own[-1] if late else cost)
            quality.append(values[-1] if late else values[0] if early else goal.value)
            never += late
        return np.array(costs), np.array(quality), never


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
    curves = {name: Curve([], []) for name in runs}
    for name, (run, fit) in runs.items():
        run(task, fit, name, 5)  # warm-up
    for budget in task.budgets:
        for name, (run, fit) in runs.items():
            if curves[name].reaches(task.goals):
                continue
            seconds, values = run(task, fit, name, budget)
            own = fit_seconds if name == OURS else np.zeros(len(SEEDS))
            curves[name].seconds.append(np.add(own, seconds / len(SEEDS)))
            curves[name].values.append(values)
    untrained = objective(task, gmm, OURS, 0)[1]
    for goal in task.goals:
        for name, told in PEERS.items():
            if goal.metric in curves[name].values[0]:
                title = f"{task.name}, to {goal.told}: {OURS} with its fit : {told}"
                yield versus(title, curves[OURS], curves[name], goal, untrained)


def versus(title: str, ours: Curve, theirs: Curve, goal: Goal, untrained: Values) -> Row:
    """The row of one goal and one peer."""
    a, our_quality, our_never = ours.meets(goal)
    b, quality, never = theirs.meets(goal)
    told = [
        f"{np.median(seconds):.2g} s to {np.median(values):.2g}"
        for seconds, values in ((a, our_quality), (b, quality))
    ]
    note = f"{len(a)} seeds; in the median {' : '.join(told)}"
    note += f"; {our_never} of ours never got there" if our_never else ""
    note += f"; {never} of theirs never got there" if never else ""
    null = untrained[goal.metric]
    met = int((null <= goal.value).sum())
    note += f"; ours untrained {np.median(null):.2g}, {null.min():.2g} to {null.max():.2g}"
    note += f", which meets the goal in {met} seeds" if met else ""
    return row(title, (b / a).tolist(), "" if met else "≥ 1", note)


def rows() -> Iterator[Row]:
    """All rows of this module, on one thread as in the study's jobs."""
    with one_thread():
        yield from compare(weighted_modes())
        yield from compare(latent_digits())
