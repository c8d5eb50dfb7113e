"""Measures everything and writes results/bench/bench.csv and bench.md: ``python -m bench``."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch

from bench import quality, sampling, scaling, stacks, study
from bench.measure import Row, ceiling

OUT = Path("results/bench")
PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "stacks": stacks.rows,
    "quality": quality.rows,
    "sampling": sampling.rows,
    "scaling": scaling.rows,
    "study": study.rows,
}


def main() -> None:
    """Runs the parts named on the command line, or all."""
    start = time.perf_counter()
    torch.set_flush_denormal(True)  # as ndsm.artefacts.files.run does for a job
    chosen = sys.argv[1:] or list(PARTS)
    peak = ceiling() / 1e9
    rows = [row for name in chosen for row in PARTS[name]()]
    table = pd.DataFrame(rows)
    OUT.mkdir(parents=True, exist_ok=True)
    table.to_csv(OUT / "bench.csv", index=False)
    machine = (
        f"{os.cpu_count()} cores, PyTorch {torch.__version__}; a float32 matrix product of side "
        f"2,048 runs at {peak:.0f} GFLOP/s. {time.perf_counter() - start:.0f} s in all."
    )
    (OUT / "bench.md").write_text(markdown(table, machine), "utf-8")
    print(f"\ntable  {OUT}/bench.md")


def markdown(table: pd.DataFrame, machine: str) -> str:
    """The table for people."""
    sense = (
        "With a goal of ≥, `a : b` says how many times as long b takes: above one, a is faster. "
        "With ≤, and for the arithmetic rate, it is a over b."
    )
    lines = ["# Benchmark", "", machine, sense, "", " | ".join(["", *table.columns, ""]).strip()]
    lines.append("|" + " --- |" * len(table.columns))
    lines += [" | ".join(["", *map(str, cells), ""]).strip() for cells in table.to_numpy()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
