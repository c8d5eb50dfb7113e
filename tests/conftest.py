"""What tests share: what a job is told, a copy of the tree, and Snakemake run in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = {"evaluations": 60, "batch": 32, "learning_rate": 3e-3, "ema": 0.1, "pool": 2}


def job_spec(objective: str = "ndsm_anti", **changes: Any) -> dict[str, Any]:
    """What a training job is told."""
    return {
        "experiment": "modes",
        "objective": objective,
        "known": None,
        "stride": 3,
        "alpha": None,
        "process": {"kernel": "exponential", "steps": 15, "t_min": 1e-3, "T": 3.0},
        "equivariant": False,
        "weight": 0,
        "network": {"type": "mlp", "sees_drift": False, "width": 8, "depth": 2},
        "training": SETTINGS,
    } | changes


def on_path(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment, but with a ``python`` that is the one that runs the tests."""
    path = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    return {**env, "PATH": path}


def snakemake(
    tree: Path, *options: str, status: int | None = 0, env: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Runs Snakemake in ``tree``, and gives its output; ``status`` is the exit status expected."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options],
        cwd=tree,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert status is None or done.returncode == status, done.stdout
    return done


def start(*command: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Starts a command with the modules of this tree, in a process group of its own."""
    return subprocess.Popen(
        command,
        env=on_path() | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def lines_of(process: subprocess.Popen[str]) -> list[str]:
    """What it says to its end."""
    return process.communicate()[0].splitlines()


def files_of(folder: Path) -> set[str]:
    """Names of what lies in a folder, hidden or not."""
    return {path.name for path in folder.iterdir()}


def copy_tree(target: Path) -> Path:
    """A copy of what the workflow needs of the repository, without results."""
    for name in ("Snakefile", "config.yaml"):
        target.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, target)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("workflow", "envs"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    return target


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which the smoke study has run once, with its report."""
    tree = copy_tree(tmp_path_factory.mktemp("smoke") / "tree")
    snakemake(tree, "--cores", "all", "--config", "study=smoke")
    return tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A fresh copy of the tree."""
    return copy_tree(tmp_path / "tree")


@pytest.fixture
def looks() -> Iterator[Any]:
    """The looks of three methods, in the style of our figures; all are closed afterwards."""
    import matplotlib.pyplot as plt

    from ndsm.report import method_looks, style

    style.use()
    yield method_looks.looks(["gmm", "dsm", "ndsm_cv"])
    plt.close("all")


def lines(panel: Any) -> dict[str, Any]:
    """The lines of a panel by their labels."""
    return {line.get_label(): line for line in panel.get_lines()}


@pytest.fixture
def unusual() -> Iterator[None]:
    """Settings of the caller's that are not the usual ones."""
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
