"""The environment of whoever runs it: other locales."""

import os
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, on_path, snakemake

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
    code = "import sys; from ndsm import store; print('λ'); store.write_text(sys.argv[1], 'λ')"
    job = ["bash", "-c", 'source "$0"; python -c "$@"', ROOT / "workflow" / "job.sh", code]
    env = on_path(os.environ | ASCII | odd)
    done = subprocess.run([*job, tmp_path / "x"], env=env, capture_output=True)
    assert done.stdout.decode() == "λ\n", done.stderr
    assert (tmp_path / "x").read_bytes().decode() == "λ"
