"""Files: written whole or not at all, each with a record of where it came from.

Tensors are kept in safetensors, tables in CSV. Beside each result ``x.safetensors`` or ``x.csv``
stands its provenance ``x.json``: settings, package versions, git commit, device and cost, and the
SHA-256 of the result and of those that it was made from. ``inputs`` reads and checks them.
"""

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "snakemake", "safetensors")

INPUTS: dict[str, str] = {}  # the results read since the last record, and their SHA-256


class Refused(ValueError):
    """Input that cannot be used; the message is one line: what, its value, and the remedy."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path`` and renames it to ``path`` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last, since some writers (matplotlib) choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path``, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text)


def write_tensors(
    path: Path, tensors: "Mapping[str, Tensor | np.ndarray]", record: dict[str, Any]
) -> None:
    """Writes tensors or arrays (safetensors) and, first, their provenance ``record`` beside them.

    By way of NumPy, so that a job without tensors does not wait for torch to start.
    """
    import numpy as np
    from safetensors.numpy import save_file

    with atomic(path) as temporary:
        save_file({name: np.asarray(t, order="C") for name, t in tensors.items()}, temporary)
        write_record(path, record | {"sha256": sha256(temporary)})


def write_table(path: Path, table: "pd.DataFrame", record: dict[str, Any]) -> None:
    """Writes a table as CSV and, first, its provenance ``record`` beside it."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False)
        write_record(path, record | {"sha256": sha256(temporary)})


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_path(path: Path) -> Path:
    """Where the provenance record of the result ``path`` lies."""
    return Path(path).with_suffix(".json")


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes the provenance record of the result ``path``."""
    write_text(record_path(path), json.dumps(record, indent=1) + "\n")


def provenance(spec: dict[str, Any], **measured: Any) -> dict[str, Any]:
    """The record of a result: its settings, the code and machine that made it, what it cost.

    Args:
        spec: the resolved settings of the job.
        measured: what the job measured, e.g. ``seconds``, ``parameters``, ``network_evaluations``.
    """
    made_from = dict(INPUTS)
    INPUTS.clear()
    return {
        "spec": spec,
        "inputs": made_from,
        "measured": measured | {"peak_memory_mb": round(peak_memory_mb(), 1)},
        "commit": git_commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "device": spec.get("device", "cpu"),
        "command": " ".join(sys.argv),
    }


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def git_commit() -> str:
    """The commit of the code that runs, with ``+`` if the tree differs from it, or ``unknown``."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True)
    except OSError:
        return "unknown"
    return commit.stdout.strip() + "+" * (changed.returncode == 1) or "unknown"


def run(main: Callable[..., None]) -> None:
    """Runs a stage's ``main`` as a command; what it refuses ends as one line and exit status 1."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except Refused as refusal:
        sys.exit(f"error: {refusal}")
