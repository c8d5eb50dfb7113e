"""Stage ``drift``: fits the stationary law π of the forward process to each training subset.

The fits: ``drift_fits``. Their covariances: ``tied`` (working coordinates whitened by it) and
``spherical`` (one variance s² for all components: means by EM in the leading principal components,
s² the mean squared residual) give components N(m_k, I), as the exponential kernel needs; ``diag``
and ``full`` keep their own.
"""

import json
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from ndsm.artefacts import drift_file, files
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import of_each, training_subset
from ndsm.errors import Refused
from ndsm.method import fitted_drift
from ndsm.method.drift_fits import fit_part
from ndsm.method.fitted_drift import Fitted, Sampler, data_sampler
from ndsm.method.forward_process import KERNELS, Chain, grid_of
from ndsm.method.random_streams import Streams, clock
from ndsm.method.registry import FITS
from ndsm.method.settings import FitSettings, ProcessSettings, Settings
from ndsm.metrics.distances import energy_distance
from ndsm.vocabulary import Replicas

MISMATCH_POINTS, CHUNK = 2000, 200  # a chunk of them is simulated at once, in the cache


class Noising(ProcessSettings):
    """The process with the largest mismatch of y_N and π that passes without a warning."""

    tolerance: float


def mismatch(chain: Chain, data: Sampler, streams: Streams) -> tuple[list[float], list[float]]:
    """Relative energy distance of y_N to draws from π, and of draws to draws, per replica."""
    x_0 = data(streams.uniform(MISMATCH_POINTS))
    y_end = torch.cat([chain.simulate(x, chain.steps, streams) for x in x_0.split(CHUNK, 1)], 1)
    draws = [chain.drift.sample(MISMATCH_POINTS, streams) for _ in range(2)]
    triples = [[y.numpy() for y in triple] for triple in zip(y_end, *draws, strict=True)]
    distance = [round(energy_distance(y, a), 6) for y, a, _ in triples]
    return distance, [round(energy_distance(b, a), 6) for _, a, b in triples]


class Job(Settings):
    """What a job is given; the process only where a method noises with the drift."""

    experiment: str
    replicas: Replicas
    fit: FitSettings
    process: Noising | None = None


def fit_logged(x: np.ndarray, settings: FitSettings, seed: int, labels: np.ndarray) -> Fitted:
    """``drift_fits.fit_part``, its warnings as lines of the log."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = fit_part(x, settings, seed, labels)
    for message in {str(warning.message) for warning in caught}:
        print(f"warning: {message}", flush=True)
    return fit


def main(
    data: Annotated[list[Path], typer.Option(help="one file, or one for each replica")],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
) -> None:
    """Fits one drift to each replica's training subset and measures how far y_N is from π.

    The latter only where a method noises with it: a baseline is drawn from, no more.
    """
    start, job, inputs = time.perf_counter(), Job.model_validate(spec), Inputs()
    replicas = job.replicas
    tensors = of_each(inputs, data, spec)
    subsets = [training_subset(t, *r) for t, r in zip(tensors, replicas, strict=True)]
    if FITS[job.fit.fit].mixture:
        import sklearn.mixture  # noqa: F401  its start does not belong to the fit's time
    fits, seconds = [], []
    for (n_train, seed), table, subset in zip(replicas, tensors, subsets, strict=True):
        x = subset.double().numpy()
        describe_columns(x, job.experiment)
        labels = training_subset(table, n_train, seed, of="pool_labels").numpy()
        began = clock("cpu")
        fits.append(fit_logged(x, job.fit, seed, labels))
        seconds.append(round(clock("cpu") - began, 4))
        components = fits[-1].mixture.means.shape[1]
        print(f"n_train {n_train}, seed {seed}: K = {components}, {seconds[-1]} s", flush=True)
    whole = fitted_drift.stack(fits).to("cpu", torch.float32)
    end: dict[str, Any] = {}
    if process := job.process:
        streams = Streams([("mismatch", job.experiment, *r) for r in replicas])
        times = grid_of(process)
        chain = Chain(whole.mixture, KERNELS[process.kernel], times)
        distance, floor = mismatch(chain, data_sampler(subsets, whole), streams)
        report_mismatch(distance, process)
        end = {"T": process.T, "times": [float(f"{t:.6g}") for t in times]}
        end |= {"mismatch": distance, "mismatch_floor": floor}
    drift_file.write(
        out,
        whole,
        files.provenance(
            spec,
            inputs.digests,
            seconds=round(time.perf_counter() - start, 3),
            fit_seconds=seconds,
            n_components=[fit.mixture.means.shape[1] for fit in fits],
            **end,
        ),
    )


def describe_columns(x: np.ndarray, experiment: str) -> None:
    """Logs constant columns; refuses data that do not vary at all."""
    constant = int((x.std(0) == 0).sum())
    if constant == x.shape[1]:
        raise Refused(f"{experiment}: all training points are equal; no drift can be fitted")
    if constant:
        print(f"warning: {constant} of {x.shape[1]} columns are constant; EM regularises them")


def report_mismatch(distance: list[float], process: Noising) -> None:
    """Logs how far y_N is from π, with the remedy where it passes the tolerance.

    Raises:
        Refused: it is not a number: the chain has run away.
    """
    tolerance, T, euler = process.tolerance, process.T, process.kernel == "euler"  # noqa: N806
    if not np.isfinite(distance).all():
        remedy = "raise process.steps, or take kernel exponential" if euler else "lower process.T"
        raise Refused(f"y_N is not finite at T = {T:g}, kernel {process.kernel}: {remedy}")
    worst = max(distance)
    print(f"mismatch of y_N and π: {worst:.4g} at worst, tolerance {tolerance:g}, T = {T:g}")
    if worst > tolerance:
        remedy = "more process.steps or " * euler + "a larger process.T"
        print(f"warning: y_N is further from π than process.tolerance; {remedy} may help")


if __name__ == "__main__":
    files.run(main)
