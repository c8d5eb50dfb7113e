"""What make passes on, removes and refuses, whatever the names that it is given."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from snakemake.cli import parse_config

from conftest import ROOT, copy_tree

# In place of python: leaves its arguments in a file, and does nothing.
RECORDER = f"""#!{sys.executable}
import json, sys
open("told.json", "w").write(json.dumps(sys.argv[1:]))
"""


def checkout(folder: Path, python: str = RECORDER) -> Path:
    """A copy of the tree that make takes for installed, with such a python."""
    tree = copy_tree(folder)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    (tree / ".venv" / "bin").mkdir(parents=True)
    (tree / ".venv" / "bin" / "python").write_text(python)
    (tree / ".venv" / "bin" / "python").chmod(0o755)
    (tree / ".venv" / "installed").touch()
    return tree


def make(tree: Path, *told: str, status: int = 0, env: Mapping[str, str] = os.environ) -> str:
    """What make says in a tree."""
    run = subprocess.run(
        ["make", "--silent", *told],
        cwd=tree,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == status, run.stdout
    return run.stdout


NAMES = ["two words", "it's", 'a "b"', "$5$(touch x)", "a: {b}, #c", "`touch x`;touch x", "2024"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_reaches_snakemake_as_it_is_typed(tmp_path: Path, name: str) -> None:
    """As an argument, by way of a second make, and in the environment."""
    tree = checkout(tmp_path / "tree")
    for told, env in (
        (("study", f"MNIST_DIR={name}"), os.environ),
        (("mnist", f"MNIST_DIR={name}"), os.environ),
        (("mnist",), os.environ | {"MNIST_DIR": name}),
    ):
        make(tree, *told, env=env)
        given = json.loads((tree / "told.json").read_text())
        config = given[given.index("--config") + 1 : given.index("--workflow-profile")]
        assert parse_config(config)["mnist_dir"] == name
        (tree / "told.json").unlink()
    assert not (tree / "x").exists()


def given(tree: Path) -> dict[str, object]:
    """The configuration that make gave to Snakemake the last time."""
    told = json.loads((tree / "told.json").read_text())
    return parse_config(told[told.index("--config") + 1 : told.index("--workflow-profile")])


@pytest.mark.parametrize("name", NAMES)
def test_a_table_reaches_snakemake_as_it_is_typed(tmp_path: Path, name: str) -> None:
    tree = checkout(tmp_path / "tree")
    said = make(tree, "own", f"DATA={name}", f"LABEL={name}")
    assert given(tree) == {"study": "own", "data": name, "label": name}
    assert said.splitlines()[-1] == "verdict  results/own/verdict.md"
    assert not (tree / "x").exists()


def test_a_table_is_of_the_study_own_alone(tmp_path: Path) -> None:
    """In the environment DATA may be somebody else's."""
    tree = checkout(tmp_path / "tree")
    make(tree, "study", env=os.environ | {"DATA": "/data"})
    assert given(tree) == {"study": "default"}
    (tree / "told.json").unlink()
    (line,) = make(tree, "own", status=2).splitlines()
    assert "*** DATA: '' is no table; give one: make own DATA=my.csv" in line
    assert not (tree / "told.json").exists()


def test_a_side_reaches_snakemake_as_a_number(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "tree")
    make(tree, "own", "DATA=my.csv", "IMAGE_SIDE=8")
    assert given(tree) == {"study": "own", "data": "my.csv", "image_side": 8}
    make(tree, "own", "DATA=my.csv", "IMAGE_SIDE=8;touch x")
    assert given(tree)["image_side"] == "8;touch x" and not (tree / "x").exists()


def test_the_name_of_the_checkout_is_no_command(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "it's $(touch x)")
    make(tree, "study")
    assert (tree / "told.json").exists() and not (tree / "x").exists()


def test_clean_removes_the_results_of_the_study_alone(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "tree")
    for name in ("mine", "smoke", "mnist_full", "reference"):
        (tree / "results" / name).mkdir(parents=True)
    make(tree, "clean", "STUDY=mine")
    make(tree, "clean", "STUDY=mnist", "SCALE=full")
    assert {path.name for path in (tree / "results").iterdir()} == {"smoke", "reference"}


NO_NAMES = [
    "",
    "../workflow",
    "x; touch x",
    "a b",
    "smoke ",
    "$(shell touch x)",
    "-x",
    "'",
    "a" * 61,
]


def test_a_variable_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    """Of the environment all others are left alone."""
    tree = checkout(tmp_path / "tree")
    (line,) = make(tree, "clean", "SEEDS=3", "STUDY=mine", status=2).splitlines()
    assert "*** SEEDS: is no variable here; allowed: STUDY MNIST_DIR " in line
    make(tree, "clean", env=os.environ | {"SEEDS": "3"})


@pytest.mark.parametrize("key", ["STUDY", "SCALE", "CLAIM"])
def test_what_is_no_plain_name_is_refused(tmp_path: Path, key: str) -> None:
    tree = checkout(tmp_path / "tree")
    (tree / "results" / "reference").mkdir(parents=True)
    for value in NO_NAMES if key == "STUDY" else NO_NAMES[1:]:
        (line,) = make(tree, "clean", f"{key}={value}", status=2).splitlines()
        assert f"*** {key}: '{value}' is no name; allowed: up to 60 letters, digits, " in line
    (line,) = make(tree, "clean", "STUDY=reference", status=2).splitlines()
    assert "*** STUDY: 'reference' is the folder of what is kept of studies; allowed: " in line
    assert not (tree / "x").exists()
    assert (tree / "results" / "reference").exists() and (tree / "workflow").exists()


def test_unlock_releases_the_folder_of_a_killed_snakemake(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "tree", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    lock = tree / ".snakemake" / "locks" / "0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/default/claims.csv\n")
    make(tree, "unlock", env=os.environ | {"PATH": os.defpath})
    assert not lock.exists()


@pytest.mark.parametrize("there", [True, False], ids=["of another version", "not there"])
def test_another_python_is_refused_before_anything_is_installed(
    tmp_path: Path, there: bool
) -> None:
    tree, python = checkout(tmp_path / "tree"), tmp_path / "python"
    (tree / ".venv" / "installed").unlink()
    if there:
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    said = make(tree, "study", f"PYTHON={python}", status=2)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: PYTHON: {python} is no Python 3.11, 3.12 or 3.13; install one")
    assert line.endswith("or name it: make PYTHON=/path/to/python3.11")
    assert not (tree / "told.json").exists()


def test_help_lists_the_targets() -> None:
    said = make(ROOT, "help")
    assert "study     run the study: tables, claims, figures\n" in said
    assert {line.split()[0] for line in said.splitlines()} >= {"docs", "mnist", "report", "clean"}
