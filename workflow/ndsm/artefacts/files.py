"""Files: written whole or not at all, each with a record of where it came from.

Tensors are kept in safetensors, tables in CSV. Beside each result ``x.safetensors`` or ``x.csv``
stands its provenance ``x.json``: its place in the study, settings, package versions, git commit,
device and cost, the SHA-256 of the result, of those that it was made from (their paths are relative
to it), and, last, of the record itself. ``reading`` reads and checks them.
"""

import errno
import glob
import hashlib
import json
import logging
import os
import platform
import re
import resource
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from ndsm.errors import Refused

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "snakemake", "safetensors")
FULL = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space there")
CLOSED = dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make the folder writable")
REMEDIES = FULL | CLOSED  # what helps against an error of writing
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit statuses, as a shell has them
SEAL = "digest"  # of a record itself, its last entry
NO_MEMORY = re.compile("(can.?t|cannot) allocate|out of memory|alloc_failed", re.IGNORECASE)


class Unwritable(Refused):
    """A file that cannot be written; the message as above."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path`` and renames it to ``path`` if the block succeeds.

    Raises:
        Unwritable: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    # The suffix stays last, since some writers (matplotlib) choose the format by it.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f".{glob.escape(path.stem)}.{'[0-9a-f]' * 8}{path.suffix}"):
            stale.unlink(missing_ok=True)  # of a writer that was killed
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as problem:
        if problem.errno not in REMEDIES:
            raise
        remedy = f"{REMEDIES[problem.errno]}, then run Snakemake again"
        raise Unwritable(f"cannot write {path}: {problem.strerror}; {remedy}") from None


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path``, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_tensors(
    path: Path, tensors: "Mapping[str, Tensor | np.ndarray]", record: dict[str, Any]
) -> None:
    """Writes tensors or arrays (safetensors) and, first, their provenance ``record`` beside them.

    By way of NumPy, so that a job without tensors does not wait for torch to start.
    """
    import numpy as np
    from safetensors.numpy import save  # save_file has temporary files of its own

    with atomic(path) as temporary:
        arrays = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
        temporary.write_bytes(save(arrays))
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
    made_from = {
        os.path.relpath(source, path.parent): digest
        for source, digest in record.get("inputs", {}).items()
        if Path(source)
        != path  # nothing is made from itself, though one process may write it twice
    }
    record = {"place": place(path)} | record | {"inputs": made_from}
    text = json.dumps(record | {SEAL: seal(record)}, indent=1)
    write_text(record_path(path), text + "\n")


def place(path: Path) -> str:
    """Where a result lies in the folder of its study, results/<study>; its name if in none."""
    steps = Path(path).parts
    inside = "results" in steps[:-2]
    return "/".join(steps[steps.index("results") + 2 :] if inside else steps[-1:])


def seal(record: dict[str, Any]) -> str:
    """A digest of what a record says, its own aside: no number in it is changed unnoticed."""
    return digest({key: value for key, value in record.items() if key != SEAL})


def digest(settings: Any) -> str:
    """A short digest of settings, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def provenance(
    spec: dict[str, Any], made_from: Mapping[str, str], **measured: Any
) -> dict[str, Any]:
    """The record of a result: its settings, the code and machine that made it, what it cost.

    Args:
        spec: the resolved settings of the job.
        made_from: the SHA-256 of each result that the job has read (``reading.Inputs.digests``).
        measured: what the job measured, e.g. ``seconds``, ``parameters``, ``network_evaluations``.
    """
    return {
        "spec": spec,
        "inputs": dict(made_from),
        "measured": measured | {"peak_memory_mb": round(peak_memory_mb(), 1)},
        "commit": git_commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "device": spec.get("device", "cpu"),
        "command": command(),
    }


def command() -> str:
    """The shell command of this job, which runs again in the folder where Snakemake ran."""
    modules = os.path.relpath(Path(__file__).parents[2])
    return f"PYTHONPATH={shlex.quote(modules)} {shlex.join(['python', *sys.orig_argv[1:]])}"


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def git_commit() -> str:
    """The commit of the code that runs, with ``+`` if the tree differs from it, or ``unknown``.

    Of the repository whose root holds the code alone: neither of one around that, which ignores
    it, nor of one that the environment names.
    """
    root, code = Path(__file__).resolve().parents[3], "workflow/ndsm"
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*command: str) -> subprocess.CompletedProcess[bytes]:
        here = ["-C", str(root), f"--git-dir={root / '.git'}", f"--work-tree={root}"]
        return subprocess.run(["git", *here, *command], capture_output=True, env=env)

    try:
        found = git("rev-parse", "HEAD", f"HEAD:{code}/artefacts/files.py")
        changed = git("diff", "--quiet", "HEAD").returncode == 1
        added = git("ls-files", "--others", "--", f"{code}/*.py").stdout
    except OSError:
        return "unknown"
    if found.returncode:
        return "unknown"
    commit = found.stdout.decode().split()[0]
    return f"{commit}+" if changed or added else commit


def run(main: Callable[..., None]) -> None:
    """Runs a stage's ``main`` as a command.

    One line says why it ends before it is done: with status 1 if it refuses something or lacks
    memory, 74 if it cannot write (workflow/job.sh says so too, as the log may be on the full disk),
    128 + the signal's number at a SIGTERM or SIGINT. The blocks that remove temporary files run in
    any case. Only what nobody foresaw has a traceback.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if torch := sys.modules.get("torch"):
        # Responsibilities of far components are denormal numbers: eight times as slow as others.
        torch.set_flush_denormal(True)
    log = logging.getLogger("ndsm")  # by which the method says how far it is
    log.addHandler(logging.StreamHandler(sys.stdout))
    log.setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # by hand in a terminal that has no letter π
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except SystemExit as end:
        if end.code in STOPPED:
            name = signal.Signals(int(end.code) - 128).name
            _end(int(end.code), f"stopped by {name}: run Snakemake again")
        raise
    except Unwritable as refusal:
        _end(os.EX_IOERR, f"error: {refusal}")
    except Refused as refusal:
        sys.exit(f"error: {refusal}")
    except (OSError, MemoryError, RuntimeError) as problem:
        if getattr(problem, "errno", None) in FULL:
            _end(os.EX_IOERR, f"error: {problem}")
        if not (isinstance(problem, MemoryError) or NO_MEMORY.search(str(problem))):
            raise
        said = " ".join(str(problem).split())
        sys.exit(
            f"error: out of memory, {peak_memory_mb():.0f} MB so far ({said}); "
            "set a smaller replicas_per_job, batch or number of samples, or give it more mem_mb"
        )


def _end(status: int, line: str) -> NoReturn:
    """Ends the process with a last line, if the log takes it."""
    with suppress(OSError):
        print(line, file=sys.stderr)
    sys.exit(status)
