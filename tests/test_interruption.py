"""Interruption: what is killed at a random moment goes on, and ends with the same numbers."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.random import default_rng

from conftest import ROOT, copy_tree, files_of, job_spec, lines_of, snakemake, start
from ndsm.artefacts import checkpoint, files
from ndsm.artefacts.checkpoint import Checkpoint
from ndsm.artefacts.reading import Inputs
from ndsm.stages import drift, train

PROFILES = sorted((ROOT / "workflow" / "profiles").iterdir())

# A file.

WRITER = """
import time
from pathlib import Path
from ndsm.artefacts import files

def main(out: Path) -> None:
    with files.atomic(out) as temporary:
        temporary.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

files.run(main)
"""


@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -9)])
def test_a_writer_that_is_killed_leaves_nothing_for_long(
    name: str, status: int, tmp_path: Path
) -> None:
    """If it cannot remove its temporary file, the next writer does."""
    out, of_another = tmp_path / "x.json", tmp_path / ".x.1.deadbeef.json"
    of_another.touch()
    process = start("python", "-c", WRITER, out)
    assert process.stdout and process.stdout.readline() == "writing\n"
    process.send_signal(signal.Signals[name])
    said = lines_of(process)
    assert process.returncode == status and not out.exists()
    left = files_of(tmp_path) - {of_another.name}
    if name == "SIGKILL":
        assert len(left) == 1
    else:
        assert not left and said == [f"stopped by {name}: run Snakemake again"]
    files.write_text(out, "whole")
    assert files_of(tmp_path) == {out.name, of_another.name}


def test_the_shell_of_a_job_waits_for_it_when_both_get_a_sigterm(tmp_path: Path) -> None:
    shell = 'set -e; source "$0"; python -c "$@"'
    job = ROOT / "workflow" / "job.sh"
    process = start("bash", "-c", shell, job, WRITER, tmp_path / "x.json")
    assert process.stdout and process.stdout.readline() == "writing\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert lines_of(process) == ["stopped by SIGTERM: run Snakemake again"]
    assert process.returncode == 143 and not files_of(tmp_path)


@pytest.mark.parametrize("line", ["raise RuntimeError", "raise OSError(5, 'odd')", "import ndsm.x"])
def test_what_nobody_foresaw_keeps_its_traceback(line: str, tmp_path: Path) -> None:
    process = start("python", "-c", WRITER.replace("time.sleep(60)", line), tmp_path / "x.json")
    assert "Traceback (most recent call last):" in lines_of(process)
    assert process.returncode == 1 and not files_of(tmp_path)


# A training.

DRIVER = """
from ndsm.artefacts import checkpoint
from ndsm.artefacts import files
from ndsm.stages import train
checkpoint.PERIOD = 0.05
files.run(train.main)
"""
FIT = {"fit": "em", "covariance": "tied", "n_components": 3, "selection": "bic"}
PROCESS = job_spec()["process"] | {"tolerance": 9.0}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file of data and one of the drift fitted to them, for two replicas."""
    folder = tmp_path_factory.mktemp("inputs")
    data, fit = folder / "data.safetensors", folder / "drift.safetensors"
    x = default_rng(0).normal([[[0, 0]], [[0, 4]], [[4, 0]]], 0.5, (3, 100, 2)).reshape(300, 2)
    tensors = {"pool": x.astype(np.float32), "pool_labels": np.zeros(300, int)}
    files.write_tensors(data, tensors, {})
    told = {key: training(40)[key] for key in ("experiment", "replicas")}
    drift.main([data], fit, told | {"fit": FIT})
    return [data, fit]


def training(evaluations: int) -> dict[str, Any]:
    """A training with all that a checkpoint must keep: a pool of particles, a learned α."""
    told = job_spec("ndsm_cv", alpha="learned", device="cpu", replicas=[[200, 0], [100, 1]])
    told["training"] = told["training"] | {"evaluations": evaluations}
    return told | {"process": PROCESS}


def test_a_training_killed_at_random_moments_ends_with_the_same_bytes(
    inputs: list[Path], tmp_path: Path
) -> None:
    data, fit = inputs
    told: list[str | Path] = ["--data", data, "--drift", fit]
    told += ["--spec", json.dumps(training(6000))]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = start("python", "-c", DRIVER, *told, "--out", whole / "0.safetensors")
    moments, resumed = random.Random(0), 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, None):
        process = start("python", "-c", DRIVER, *told, "--out", killed / "0.safetensors")
        assert process.stdout
        pool, first = process.stdout.readline(), process.stdout.readline()
        assert pool.startswith("pool of ")
        resumed += "going on from" in first
        if number:
            time.sleep(moments.uniform(0, 0.3))
            process.send_signal(number)
        said = lines_of(process)
        if number == signal.SIGTERM and process.returncode:
            assert process.returncode == 143
            assert said[-1] == "stopped by SIGTERM: run Snakemake again"
            assert list(killed.glob("0.*.checkpoint"))
    assert process.returncode == 0 and resumed, said
    lines_of(uninterrupted)
    assert files_of(whole) == files_of(killed) == {"0.safetensors", "0.json"}
    one, other = (folder / "0.safetensors" for folder in (whole, killed))
    assert one.read_bytes() == other.read_bytes()
    losses = [Inputs().record(path)["measured"]["final_loss"] for path in (one, other)]
    assert losses[0] == losses[1]


