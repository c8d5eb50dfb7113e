"""Stage ``sample``: draws from each trained model, or from the fitted mixture itself."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from ndsm import fitted, samplers, store
from ndsm.fitted import Fitted
from ndsm.model import trained
from ndsm.streams import Streams, pick_device

CHUNK = 1000  # samples of a replica carried back together: activations that stay in the cache


@torch.no_grad()
def draw(
    fit: Fitted, weights: dict[str, Tensor], spec: dict[str, Any], device: str
) -> tuple[Tensor, int]:
    """Samples of the trained stack, (R, n, d) in working coordinates; evaluations per sample."""
    sampling = spec["sampling"]
    streams = Streams([("sample", spec["experiment"], *r) for r in spec["replicas"]], device)
    net, chain = trained(fit, spec, streams, weights)
    y = samplers.prior(chain, sampling["samples"], streams)
    how = chain.times, sampling["sampler"], sampling["steps"], streams
    y = torch.cat([samplers.generate(net, part, *how) for part in y.split(CHUNK, 1)], 1)
    return y, samplers.evaluations(sampling["sampler"], sampling["steps"]) * net.evaluations


def main(
    drift: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    train: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Draws the samples of one part of one method."""
    device = pick_device(spec["device"])
    start = time.perf_counter()
    fit, sampling, evaluations = fitted.read(drift, device), spec["sampling"], 0
    if train is None:
        keys = [("mixture", spec["experiment"], *replica) for replica in spec["replicas"]]
        y = fit.mixture.sample(sampling["samples"], Streams(keys, device))
    else:
        y, evaluations = draw(fit, store.read_tensors(train), spec, device)
    seconds = round(time.perf_counter() - start, 3)
    record = store.provenance(
        spec | {"device": device}, seconds=seconds, network_evaluations=evaluations
    )
    store.write_tensors(out, {"samples": fit.to_data(y).float().cpu()}, record)
    print(f"{y.shape[0]} replicas × {y.shape[1]} samples in {seconds} s", flush=True)


if __name__ == "__main__":
    store.run(main)
