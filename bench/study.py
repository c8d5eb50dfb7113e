"""Rows: the wall time of ``make study`` and Snakemake's share, from what its jobs left behind.

To be had where the study ran from nothing, in one go, on all cores: ``make clean study``.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bench.measure import Row, row, seconds

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "results/default/benchmarks"
GOAL = 10 * 60


def start_up() -> None:
    """Snakemake's imports and its plan: all that it does before the first job."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["snakemake", "--dry-run", "--quiet", "all", "--forceall", "--cores", "all"]
    env = os.environ | {"PATH": path}
    subprocess.run(command, check=True, cwd=ROOT, env=env, capture_output=True)


def rows() -> Iterator[Row]:
    """All rows of this module; none without the study's results."""
    files = list(FOLDER.rglob("*.tsv"))
    if not (FOLDER / "figures.tsv").exists():
        print("no rows of make study: run it first")
        return
    jobs = pd.DataFrame(
        {"seconds": pd.read_csv(path, sep="\t").s[0], "end": path.stat().st_mtime} for path in files
    )
    before = sorted(seconds(start_up) for _ in range(3))[1]
    wall = jobs.end.max() - (jobs.end - jobs.seconds).min() + before
    cores = os.cpu_count() or 1
    told = f"{len(jobs)} jobs, {jobs.seconds.sum():.0f} s of work on {cores} cores"
    share = 1 - jobs.seconds.sum() / (cores * wall)
    note = f"{told}; of {wall:.0f} s, cores idle at the end and {before:.1f} s of start-up included"
    yield row("Snakemake's share of make study's wall time", [share], "≤ 0.15", note)
    yield row("make study : 10 minutes", [wall / GOAL], "≤ 1", f"{wall:.0f} s; {told}")
