"""Stage ``sample``: draws from each trained model, or from the fitted mixture itself.

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

from ndsm import fitted, latent, samplers, store
from ndsm.fitted import Fitted
from ndsm.model import trained
from ndsm.streams import Streams, pick_device
from ndsm.subset import of_each, training_subset

CHUNK = 200  # samples of a replica drawn together: what is between them stays in the cache
SHOWN = 2000  # codes kept beside the images, for a figure


def draw(fit: Fitted, weights: Path, spec: dict[str, Any], device: str) -> tuple[Tensor, int]:
    """Samples of the trained stack, (R, n, d) in working coordinates; evaluations per sample."""
    sampling = spec["sampling"]
    streams = Streams([("sample", spec["experiment"], *r) for r in spec["replicas"]], device)
    net, chain = trained(fit, spec, streams, weights)
    how = chain.times, sampling["sampler"], sampling["steps"], streams
    y = [
        samplers.generate(net, samplers.prior(chain, min(CHUNK, left), streams), *how)
        for left in range(sampling["samples"], 0, -CHUNK)
    ]
    per_sample = samplers.evaluations(sampling["sampler"], sampling["steps"]) * net.evaluations
    return torch.cat(y, 1), per_sample


def resampled(data: list[Path], spec: dict[str, Any], device: str) -> Tensor:
    """Draws, with replacement, of each replica's training points, (R, n, d)."""
    replicas = spec["replicas"]
    streams = Streams([("resample", spec["experiment"], *r) for r in replicas], device)
    points = []
    for table, replica, u in zip(
        of_each(data, spec), replicas, streams.uniform(spec["sampling"]["samples"]), strict=True
    ):
        x = training_subset(table, *replica).to(device)
        points.append(x[(u * len(x)).long()])
    return torch.stack(points)


def decoded(codes: Tensor, autoencoders: list[Path], device: str) -> Tensor:
    """Images (R, n, pixels) of codes (R, n, d); half precision is finer than 256 levels."""
    networks = [latent.load(path, device) for path in autoencoders]
    each = networks if len(networks) == len(codes) else networks * len(codes)
    return torch.stack([net.decode(z).half() for net, z in zip(each, codes, strict=True)])


def refuse_runaways(samples: Tensor, replicas: list[list[int]]) -> None:
    """Stops before samples (R, n, d) are written that are not finite, as of a bad training.

    Raises:
        store.Refused: with the replica and the remedy.
    """
    bad = (~samples.isfinite()).any(-1).sum(-1).tolist()
    for (n_train, seed), number in zip(replicas, bad, strict=True):
        if number:
            raise store.Refused(
                f"samples of n_train={n_train}, seed={seed}: {number} of {samples.shape[1]} are not"
                " finite; see the log of its training, and lower training.learning_rate"
            )


@torch.no_grad()
def main(
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    drift: Annotated[Path | None, typer.Option(help="none: draw training points")] = None,
    train: Annotated[Path | None, typer.Option(help="none: draw from the drift's law")] = None,
    autoencoder: Annotated[list[Path], typer.Option(help="one file, or one per replica")] = [],  # noqa: B006
) -> None:
    """Draws the samples of one part of one method."""
    device = pick_device(spec["device"])
    start, evaluations = time.perf_counter(), 0
    if drift is None:
        x = resampled(autoencoder, spec, device)
    else:
        fit = fitted.read(drift, device, spec)
        if train is None:
            keys = [("mixture", spec["experiment"], *replica) for replica in spec["replicas"]]
            y = fit.mixture.sample(spec["sampling"]["samples"], Streams(keys, device))
        else:
            y, evaluations = draw(fit, train, spec, device)
        x = fit.to_data(y).float()
    tensors = {"samples": x}
    refuse_runaways(x, spec["replicas"])
    if autoencoder:
        tensors = {"samples": decoded(x, autoencoder, device), "codes": x[:, :SHOWN].contiguous()}
    seconds = round(time.perf_counter() - start, 3)
    record = store.provenance(
        spec | {"device": device}, seconds=seconds, network_evaluations=evaluations
    )
    store.write_tensors(out, {name: t.cpu() for name, t in tensors.items()}, record)
    print(f"{x.shape[0]} replicas × {x.shape[1]} samples in {seconds} s", flush=True)


if __name__ == "__main__":
    store.run(main)
