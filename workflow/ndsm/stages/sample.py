"""Stage ``sample``: what each model gives, draws and the log-densities of held-out data.

A method without a network is the fitted mixture itself; an untrained one is its model with F_θ = 0.

In latent space what is drawn are codes, and the samples are the images that they decode to. There
the method ``decoded`` draws from the codes of the training images: the ceiling of all others.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from ndsm.artefacts import autoencoder_file, drift_file, files, model_file
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import of_each, training_subset
from ndsm.errors import Refused
from ndsm.method import likelihood, samplers
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import Chain
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams, pick_device
from ndsm.method.settings import AmountSettings, SamplingSettings, Settings
from ndsm.vocabulary import Replicas, likelihood_points

FAR, MOST_FAR = 100, 0.01  # deviations from the mean of π beyond which a sample has run away; share


class Job(Settings):
    """What a job is given, beside ``ModelSettings`` and ``SamplingSettings`` if it has a network.

    The ceiling, draws of training points, has no objective.
    """

    experiment: str
    replicas: Replicas
    sampling: AmountSettings
    objective: str | None = None
    temperature: float = 1
    likelihood: bool = False


def log_densities(
    net: ScoreNet, chain: Chain, fit: Fitted, x: Tensor, streams: Streams, replicas: Replicas
) -> Tensor:
    """Log-densities (R, m) of points x (R, m, d), with a line on the solver's error."""
    log_prob, steps, change = likelihood.settled(net, chain, fit, x, streams)
    exact = x.shape[-1] <= likelihood.EXACT
    what = "points that have not settled" if exact else "other probes"
    print(
        f"log-density: up to {int(steps.max())} steps; {what} change a mean by up to "
        f"{float(change.max()):.2g} nats"
    )
    for (n_train, seed), each in zip(replicas, change.tolist(), strict=True):
        if each > likelihood.ENOUGH:
            where = f"log-density of n_train={n_train}, seed={seed}"
            print(f"warning: {where} is unsure by {each:.2g} nats", flush=True)
    return log_prob


def unseen(tensors: list[Tensor], replicas: Replicas) -> Tensor:
    """Held-out points of each replica, (R, m, d), of tensors (n, d): one, or one for each."""
    each = tensors if len(tensors) == len(replicas) else tensors * len(replicas)
    pairs = zip(each, replicas, strict=True)
    return torch.stack([x[likelihood_points(seed, *x.shape)] for x, (_, seed) in pairs])


def resampled(tables: list[dict[str, Tensor]], job: Job, device: str) -> Tensor:
    """Draws, with replacement, of each replica's training points, (R, n, d)."""
    streams = Streams([("resample", job.experiment, *r) for r in job.replicas], device)
    uniforms, points = streams.uniform(job.sampling.samples), []
    for table, replica, u in zip(tables, job.replicas, uniforms, strict=True):
        x = training_subset(table, *replica).to(device)
        points.append(x[(u * len(x)).long()])
    return torch.stack(points)


def decoded(inputs: Inputs, codes: Tensor, autoencoders: list[Path], device: str) -> Tensor:
    """Images (R, n, pixels) of codes (R, n, d); half precision is finer than 256 levels."""
    networks = [autoencoder_file.read(inputs, path, device) for path in autoencoders]
    each = networks if len(networks) == len(codes) else networks * len(codes)
    return torch.stack([net.decode(z).half() for net, z in zip(each, codes, strict=True)])


def runaways(y: Tensor, fit: Fitted, replicas: Replicas, trained: bool) -> list[int]:
    """How many samples y (R, n, d) of each replica are far from π, as of a bad training.

    Without one (``trained``) it is the sampler that ran away.

    Raises:
        Refused: more than ``MOST_FAR`` of them, with the replica and the remedy.
    """
    weights, means = fit.mixture.log_weights.exp().unsqueeze(-1), fit.mixture.means
    distance = (y - (weights * means).sum(1, keepdim=True)).abs() / fit.mixture.spread()
    numbers = (~(distance < FAR)).any(-1).sum(-1).tolist()  # nan is far as well
    remedy = "raise sampling.steps or lower process.T"
    if trained:
        remedy = f"see the log of its training, and lower training.learning_rate, or {remedy}"
    for (n_train, seed), number in zip(replicas, numbers, strict=True):
        where = f"samples of n_train={n_train}, seed={seed}: {number} of {y.shape[1]}"
        if number > MOST_FAR * y.shape[1]:
            raise Refused(
                f"{where} are not finite or beyond {FAR} deviations of the data; {remedy}"
            )
        if number:
            print(f"warning: {where} are beyond {FAR} deviations of the data", flush=True)
    return numbers


@torch.no_grad()
def main(
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    drift: Annotated[Path | None, typer.Option(help="none: draw training points")] = None,
    train: Annotated[Path | None, typer.Option(help="none: the untrained model")] = None,
    known: Annotated[Path | None, typer.Option(help="the mixture of dsm_mixture")] = None,
    data: Annotated[Path | None, typer.Option(help="for the densities of held-out data")] = None,
    autoencoder: Annotated[list[Path], typer.Option(help="one file, or one per replica")] = [],  # noqa: B006
) -> None:
    """Draws the samples of one part of one method."""
    job, device, inputs = Job.model_validate(spec), pick_device(spec["device"]), Inputs()
    start, tensors, measured = time.perf_counter(), dict[str, Tensor](), dict[str, Any]()
    if drift is None:
        x = resampled(of_each(inputs, autoencoder, spec), job, device)
    else:
        fit = drift_file.read(inputs, drift, device, spec).tempered(job.temperature)
        name = "mixture" if job.objective == "none" else "sample"
        streams = Streams([(name, job.experiment, *r) for r in job.replicas], device)
        if job.objective == "none":
            y = fit.mixture.sample(job.sampling.samples, streams)
        else:
            sampling = SamplingSettings.model_validate(spec["sampling"])
            mixture = drift_file.read(inputs, known, device, spec, "known") if known else None
            net, chain = model_file.read(inputs, train, fit, spec, streams, mixture)
            y = samplers.draw(net, chain, sampling, streams)
            each = samplers.evaluations(sampling.sampler, sampling.steps)
            measured["network_evaluations"] = each * net.evaluations if train else 0
        measured["runaways"] = runaways(y, fit, job.replicas, train is not None)
        x = fit.to_data(y).float()
    tensors["samples"] = x
    if autoencoder:
        images = x[:, : job.sampling.decoded]
        tensors |= {"codes": x, "samples": decoded(inputs, images, autoencoder, device)}
    seconds = round(time.perf_counter() - start, 3)
    if drift and job.likelihood:
        paths = autoencoder or ([data] if data else [])
        held_out = [inputs.tensors(path, {"held_out": "m d"}, spec) for path in paths]
        points = unseen([each["held_out"] for each in held_out], job.replicas).to(device)
        if job.objective == "none":
            tensors["log_prob"] = fit.log_prob(points)
        else:
            tensors["log_prob"] = log_densities(net, chain, fit, points, streams, job.replicas)
    record = files.provenance(
        spec | {"device": device}, inputs.digests, seconds=seconds, **measured
    )
    files.write_tensors(out, {name: t.cpu().contiguous() for name, t in tensors.items()}, record)
    print(f"{x.shape[0]} replicas × {x.shape[1]} samples in {seconds} s", flush=True)


if __name__ == "__main__":
    files.run(main)
