"""Stage ``mnist``: the MNIST images, from a folder or downloaded, checked before anything is kept.

The four files are those of LeCun, Cortes and Burges; they are recognised by the SHA-256 of their
decompressed bytes. Nothing is written but the whole of them.
"""

import errno
import gzip
import hashlib
import time
import zlib
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Annotated
from urllib.request import urlopen

import numpy as np
import typer

from ndsm.artefacts import files
from ndsm.errors import Refused

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = 60  # seconds without an answer from a mirror
FILES = {
    "train": (
        "train-images-idx3-ubyte.gz",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train_labels": (
        "train-labels-idx1-ubyte.gz",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test": (
        "t10k-images-idx3-ubyte.gz",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test_labels": (
        "t10k-labels-idx1-ubyte.gz",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
LARGEST = 48_000_000  # bytes of any of them, compressed or not; of the first it is 47,040,016
HEADERS = {3: 16, 1: 8}  # bytes before the numbers, by their axes: the format idx


def from_folder(folder: Path, name: str, expected: str) -> bytes:
    """The content of a file in ``folder``.

    Raises:
        Refused: it is not there, or not the right one.
    """
    path = folder / name
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "not a regular file")  # reading a pipe would never end
        with path.open("rb") as file:
            packed = file.read(LARGEST + 1)
    except OSError as problem:
        raise Refused(
            f"mnist_dir: {folder} has no readable {name} ({problem.strerror}); give the folder of "
            "the four files, or leave mnist_dir out to download them"
        ) from None
    try:
        return unpacked(packed, expected)
    except ValueError as problem:
        raise Refused(f"{path}: {problem}; fetch it anew") from None


def download(name: str, expected: str) -> bytes:
    """The content of a file, from the first mirror that gives the right one.

    Raises:
        Refused: none does.
    """
    problems = []
    for mirror in MIRRORS:
        try:
            with urlopen(mirror + name, timeout=TIMEOUT) as answer:
                return unpacked(answer.read(LARGEST + 1), expected)
        except (OSError, HTTPException, ValueError) as problem:
            problems.append(f"{mirror}: {getattr(problem, 'reason', problem)}")
    raise Refused(
        f"{name}: no mirror has it ({'; '.join(problems)}); "
        "fetch the four files by hand and give their folder: --config mnist_dir=FOLDER"
    )


def unpacked(packed: bytes, expected: str) -> bytes:
    """The content of a compressed file, if it is the right one.

    Raises:
        ValueError: it is not, is cut short, or too large.
    """
    wanted = f"expected the gzip of SHA-256 {expected}"
    too_large = ValueError(f"more than {LARGEST} bytes, {wanted}")
    if len(packed) > LARGEST:
        raise too_large
    try:
        with gzip.open(BytesIO(packed)) as file:
            content = file.read(LARGEST + 1)
    except (EOFError, OSError, zlib.error) as problem:
        size = f"{len(packed)} bytes that cannot be decompressed"
        raise ValueError(f"{size} ({problem}), {wanted}") from None
    if len(content) > LARGEST:
        raise too_large
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"SHA-256 of the decompressed bytes is {found}, expected {expected}")
    return content


def main(
    out: Annotated[Path, typer.Option(help="safetensors to write")],
    folder: Annotated[Path | None, typer.Option(help="folder of the four files")] = None,
) -> None:
    """Writes train (60000, 28, 28) and test (10000, 28, 28), bytes, and their labels."""
    start, arrays = time.perf_counter(), {}
    for key, (name, digest) in FILES.items():
        content = from_folder(folder, name, digest) if folder else download(name, digest)
        axes = content[3]
        array = np.frombuffer(content, np.uint8, offset=HEADERS[axes])
        arrays[key] = array.reshape(-1, 28, 28) if axes == 3 else array
        print(f"{key}: {arrays[key].shape}, SHA-256 as expected", flush=True)
    record = files.provenance({}, {}, seconds=round(time.perf_counter() - start, 3))
    files.write_tensors(out, arrays, record)


if __name__ == "__main__":
    files.run(main)
