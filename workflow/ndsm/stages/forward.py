"""Stage ``forward``: snapshots of the forward process, linear beside nonlinear, in data units."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer

from ndsm.artefacts import drift_file, files, reading
from ndsm.data.training_subset import training_subset
from ndsm.method.forward_process import KERNELS, Chain, grid_of
from ndsm.method.random_streams import Streams
from ndsm.method.settings import ProcessSettings, Settings
from ndsm.vocabulary import Replicas

POINTS = 2000
SHOWN = (0.0, 0.02, 0.1, 0.5)  # times, and the process's end after them


class Job(Settings):
    """What a job is given; ``n_train`` and ``seed`` of the one replica that is shown."""

    n_train: int
    seed: int
    replicas: Replicas
    process: ProcessSettings


def main(
    data: Annotated[Path, typer.Option()],
    drift: Annotated[Path, typer.Option()],
    drift_ou: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
) -> None:
    """Writes process, t, x0, x1: the first two coordinates of particles at several times."""
    start, job, frames = time.perf_counter(), Job.model_validate(spec), []
    process = job.process
    tensors = reading.read_tensors(data, {"pool": "n d"}, spec)
    shown = job.replicas.index((job.n_train, job.seed))
    x = training_subset(tensors, job.n_train, job.seed)
    # The linear process is called ou and the other gmm, whatever the study calls their drifts.
    for name, (path, called) in {"ou": (drift_ou, "linear"), "gmm": (drift, "fitted")}.items():
        fit = drift_file.read(path, "cpu", spec, called).one(shown)
        streams = Streams([("forward", name)])
        y = fit.to_working(x[(streams.uniform(POINTS)[0] * len(x)).long()].unsqueeze(0))
        times = grid_of(process)
        chain, reached = Chain(fit.mixture, KERNELS[process.kernel], times), 0
        for t in (*SHOWN, process.T):
            index = int(torch.searchsorted(times, t).clamp(max=len(times) - 1))
            y, reached = chain.simulate(y, index, streams, reached), index
            frames.append(snapshot(name, round(times[index].item(), 3), fit.to_data(y)))
        prior = fit.mixture.sample(POINTS, streams)
        frames.append(snapshot(name, "stationary", fit.to_data(prior)))
    record = files.provenance(spec, seconds=round(time.perf_counter() - start, 3))
    files.write_table(out, pd.concat(frames), record)


def snapshot(process: str, t: float | str, x: torch.Tensor) -> pd.DataFrame:
    """Rows of the particles x (1, B, d) at time t."""
    x0, x1 = x[0, :, :2].T.numpy()
    return pd.DataFrame({"process": process, "t": t, "x0": x0, "x1": x1})


if __name__ == "__main__":
    files.run(main)
