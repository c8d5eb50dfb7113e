"""Stage ``mnist``: the MNIST images, from a folder or downloaded, checked before anything is kept.

The four files are those of LeCun, Cortes and Burges; they are recognised by the SHA-256 of their
decompressed bytes. Nothing is written but the whole of them.
"""

import gzip
import hashlib
import time
import zlib
from pathlib import Path
from typing import Annotated
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import typer

from ndsm import store

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
HEADERS = {3: 16, 1: 8}  # bytes before the numbers, by their axes: the format idx


def read(folder: Path, name: str) -> bytes:
    """The compressed bytes of a file in ``folder``.

    Raises:
        Refused: it is not there.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as problem:
        raise store.Refused(
            f"mnist_dir: {folder} has no readable {name} ({problem.strerror}); give the folder of "
            "the four files, or leave mnist_dir out to download them"
        ) from None


def download(name: str) -> bytes:
    """The compressed bytes of a file from the first mirror that answers.

    Raises:
        Refused: none does.
    """
    problems = []
    for mirror in MIRRORS:
        try:
            with urlopen(mirror + name, timeout=TIMEOUT) as answer:
                return answer.read()
        except (URLError, OSError) as problem:
            problems.append(f"{mirror}: {getattr(problem, 'reason', problem)}")
    raise store.Refused(
        f"{name}: no mirror answered ({'; '.join(problems)}); "
        "fetch the four files by hand and give their folder: --config mnist_dir=FOLDER"
    )


def checked(compressed: bytes, where: str, expected: str) -> bytes:
    """The decompressed bytes of a file, if they are the right ones.

    Raises:
        Refused: they are not, or the file is cut short.
    """
    try:
        content = gzip.decompress(compressed)
    except (EOFError, OSError, zlib.error) as problem:
        raise store.Refused(
            f"{where}: {len(compressed)} bytes that cannot be decompressed ({problem}); expected "
            f"the gzip of SHA-256 {expected}; fetch it anew"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise store.Refused(
            f"{where}: SHA-256 of the decompressed bytes is {found}, expected {expected}; "
            "fetch it anew"
        )
    return content


def main(
    out: Annotated[Path, typer.Option(help="safetensors to write")],
    folder: Annotated[Path | None, typer.Option(help="folder of the four files")] = None,
) -> None:
    """Writes train (60000, 28, 28) and test (10000, 28, 28), bytes, and their labels."""
    start, arrays = time.perf_counter(), {}
    for key, (name, digest) in FILES.items():
        compressed = read(folder, name) if folder else download(name)
        content = checked(compressed, str(folder / name) if folder else name, digest)
        axes = content[3]
        array = np.frombuffer(content, np.uint8, offset=HEADERS[axes])
        arrays[key] = array.reshape(-1, 28, 28) if axes == 3 else array
        print(f"{key}: {arrays[key].shape}, SHA-256 as expected", flush=True)
    record = store.provenance({}, seconds=round(time.perf_counter() - start, 3))
    store.write_tensors(out, arrays, record)


if __name__ == "__main__":
    store.run(main)
