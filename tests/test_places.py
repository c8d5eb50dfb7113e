"""Jobs wherever Snakemake runs, whatever the folder is called and whichever python is on PATH."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conftest import copy_tree, on_path, snakemake
from ndsm.report import claim_documents

DATA = "results/smoke/data/weighted_modes.safetensors"
SMOKE = ("--cores", "1", "--config", "study=smoke", "--", DATA)
GENERIC = "workflow/profiles/cluster-generic"


def executables(folder: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """The environment, with such commands on PATH before those of the system, and no others."""
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.defpath}"}


def test_jobs_have_the_python_of_snakemake(tree: Path, tmp_path: Path) -> None:
    """Though another is the first on PATH."""
    other = executables(tmp_path / "other", {"python": "echo another python >&2; exit 1"})
    snakemake(tree, *SMOKE, env=other)
    assert (tree / DATA).exists()


CONDA = """
case "$*" in
  "info --json") echo '{{"conda_prefix": "{base}", "platform": "linux-64"}}' ;;
  --version) echo conda 99.9.9 ;;
  "config --get"*) echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  "env create"*) for last; do :; done; mkdir -p "$last/bin"; cp {base}/python "$last/bin" ;;
esac
"""


def test_with_conda_jobs_have_the_python_of_their_environment(tree: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    env = executables(base, {"conda": CONDA.format(base=base), "python": "echo of conda; exit 3"})
    (base / "bin").mkdir()
    (base / "bin" / "activate").write_text('PATH="$1/bin:$PATH"\n')
    snakemake(tree, "--sdm", "conda", *SMOKE, status=1, env=env)
    assert (tree / "results/smoke/logs/data/weighted_modes.log").read_text() == "of conda\n"


def test_a_checkout_may_be_called_anything(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "it's {my} $(touch x)")
    snakemake(tree, *SMOKE)
    assert (tree / DATA).exists() and not (tree / "x").exists()


def test_braces_in_the_name_of_an_input_are_refused(tmp_path: Path) -> None:
    copy_tree(tmp_path / "{its}")
    said = snakemake(
        tmp_path, "--snakefile", "{its}/Snakefile", "--dry-run", *SMOKE, status=1
    ).stdout
    line = "error: workflow: {its}/workflow/ndsm has braces, which Snakemake takes for wildcards in"
    assert said.splitlines()[-1].startswith(line) and "Traceback" not in said


OUTER = """
import yaml

module ndsm:
    snakefile: "../tree/Snakefile"
    config: yaml.safe_load(open("../tree/workflow/studies/smoke.yaml"))
    {prefix}

