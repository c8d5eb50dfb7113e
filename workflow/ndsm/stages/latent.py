"""Latent stage: the autoencoder of an experiment in latent space, and the codes of its images.

In the strict form one autoencoder is trained per replica [n_train, seed], on its training subset
and nothing else; with ``sees: all`` one alone, on all images that there are to train on. All
methods share it.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from ndsm.artefacts import files
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import training_subset
from ndsm.errors import Refused
from ndsm.method.autoencoder import Autoencoder, train
from ndsm.method.random_streams import clock, pick_device
from ndsm.method.settings import AutoencoderSettings, Settings


class Job(Settings):
    """What a job is given."""

    autoencoder: AutoencoderSettings
    replica: tuple[int, int] | None  # n_train and seed; none for one autoencoder of all images


def rmse(network: Autoencoder, x: Tensor) -> float:
    """Root mean square error per pixel of the reconstructions of images x (n, pixels)."""
    return math.sqrt((network.decode(network.encode(x)) - x).square().mean().item())


def refuse_divergence(network: Autoencoder, settings: AutoencoderSettings) -> None:
    """Stops before weights that are not finite are written, which could not be read."""
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise Refused(
            "the autoencoder's training diverged: lower autoencoder.learning_rate (now "
            f"{settings.learning_rate:g}) or autoencoder.kl (now {settings.kl:g})"
        )


def main(
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
) -> None:
    """Trains one autoencoder and writes its weights and the codes of the images that it saw.

    The codes are named ``pool`` and ``held_out``, as the points of a file of data, so that what
    follows reads them as it reads data.
    """
    job, device, inputs = Job.model_validate(spec), pick_device(spec["device"]), Inputs()
    shapes = {"pool": "n d", "pool_labels": "n", "held_out": "m d"}
    tensors, replica = inputs.tensors(data, shapes, spec), job.replica
    seen = {key: tensors[key] for key in ("pool", "pool_labels")}
    if replica:
        n_train, seed = replica
        seen = {key: training_subset(tensors, n_train, seed, of=key) for key in seen}
    x, start = seen["pool"].to(device), clock(device)
    network = train(x, job.autoencoder, replica[1] if replica else 0)
    seconds = round(clock(device) - start, 3)
    refuse_divergence(network, job.autoencoder)
    with torch.no_grad():
        codes = network.encode(x)
        errors = {"rmse_seen": rmse(network, x)}
        errors["rmse_held_out"] = rmse(network, tensors["held_out"].to(device))
        held_out = network.encode(tensors["held_out"].to(device))
    print(f"{len(x)} images in {seconds} s; root mean square errors {errors}", flush=True)
    kept = network.state_dict() | {"pool": codes, "pool_labels": seen["pool_labels"]}
    kept["held_out"] = held_out
    kept["pixels"] = torch.tensor(x.shape[1])
    record = files.provenance(spec | {"device": device}, inputs.digests, seconds=seconds, **errors)
    files.write_tensors(out, {name: t.cpu() for name, t in kept.items()}, record)


if __name__ == "__main__":
    files.run(main)