def test_a_damaged_checkpoint_is_said_and_one_of_other_settings_removed(
    inputs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (data, fit), out, told = inputs, tmp_path / "0.safetensors", training(20)
    train.main([data], fit, out, told)
    whole = out.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "__exit__", lambda *_: None)
        patch.setattr(checkpoint, "PERIOD", 0.0)
        train.main([data], fit, out, told)
    (left,) = tmp_path.glob("0.*.checkpoint")
    left.write_bytes(left.read_bytes()[:-1])
    for name in ("0.0123456789ab", ".0.0123456789ab.01234567", "10.0123456789ab"):
        (tmp_path / f"{name}.checkpoint").touch()
    capsys.readouterr()
    train.main([data], fit, out, told)
    said = capsys.readouterr().out.splitlines()
    (warning,) = [line for line in said if line.startswith("warning")]
    assert warning.startswith(f"warning: {left} is damaged") and "starts over" in warning
    assert out.read_bytes() == whole
    assert files_of(tmp_path) == {"0.safetensors", "0.json", "10.0123456789ab.checkpoint"}


def test_a_checkpoint_serves_the_same_inputs_alone_and_knows_the_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seconds of both runs, and not what is between them."""
    clock = iter(range(100, 1000, 10))
    monkeypatch.setattr(checkpoint, "clock", lambda device: next(clock))
    out, fit = tmp_path / "0.safetensors", tmp_path / "drift.safetensors"
    fit.write_bytes(b"one")
    first = Checkpoint(out, {}, [fit])  # at 100
    first.save({})  # at 110
    again = Checkpoint(out, {}, [fit])  # at 120
    assert again.load(torch.device("cpu")) == {}
    assert again.seconds == 10 + 10
    fit.write_bytes(b"other")
    assert Checkpoint(out, {}, [fit]).load(torch.device("cpu")) is None


# The workflow.

STUDY = {
    "study": "mine",
    "seeds": 2,
    "replicas_per_job": 2,
    "device": "cpu",
    "methods": {"ndsm_cv": {"objective": "ndsm_cv", "drift": "gmm", "alpha": "learned"}},
    "defaults": {
        "n_train": [100],
        "metrics": ["energy_distance"],
        "drifts": {"gmm": FIT},
        "process": PROCESS,
        "network": {"type": "mlp", "sees_drift": True, "width": 8, "depth": 2},
        "training": {
            "evaluations": 2000,
            "batch": 32,
            "learning_rate": 2e-3,
            "ema": 0.1,
            "pool": 8,
        },
        "sampling": {"sampler": "heun", "steps": 4, "samples": 200},
    },
    "experiments": {
        "modes": {
            "dataset": {"name": "weighted_modes", "pool": 500, "held_out": 500},
            "methods": ["ndsm_cv"],
        }
    },
    "verdict": {"level": 0.05, "resamples": 199},
    "primary": {},
    "secondary": [],
}
OPTIONS = ("--workflow-profile", "workflow/profiles/local", "--configfile", "mine.yaml")


def tables_of(tree: Path) -> dict[str, pd.DataFrame]:
    """The tables but for what depends on the clock."""
    folder = tree / "results" / "mine" / "tables"
    tables = {path.name: pd.read_csv(path) for path in folder.rglob("*.csv")}
    metrics, cost = tables["metrics.csv"], tables["cost.csv"]
    tables["metrics.csv"] = metrics[metrics.metric != "drift_over_training"]
    tables["cost.csv"] = cost.filter(regex="^(?!.*(seconds|_mb))")
    return tables


def test_a_workflow_killed_at_random_moments_ends_with_the_same_tables(tmp_path: Path) -> None:
    """Snakemake and its jobs killed together, and Snakemake alone asked to end."""
    whole, killed = (copy_tree(tmp_path / name) for name in ("whole", "killed"))
    for tree in (whole, killed):
        (tree / "mine.yaml").write_text(yaml.safe_dump(STUDY))
    command = ("snakemake", "aggregate", *OPTIONS)
    uninterrupted, moments = start(*command, cwd=whole), random.Random(0)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with start(*command, cwd=killed) as process:
            assert process.stdout
            begun = (line for line in process.stdout if line.startswith("Execute "))
            for _ in range(moments.randint(1, 2)):
                next(begun, "")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0, 2))
            if process.poll() is None and number != signal.SIGKILL:
                process.send_signal(number)
                # Snakemake may hang: its handler asks for a lock that its main thread may hold.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        if any((killed / ".snakemake" / "locks").glob("*")):
            snakemake(killed, "--unlock", *OPTIONS)
    snakemake(killed, "aggregate", *OPTIONS)
    said = lines_of(uninterrupted)
    assert uninterrupted.returncode == 0, said
    one, other = tables_of(whole), tables_of(killed)
    assert one.keys() == other.keys() and len(one) == 4
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name])
    results = killed / "results"
    assert not [*results.rglob(".*"), *results.rglob("*.checkpoint")]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_profile_runs_again_what_was_interrupted(profile: Path) -> None:
    assert yaml.safe_load((profile / "config.yaml").read_text())["rerun-incomplete"] is True
