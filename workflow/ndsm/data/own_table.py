"""A table of the user's own, as a study can use it: checked, split by a seed, standardised.

Of the rows 70 % are the pool to train on and the rest is held out, at most ``HELD_OUT`` of them.
Each column has mean 0 and deviation 1 in the pool, which knows nothing of what is held out. Also in
the file of data are ``mean`` and ``deviation``, (d,), by which samples return to the table's units.
"""

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ndsm.data.images import floor_sets
from ndsm.data.laws import Array
from ndsm.data.table_file import frame
from ndsm.errors import Refused
from ndsm.vocabulary import SEED

if TYPE_CHECKING:
    import pandas as pd

POOL_SHARE, HELD_OUT = 0.7, 5000
FEWEST_ROWS, FEWEST_COLUMNS = 50, 2
MOST_CLASSES = 50  # of a label
LARGEST = 1e100  # beyond it squares overflow
DUPLICATES = 0.01  # the share of rows from which on they are told
ALIKE = 0.995  # a correlation of two columns that is told
FEW_VALUES = 0.1  # the share of rows with the commonest value from which on a column is told
NAMED = 6  # columns that a message names


@dataclass(frozen=True)
class OwnTable:
    """A table that can be used.

    Attributes:
        columns: names of the columns of numbers, d of them.
        points: (n, d).
        labels: (n,), numbers of the classes; zero without a label.
        classes: names of the classes; none without a label.
        notes: what its owner should know, a sentence each.
    """

    columns: tuple[str, ...]
    points: Array
    labels: Array
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read(dataset: Mapping[str, Any]) -> OwnTable:
    """The table of a dataset; a file that has not changed is read once in a process.

    Args:
        dataset: with ``path``, perhaps ``label``, the name of a column, and ``columns``, names.

    Raises:
        Refused: one line that names the file, the columns and rows, and the remedy.
    """
    path = Path(dataset["path"])
    try:
        about = path.stat()
        seen = (about.st_mtime_ns, about.st_size)
    except OSError:
        seen = (0, 0)
    return _read(path, dataset.get("label"), tuple(dataset.get("columns", ())), seen)


def pool_size(dataset: Mapping[str, Any]) -> int:
    """How many rows there are to train on; as ``read``."""
    return int(POOL_SHARE * len(read(dataset).points))


def arrays(dataset: Mapping[str, Any], samples: int, source: Path | None) -> dict[str, Array]:
    """The arrays of a file of data (see ``datasets``); as ``read``."""
    table = read(dataset)
    pool, held_out = _split(table.labels)
    mean, deviation = table.points[pool].mean(0), table.points[pool].std(0)
    points = (table.points - mean) / deviation
    return {
        "pool": points[pool],
        "pool_labels": table.labels[pool],
        "held_out": points[held_out],
        "held_out_labels": table.labels[held_out],
        "real": floor_sets(points[pool], samples),
        "mean": mean,
        "deviation": deviation,
    }


def _split(labels: Array) -> tuple[Array, Array]:
    """Numbers of the rows of the pool, and of those held out; classes in equal shares."""
    from sklearn.model_selection import train_test_split

    n = len(labels)
    size = int(POOL_SHARE * n)
    counts = np.bincount(labels)
    by_class = labels if counts[counts > 0].min() > 1 and (counts > 0).sum() < n - size else None
    pool, rest = train_test_split(
        np.arange(n), train_size=size, stratify=by_class, random_state=SEED
    )
    return pool, rest[:HELD_OUT]


@functools.lru_cache(maxsize=4)
def _read(
    path: Path, label: str | None, columns: tuple[str, ...], seen: tuple[int, int]
) -> OwnTable:
    """See ``read``; ``seen`` tells one state of the file from another."""
    whole, notes = frame(path), list[str]()
    whole = _without_index(path, whole, columns, notes)
    labels, classes = _labels(path, whole, label)
    if label is not None:
        whole = whole.drop(columns=label)
    if columns:
        for name in columns:
            if name not in whole:
                raise Refused(_no_column(path, "columns", name, whole.columns))
        whole = whole[list(columns)]
    if twice := sorted({str(name) for name in whole.columns[whole.columns.duplicated()]}):
        raise Refused(f"{path}: column {twice[0]!r} is there twice; give each a name of its own")
    _refuse_text(path, whole)
    if len(whole) < FEWEST_ROWS:
        few = f"{len(whole)} rows are too few; allowed: {FEWEST_ROWS} or more"
        raise Refused(f"{path}: {few}, of which 30 % are held out")
    if whole.shape[1] < FEWEST_COLUMNS:
        what = f"{whole.shape[1]} column of numbers; allowed: {FEWEST_COLUMNS} or more"
        raise Refused(f"{path}: {what}; the law of one column is its histogram")
    points = _numbers(path, whole)
    names = tuple(map(str, whole.columns))
    _refuse_constant(path, names, points, _split(labels)[0])
    notes += _notes(names, points)
    return OwnTable(names, points, labels, classes, tuple(notes))