use rule * from ndsm as ndsm_*
"""


def test_the_standard_layout_works(tree: Path) -> None:
    """Its Snakefile is the same workflow, from the checkout, from elsewhere, and as a module."""
    elsewhere = tree.parent / "elsewhere"
    elsewhere.mkdir()
    study = ("--config", "study=smoke")
    for folder, snakefile in (
        (tree, "workflow/Snakefile"),
        (elsewhere, f"{tree}/workflow/Snakefile"),
    ):
        options = ("--snakefile", snakefile, "--dry-run", "--cores", "1", *study)
        said = snakemake(folder, *options).stdout
        assert "aggregate" in said and "Job stats:" in said
    outer = OUTER.format(prefix="").replace("../tree/Snakefile", "../tree/workflow/Snakefile")
    (elsewhere / "Snakefile").write_text(outer)
    snakemake(elsewhere, "--cores", "1", "--", DATA)
    assert (elsewhere / DATA).exists()


def test_another_workflow_may_have_this_one_as_a_module(tree: Path) -> None:
    """With a folder of its own for the results or without."""
    outer = tree.parent / "outer"
    outer.mkdir()
    (outer / "Snakefile").write_text(OUTER.format(prefix=""))
    said = snakemake(outer, "--dry-run", "--", "results/smoke/claims.csv").stdout
    assert "localrules directive specifies rules that are not present" not in said
    (outer / "Snakefile").write_text(OUTER.format(prefix='prefix: "sub"'))
    snakemake(outer, "--cores", "1", "--", f"sub/{DATA}")
    record = json.loads((outer / "sub" / DATA).with_suffix(".json").read_text())
    assert record["spec"]["experiment"] == "weighted_modes"


def test_the_recorded_command_of_a_job_runs_again(tmp_path: Path) -> None:
    """As it stands, from beside the checkout, to the same bytes and the same record of it."""
    tree, folder = copy_tree(tmp_path / "it's a tree"), tmp_path / "elsewhere"
    folder.mkdir()
    snakemake(folder, "--snakefile", f"{tree}/Snakefile", *SMOKE)
    result, record = folder / DATA, (folder / DATA).with_suffix(".json")
    command, whole = json.loads(record.read_text())["command"], result.read_bytes()
    shutil.rmtree(result.parent)
    subprocess.run(command, shell=True, check=True, cwd=folder, env=on_path())
    assert result.read_bytes() == whole
    assert json.loads(record.read_text())["command"] == command


def claims_job(folder: Path, *options: str) -> dict[str, Any]:
    """What the claims job is told that such options plan."""
    said = snakemake(folder, "--dry-run", "--printshellcmds", *options).stdout
    (line,) = [line for line in said.splitlines() if "python -m ndsm.stages.claims" in line]
    words = shlex.split(line)
    return json.loads(words[words.index("--spec") + 1])


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (
            ("--configfile", "my own.yaml", "--config", "seeds=2"),
            "--snakefile ../tree/Snakefile --configfile 'my own.yaml' --config seeds=2",
        ),
        (
            ("--config", "study=mnist", "mnist_dir=.", "claim=C7", "scale=full"),
            "--snakefile ../tree/Snakefile --config study=mnist claim=C7 scale=full",
        ),
        (("--config", "study=default"), "--snakefile ../tree/Snakefile"),
    ],
    ids=["own", "mnist", "default"],
)
def test_the_command_under_a_table_makes_it_again(
    tree: Path, options: tuple[str, ...], shown: str
) -> None:
    """With the same settings, whatever chose the study; as it stands, from beside the checkout."""
    folder = tree.parent / "elsewhere"
    folder.mkdir()
    text = (tree / "workflow" / "studies" / "smoke.yaml").read_text()
    (folder / "my own.yaml").write_text(text.replace("study: smoke", "study: mine"))
    told = claims_job(folder, "--snakefile", "../tree/Snakefile", *options)
    assert told["options"] == shown
    shown_in = "_".join([told["study"], *([told["claim"]] if "claim" in told else [])])
    table = Path("results") / shown_in / "claims.csv"
    command = shlex.split(claim_documents.command(told["options"], table))
    assert command[0] == "snakemake" and command[-1] == str(table)
    assert claims_job(folder, *command[1:]) == told


QSUB = 'shift $(($# - 2)); JOB_ID=7 "$@" > /dev/null 2>&1; echo 7'  # the job runs at once


def test_the_generic_profile_works_from_any_folder(tmp_path: Path) -> None:
    """Jobs are submitted as its file has it, and asked about, from beside the checkout."""
    tree, elsewhere = copy_tree(tmp_path / "a tree"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    fast = ("--seconds-between-status-checks", "1", "--latency-wait", "1", "--retries", "0")
    options = ("--snakefile", f"{tree}/Snakefile", "--workflow-profile", f"{tree}/{GENERIC}", *fast)
    env = executables(tmp_path / "bin", {"qsub": QSUB})
    snakemake(elsewhere, *options, "--config", "study=smoke", "--", DATA, env=env)
    assert (elsewhere / DATA).exists()
    assert (elsewhere / ".snakemake/cluster-generic/7").read_text() == "0\n"
