"""The cells of the study's table, (experiment, method, n_train, seed, metric): each once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ndsm.artefacts.reading import Inputs, unusable
from ndsm.errors import Refused
from ndsm.vocabulary import FLOOR

KEYS = ["experiment", "method", "n_train", "seed", "metric"]
COLUMNS = [*KEYS, "value"]
Cell = tuple[str, str, int, int, str]


def read_cells(inputs: Inputs, path: Path) -> pd.DataFrame:
    """The metric values that one job measured: ``COLUMNS``.

    Raises:
        Refused: the file cannot be used, or has a value that is not finite.
    """
    table = inputs.table(path, COLUMNS)
    if len(bad := table[~np.isfinite(table.value.astype(float))]):
        raise unusable(path, f"{_name(bad[KEYS].iloc[0])} is {bad.value.iloc[0]}")
    return table


def refuse_gaps(metrics: pd.DataFrame, planned: set[Cell]) -> None:
    """Checks that every planned cell has its value, none has two, and there are no others.

    The floor is left aside: it has as many values as there are sets of real data, and none where a
    metric compares with the truth. So are metrics of which none is planned in an experiment.

    Raises:
        Refused: with the first cell that is missing, there twice, or not planned.
    """
    if len(twice := metrics[metrics.duplicated(KEYS)]):
        raise Refused(_line(twice[KEYS].itertuples(index=False), "there twice"))
    measured = {(experiment, metric) for experiment, _, _, _, metric in planned}
    rows = metrics[metrics.method != FLOOR][KEYS].itertuples(index=False, name=None)
    there = {row for row in rows if (row[0], row[-1]) in measured}
    if missing := planned - there:
        raise Refused(_line(missing, "missing; rule evaluate measures it: run Snakemake again"))
    if extra := there - planned:
        raise Refused(_line(extra, "not of this study; remove its file below evaluate"))


def _line(cells: Iterable[Any], problem: str) -> str:
    """What is wrong with the first of some cells, and how many more there are."""
    first, *others = sorted(map(tuple, cells), key=str)
    more = f" (and {len(others)} more)" if others else ""
    return f"{_name(first)}{more} is {problem}"


def _name(cell: Iterable[Any]) -> str:
    experiment, method, n_train, seed, metric = cell
    return f"{metric} of {experiment}, {method}, n_train {n_train}, seed {seed}"
