"""Stage ``classifier``: trains the network behind the image metrics."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ndsm.artefacts import files
from ndsm.data.images import split
from ndsm.metrics.classifier import see, train


def main(
    out: Annotated[Path, typer.Option(help="safetensors to write")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    source: Annotated[Path | None, typer.Option(help="what the source stage wrote")] = None,
) -> None:
    """Trains the evaluation classifier of a dataset of images and measures its accuracy.

    ``spec`` holds ``dataset``, its name and the side of its images.
    """
    start = time.perf_counter()
    parts = split(spec["dataset"], source)
    images, labels = parts["classifier"]
    network = train(torch.from_numpy(images).float(), torch.from_numpy(labels))
    held_out, classes = parts["held_out"]
    accuracy = float((see(network, held_out).probabilities.argmax(1) == classes).mean())
    print(f"accuracy on {len(classes)} held-out images {accuracy:.4f}", flush=True)
    seconds = time.perf_counter() - start
    record = files.provenance(spec, accuracy=accuracy, seconds=seconds)
    files.write_tensors(out, network.state_dict(), record)


if __name__ == "__main__":
    files.run(main)
