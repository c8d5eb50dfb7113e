"""The environment of whoever runs it: other locales, other repositories."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, on_path, snakemake
from ndsm.artefacts import files

# A locale that every system has and whose encoding is ASCII, if Python does not set it aside.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def test_a_locale_that_is_not_utf8_is_refused_with_the_remedy(tree: Path) -> None:
    options, env = ("--dry-run", "--quiet", "rules", "--config", "study=smoke"), os.environ | ASCII
    said = snakemake(tree, *options, env=env, status=1).stdout
    remedy = "export PYTHONUTF8=1, then run the same command again"
    line = f"error: locale: its encoding is 'ascii'; allowed: utf-8; {remedy}"
    assert said.splitlines()[-1] == line and "Traceback" not in said
    assert "Job stats:" in snakemake(tree, *options, env=env | {"PYTHONUTF8": "1"}).stdout


@pytest.mark.parametrize("odd", [{}, {"PYTHONIOENCODING": "latin-1"}], ids=["locale", "prints"])
def test_a_job_writes_and_prints_utf8_in_any_locale(tmp_path: Path, odd: dict[str, str]) -> None:
    code = "import sys; from ndsm.artefacts.files import write_text; "
    code += "print('λ'); write_text(sys.argv[1], 'λ')"
    job = ["bash", "-c", 'source "$0"; python -c "$@"', ROOT / "workflow" / "job.sh", code]
    env = on_path(os.environ | ASCII | odd)
    done = subprocess.run([*job, tmp_path / "x"], env=env, capture_output=True)
    assert done.stdout.decode() == "λ\n", done.stderr
    assert (tmp_path / "x").read_bytes().decode() == "λ"


BY_HAND = r"""
import json
from pathlib import Path
from ndsm.study import code_dependencies
from ndsm.artefacts import files

def main(out: Path) -> None:
    files.write_text(out, "\u03bb" + json.dumps(code_dependencies.digests()))
    print("\u03c0")

files.run(main)
"""


def test_a_command_by_hand_writes_the_same_bytes_in_any_locale(tmp_path: Path) -> None:
    """And does not end because the terminal has no such letter."""
    paths = {"PYTHONPATH": str(ROOT / "workflow")}
    for name, env in (("usual", {"PYTHONUTF8": "1"}), ("ascii", ASCII)):
        command = [sys.executable, "-c", BY_HAND, tmp_path / name]
        done = subprocess.run(command, env=os.environ | paths | env, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout == b"?\n"
    assert (tmp_path / "ascii").read_bytes() == (tmp_path / "usual").read_bytes()


def git(folder: Path, *command: str | Path) -> str:
    """What git says in a folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    run = ["git", "-C", folder, *who, *command]
    return subprocess.run(run, env=env, check=True, capture_output=True, text=True).stdout.strip()


def repository(root: Path, *tracked: str) -> str:
    """A repository with these files, and its commit."""
    git(root.parent, "init", "--quiet", root)
    for name in tracked:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")
        git(root, "add", name)
    git(root, "commit", "--quiet", "--allow-empty", "--message", "one")
    return git(root, "rev-parse", "HEAD")


CODE = "workflow/ndsm/artefacts/files.py"


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the code that runs seems to lie."""
    monkeypatch.setattr(files, "__file__", str(tmp_path / "own" / CODE))
    return tmp_path / "own"


def test_a_commit_has_a_plus_if_the_tree_or_an_untracked_module_differs(code: Path) -> None:
    commit = repository(code, CODE, "Snakefile")
    folder = (code / CODE).parent
    for name in ("../../studies/mine.yaml", "__pycache__/files.pyc"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert files.git_commit() == commit
    (folder / "mine.py").touch()
    assert files.git_commit() == f"{commit}+"
    (folder / "mine.py").unlink()
    (code / "Snakefile").write_text("x = 2\n")
    assert files.git_commit() == f"{commit}+"


def test_a_working_tree_of_a_repository_has_its_commit(code: Path) -> None:
    commit = repository(code.parent / "main", CODE)
    git(code.parent / "main", "worktree", "add", "--quiet", code)
    assert files.git_commit() == commit


@pytest.mark.parametrize("root", [".", "own"], ids=["around", "at the root"])
def test_an_archive_in_a_foreign_repository_has_no_commit(code: Path, root: str) -> None:
    (code / CODE).parent.mkdir(parents=True)
    (code / CODE).touch()
    repository(code.parent / root, CODE.replace("files", "other"))
    assert files.git_commit() == "unknown"


def test_a_repository_in_the_environment_is_not_the_codes(code: Path, monkeypatch) -> None:
    """As git itself sets it for its hooks."""
    commit, other = repository(code, CODE), code.parent / "other"
    repository(other, CODE, "more")
    for name, of in (("DIR", ".git"), ("INDEX_FILE", ".git/index"), ("WORK_TREE", "")):
        monkeypatch.setenv(f"GIT_{name}", str(other / of))
    assert files.git_commit() == commit


def test_without_git_the_commit_is_unknown(code: Path, monkeypatch) -> None:
    repository(code, CODE)
    monkeypatch.setenv("PATH", str(code))
    assert files.git_commit() == "unknown"