def _no_column(path: Path, key: str, name: str, there: Sequence[Any]) -> str:
    near = difflib.get_close_matches(str(name), list(map(str, there)), n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{path}: {key}: no column {name!r}; there are {_named(there)}{hint}"


def _named(names: Sequence[Any], most: int = NAMED) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def _without_index(
    path: Path, whole: "pd.DataFrame", columns: Sequence[str], notes: list[str]
) -> "pd.DataFrame":
    """Leaves out a first column without a name that counts the rows."""
    first = str(whole.columns[0]) if whole.shape[1] else ""
    if first not in columns and (first.startswith("Unnamed: 0") or not first) and _counts(whole):
        notes.append("The first column has no name and counts the rows: it was left out.")
        return whole.iloc[:, 1:]
    if whole.shape[1] and first not in columns and _counts(whole):
        notes.append(f"Column {first!r} only counts the rows; leave it out, or name the others.")
    return whole


def _counts(whole: "pd.DataFrame") -> bool:
    """Whether the first column holds 0, 1, 2 and so on, or 1, 2, 3."""
    column = whole.iloc[:, 0]
    if column.dtype.kind not in "iuf" or not len(column):
        return False
    rows = np.arange(len(column))
    return any(np.array_equal(column.to_numpy(), rows + start) for start in (0, 1))


def _labels(path: Path, whole: "pd.DataFrame", label: str | None) -> tuple[Array, tuple[str, ...]]:
    """The numbers of the rows' classes, and the names of these."""
    if label is None:
        return np.zeros(len(whole), dtype=int), ()
    if label not in whole:
        raise Refused(_no_column(path, "label", label, whole.columns))
    column = whole[label]
    if column.ndim > 1:
        raise Refused(f"{path}: label: column {label!r} is there twice; rename one")
    if missing := np.flatnonzero(column.isna()).tolist():
        gaps = f"has {len(missing)} missing values (first in row {missing[0] + 1})"
        raise Refused(f"{path}: label: column {label!r} {gaps}; fill them in or drop these rows")
    names = sorted(column.astype(str).unique())
    if len(names) > MOST_CLASSES:
        many = f"{label!r} has {len(names)} different values"
        raise Refused(f"{path}: label: {many}; allowed: up to {MOST_CLASSES} classes")
    numbers = {name: k for k, name in enumerate(names)}
    return column.astype(str).map(numbers).to_numpy(dtype=int), tuple(names)


def _refuse_text(path: Path, whole: "pd.DataFrame") -> None:
    """Refuses columns of text, categories, dates or yes and no."""
    import pandas as pd

    numeric = [name for name in whole if whole[name].dtype.kind in "iuf"]
    others = [name for name in whole if name not in numeric]
    if not others:
        return
    first = whole[others[0]]
    numbers = pd.to_numeric(first.astype(str), errors="coerce")
    strange = np.flatnonzero(numbers.isna() & first.notna()).tolist()
    row = strange[0] if strange else 0
    example = f" (row {row + 1}: {str(first.iloc[row])[:20]!r})" if len(first) else ""
    what = f"{_named(others)} {'holds' if len(others) == 1 else 'hold'} no numbers"
    if not numeric:
        raise Refused(f"{path}: {what}{example}; give a table with columns of numbers")
    remedy = f"name those to use, as columns: [{_named(numeric)}]"
    raise Refused(f"{path}: {what}{example}; {remedy}, or take label: for a column of classes")


def _numbers(path: Path, whole: "pd.DataFrame") -> Array:
    """The values (n, d); refuses those that are missing, infinite or too large."""
    points = whole.to_numpy(dtype=float, na_value=np.nan)
    for bad, what, remedy in (
        (np.isnan(points), "missing values", "fill them in, or drop these rows or columns"),
        (np.abs(points) > LARGEST, "infinite or huge values", "drop or correct these rows"),
    ):
        if bad.any():
            where = [
                f"{whole.columns[k]} has {bad[:, k].sum()}, first in row {bad[:, k].argmax() + 1}"
                for k in np.flatnonzero(bad.any(0))
            ]
            raise Refused(f"{path}: {what} ({_named(where, 3)}); {remedy}")
    return points


def _refuse_constant(path: Path, names: Sequence[str], points: Array, pool: Array) -> None:
    """Refuses columns that are one value in the rows to train on."""
    size = np.maximum(np.abs(points[pool]).max(0), np.finfo(float).tiny)
    flat = np.flatnonzero(points[pool].std(0) <= 1e-9 * size).tolist()
    if flat:
        given = f"{_named([names[k] for k in flat])} {'is' if len(flat) == 1 else 'are'} constant"
        raise Refused(f"{path}: {given} in the rows to train on; leave out such columns")


def _notes(names: Sequence[str], points: Array) -> Iterator[str]:
    """What makes likelihoods say less than they seem to."""
    same = 1 - len(np.unique(points, axis=0)) / len(points)
    if same > DUPLICATES:
        yield (
            f"{same:.0%} of the rows repeat another one. A repeated row may be both trained on and "
            "held out, which favours what memorises; and no density describes it."
        )
    commonest = [np.unique(column, return_counts=True)[1].max() for column in points.T]
    few = [
        name
        for name, count in zip(names, commonest, strict=True)
        if count > FEW_VALUES * len(points)
    ]
    if few:
        yield (
            f"In {len(few)} of {len(names)} columns one value is that of more than "
            f"{FEW_VALUES:.0%} of the rows ({_named(few)}). Such a column has no density there: "
            "a narrow component on that value gains likelihood without end. Trust the energy "
            "distance more, or leave such columns out."
        )
    correlation = np.triu(np.abs(np.corrcoef(points, rowvar=False)), 1)
    i, j = divmod(int(correlation.argmax()), len(names))
    if correlation[i, j] > ALIKE or np.isclose(correlation[i, j], 1):
        yield (
            f"Columns {names[i]!r} and {names[j]!r} have the correlation {correlation[i, j]:.5f}: "
            "likelihoods tell of little else. Leave one of them out."
        )
