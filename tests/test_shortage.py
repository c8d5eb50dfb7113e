"""No room, no permission, no memory, no package: one line with the remedy, nothing half-done."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import files_of, lines_of, snakemake, start
from given import PICTURED
from ndsm.stages import figures

DATA = "results/smoke/data/weighted_modes.safetensors"
OPTIONS = (
    *(DATA, "--workflow-profile", "workflow/profiles/local"),
    *("--config", "study=smoke", "--cores", "1"),
)


def errors(tree: Path) -> list[str]:
    """What a run of the data stage that fails says as error."""
    said = snakemake(tree, *OPTIONS, status=1).stdout
    return [line for line in said.splitlines() if line.startswith("error:")]


def data_job(out: Path) -> list[str]:
    """The data stage as a job runs it."""
    dataset = {"name": "weighted_modes", "pool": 500, "held_out": 500}
    told = {"experiment": "modes", "samples": 200, "split": "test", "dataset": dataset}
    return ["-m", "ndsm.stages.data", "--out", str(out), "--spec", json.dumps(told)]


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own in ``folder``."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a file system, and not everywhere")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_the_study_goes_on_when_there_is_room(tree: Path) -> None:
    """Full to the last byte, so that not even the log is written; with room for it; with more."""
    results = tree / "results"
    with mounted(results, "size=20k"):
        (results / "filler").write_bytes(bytes(20 * 1024))
        (line,) = errors(tree)
        assert "cannot write its result or its log: free space" in line
        (results / "filler").unlink()
        general, line = errors(tree)  # of the shell, of the log
        assert "cannot write its result or its log: free space" in general
        remedy = "free space there, then run Snakemake again"
        assert line == f"error: cannot write {DATA}: No space left on device; {remedy}"
        assert [path.name for path in results.rglob("*") if path.is_file()] == [
            "weighted_modes.log"
        ]
        subprocess.run(["mount", "-o", "remount,size=1m", str(results)], check=True)
        snakemake(tree, *OPTIONS)
        assert files_of((tree / DATA).parent) == {
            "weighted_modes.safetensors",
            "weighted_modes.json",
        }


def test_a_folder_that_is_not_writable_is_named(tmp_path: Path) -> None:
    with mounted(tmp_path / "results", "ro"):
        process = start("python", *data_job(tmp_path / "results" / "modes.safetensors"))
        *_, line = lines_of(process)
    assert process.returncode == os.EX_IOERR
    assert line.startswith(
        f"error: cannot write {tmp_path / 'results' / 'modes.safetensors'}: Read-only"
    )
    assert line.endswith("; make the folder writable, then run Snakemake again")


GREEDY = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from ndsm.artefacts import files

def main() -> None:
    {}

files.run(main)
"""


@pytest.mark.parametrize(
    "job",
    ["import numpy; numpy.ones(10**12)", "import torch; torch.ones(10**12)", "raise MemoryError"],
)
def test_a_lack_of_memory_is_said_with_its_remedy(job: str) -> None:
    """Under a limit of 8 GB, of terabytes."""
    process = start("python", "-c", GREEDY.format(job))
    (line,) = lines_of(process)
    assert process.returncode == 1 and line.startswith("error: out of memory, ")
    remedy = "set a smaller replicas_per_job, batch or number of samples, or give it more mem_mb"
    assert line.endswith(f"; {remedy}")


def killed(*_: Any) -> None:
    """Stands for a drawing that the system kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_drawing_process_that_is_killed_lacks_memory(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(figures, "draw", killed)
    picture = dict.fromkeys(("draw", "experiment", "caption", "title"), "variance")
    with pytest.raises(MemoryError, match="a process that draws was killed"):
        figures.main(tmp_path, tmp_path, tmp_path, PICTURED | {"figures": {"variance": picture}})


def test_a_job_that_is_killed_is_explained_and_one_that_fails_is_not(tree: Path) -> None:
    """The first as the system does it where memory is short, and C++: by a signal alone."""
    module = tree / "workflow" / "ndsm" / "stages" / "data.py"
    for number in (signal.SIGKILL, signal.SIGABRT):
        module.write_text(f"import os\nos.kill(os.getpid(), {number:d})\n")
        (line,) = errors(tree)
        assert "the job was killed" in line and "replicas_per_job" in line and "mem_mb" in line
    module.write_text("raise SystemExit(1)\n")
    assert not errors(tree)


def test_a_package_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    process = start(sys.executable, "-S", *data_job(tmp_path / "modes.safetensors"))  # sees none
    remedy = "pip install -r envs/requirements.txt, or snakemake --sdm conda"
    assert lines_of(process) == [f"error: numpy is missing from {sys.executable}: {remedy}"]
    assert process.returncode == 1
