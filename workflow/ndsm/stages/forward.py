"""Stage ``forward``: noising, linear beside nonlinear, and the way back by trained networks.

Rows are points (x0, x1), the first two coordinates in data units, of a ``process`` at time t:

    snapshot    many particles at a few times, and draws of the stationary law
    noising     paths of some particles from the data, frame by frame
    generation  paths of some draws of the prior, frame by frame, along the probability flow of a
                trained network (that of ``method``), from T back to 0, if the study has trained one
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from torch import Tensor

from ndsm.artefacts import drift_file, files, model_file
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import training_subset
from ndsm.method import samplers
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import KERNELS, Chain, grid_of, time_of_angle
from ndsm.method.random_streams import Streams
from ndsm.method.settings import ProcessSettings, Settings
from ndsm.vocabulary import Replicas

POINTS = 2000  # of a snapshot
SHOWN = (0.0, 0.02, 0.1, 0.5)  # times of snapshots, and the process's end after them
PATHS, FRAMES = 400, 25  # how many paths, and in how many frames, in equal steps of the angle φ


class Job(Settings):
    """What a job is given; ``n_train`` and ``seed`` of the one replica that is shown.

    ``methods`` has the settings of those whose networks lead back, by the process; or none.
    """

    n_train: int
    seed: int
    replicas: Replicas
    process: ProcessSettings
    methods: dict[str, dict[str, Any]]


@torch.no_grad()
def main(
    data: Annotated[Path, typer.Option()],
    drift: Annotated[Path, typer.Option()],
    drift_ou: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    network: Annotated[list[Path], typer.Option(help="of each of spec's methods, if any")] = [],  # noqa: B006
) -> None:
    """Writes process, shows, method, frame, t, x0, x1."""
    start, job, inputs = time.perf_counter(), Job.model_validate(spec), Inputs()
    rows = list[pd.DataFrame]()
    tensors = inputs.tensors(data, {"pool": "n d"}, spec)
    shown = job.replicas.index((job.n_train, job.seed))
    x = training_subset(tensors, job.n_train, job.seed)
    networks = dict(zip(job.methods, network, strict=True))
    # The linear process is called ou and the other gmm, whatever the study calls their drifts.
    for name, (path, called) in {"ou": (drift_ou, "linear"), "gmm": (drift, "fitted")}.items():
        stack = drift_file.read(inputs, path, "cpu", spec, called)
        each = [noised(stack.one(shown), x, job.process, name)]
        if name in networks:
            method = job.methods[name] | {"replicas": spec["replicas"]}
            each.append(generated(inputs, stack, networks[name], method, shown))
        rows += [frame.assign(process=name) for kind in each for frame in kind]
    record = files.provenance(spec, inputs.digests, seconds=round(time.perf_counter() - start, 3))
    columns = "process shows method frame t x0 x1".split()
    files.write_table(out, pd.concat(rows)[columns], record)


def noised(fit: Fitted, x: Tensor, process: ProcessSettings, name: str) -> Iterator[pd.DataFrame]:
    """Snapshots and paths of particles that start at data points x (n, d)."""
    times = grid_of(process)
    chain = Chain(fit.mixture, KERNELS[process.kernel], times)
    at = torch.tensor([*SHOWN, process.T], dtype=torch.float64)
    angles = samplers.angles(chain, FRAMES - 1).flip(0)
    for shows, count, t in (("snapshot", POINTS, at), ("noising", PATHS, time_of_angle(angles))):
        streams = Streams([("forward" if shows == "snapshot" else shows, name)])
        y = fit.to_working(x[(streams.uniform(count)[0] * len(x)).long()].unsqueeze(0))
        reached = 0
        for frame, index in enumerate(torch.searchsorted(times, t.float()).tolist()):
            index = min(index, len(times) - 1)
            y, reached = chain.simulate(y, index, streams, reached), index
            yield rows_of(shows, frame, round(times[index].item(), 3), fit.to_data(y)[0])
        if shows == "snapshot":
            prior = fit.mixture.sample(count, streams)
            yield rows_of(shows, frame + 1, "stationary", fit.to_data(prior)[0])


def generated(
    inputs: Inputs, fit: Fitted, path: Path, method: dict[str, Any], shown: int
) -> Iterator[pd.DataFrame]:
    """Paths of one replica of a method's stack, whose drifts are ``fit``."""
    streams = Streams([("generation", *replica) for replica in method["replicas"]])
    net, chain = model_file.read(inputs, path, fit, method, streams)
    y, phi = samplers.prior(chain, PATHS, streams), samplers.angles(chain, FRAMES - 1)
    departure, times = samplers.flow(net.departure, chain), time_of_angle(phi).tolist()
    for frame, t in enumerate(times):
        if frame:
            y = samplers.heun(departure, y, phi[frame - 1 : frame + 1])
        rows = rows_of("generation", frame, round(abs(t), 3), fit.to_data(y)[shown])
        yield rows.assign(method=method["method"])


def rows_of(shows: str, frame: int, t: float | str, x: Tensor) -> pd.DataFrame:
    """Rows of points x (n, d) at time t, without their process."""
    x0, x1 = x[:, :2].T.double().numpy().round(4)
    return pd.DataFrame({"shows": shows, "method": "", "frame": frame, "t": t, "x0": x0, "x1": x1})


if __name__ == "__main__":
    files.run(main)
