"""Stage ``classifier``: trains the network behind the image metrics."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ndsm.artefacts import files
from ndsm.artefacts.reading import Inputs
from ndsm.data.datasets import DATASETS
from ndsm.data.images import split
from ndsm.method.settings import Settings
from ndsm.metrics.classifier import see, train


class Job(Settings):
    """What a job is given: of the dataset the name and the side of its images."""

    dataset: dict[str, Any]


def main(
    out: Annotated[Path, typer.Option(help="safetensors to write")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    source: Annotated[Path | None, typer.Option(help="what the source stage wrote")] = None,
) -> None:
    """Trains the evaluation classifier of a dataset of images and measures its accuracy."""
    start, job, inputs = time.perf_counter(), Job.model_validate(spec), Inputs()
    shapes = DATASETS[job.dataset["name"]].fetches
    parts = split(job.dataset, inputs.arrays(source, shapes) if source else None)
    images, labels = parts["classifier"]
    network = train(torch.from_numpy(images).float(), torch.from_numpy(labels))
    held_out, classes = parts["held_out"]
    accuracy = float((see(network, held_out).probabilities.argmax(1) == classes).mean())
    print(f"accuracy on {len(classes)} held-out images {accuracy:.4f}", flush=True)
    seconds = time.perf_counter() - start
    record = files.provenance(spec, inputs.digests, accuracy=accuracy, seconds=seconds)
    files.write_tensors(out, network.state_dict(), record)


if __name__ == "__main__":
    files.run(main)
