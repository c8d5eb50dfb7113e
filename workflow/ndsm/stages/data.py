"""Data stage: the dataset of an experiment, split for training, reference and floor."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ndsm.artefacts import files
from ndsm.artefacts.prepared_data import PreparedData
from ndsm.artefacts.reading import Inputs
from ndsm.data.datasets import DATASETS, prepare


def main(
    out: Annotated[Path, typer.Option(help="safetensors to write")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads, help="see ``PreparedData``")],
    source: Annotated[Path | None, typer.Option(help="what the source stage wrote")] = None,
) -> None:
    """Writes the data of one experiment."""
    start, given, inputs = time.perf_counter(), PreparedData.of(spec), Inputs()
    fetched = inputs.arrays(source, DATASETS[given.dataset["name"]].fetches) if source else None
    arrays = prepare(given.dataset, given.samples, fetched, given.split)
    kinds = {"f": np.float32, "i": np.int64}
    arrays = {name: array.astype(kinds[array.dtype.kind]) for name, array in arrays.items()}
    for name, array in arrays.items():
        print(f"{given.experiment}: {name} {array.shape}", flush=True)
    seconds = time.perf_counter() - start
    files.write_tensors(out, arrays, files.provenance(spec, inputs.digests, seconds=seconds))


if __name__ == "__main__":
    files.run(main)
