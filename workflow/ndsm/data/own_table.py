"""A table of the user's own, as a study can use it: checked, split by a seed, standardised.

Of the rows 70 % are the pool to train on and the rest is held out, at most ``HELD_OUT`` of them.
Each column has mean 0 and deviation 1 in the pool, which knows nothing of what is held out. Also in
the file of data are ``mean`` and ``deviation``, (d,), by which samples return to the table's units.

Rows that are images are a table of their coordinates in principal components (``own_images``).
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ndsm.data import own_images, own_notes
from ndsm.data.images import Fetched, floor_sets
from ndsm.data.laws import Array
from ndsm.data.own_images import Images
from ndsm.data.table_file import frame, named
from ndsm.errors import Refused, nearest
from ndsm.vocabulary import SEED

if TYPE_CHECKING:
    import pandas as pd

POOL_SHARE, HELD_OUT = 0.7, 5000
FEWEST_ROWS, FEWEST_COLUMNS = 50, 2
MOST_CLASSES = 50  # of a label
LARGEST = 1e100  # beyond it squares overflow


@dataclass(frozen=True)
class OwnTable:
    """A table that can be used.

    Attributes:
        columns: names of the columns of numbers, d of them.
        points: (n, d).
        labels: (n,), numbers of the classes; zero without a label.
        classes: names of the classes; none without a label.
        notes: what its owner should know, a sentence each.
        images: what the rows are, if they are images; the columns are then their components.
    """

    columns: tuple[str, ...]
    points: Array
    labels: Array
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    images: Images | None = None


def read(dataset: Mapping[str, Any]) -> OwnTable:
    """The table of a dataset; files that have not changed are read once in a process.

    Args:
        dataset: with ``path``, perhaps ``label``, the name of a column, ``columns``, names, and
            ``image_side``, if rows are images.

    Raises:
        Refused: one line that names the file, the columns and rows, and the remedy.
    """
    path, columns = Path(dataset["path"]), tuple(dataset.get("columns", ()))
    try:
        parts = [path, *(sorted(path.iterdir()) if os.path.isdir(path) else ())]
        seen = tuple((part, part.stat().st_mtime_ns, part.stat().st_size) for part in parts)
    except OSError:
        seen = ()
    return _read(path, dataset.get("label"), columns, dataset.get("image_side"), seen)


def pool_size(dataset: Mapping[str, Any]) -> int:
    """How many rows there are to train on; as ``read``."""
    return int(POOL_SHARE * len(read(dataset).points))


def arrays(dataset: Mapping[str, Any], samples: int, fetched: Fetched) -> dict[str, Array]:
    """The arrays of a file of data (see ``datasets``); as ``read``."""
    table = read(dataset)
    pool, held_out = _split(table.labels)
    mean, deviation = table.points[pool].mean(0), table.points[pool].std(0)
    points = (table.points - mean) / deviation
    pixels = table.images.arrays(held_out) if table.images else {}
    return pixels | {
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
    path: Path,
    label: str | None,
    columns: tuple[str, ...],
    image_side: int | None,
    seen: tuple[tuple[Path, int, int], ...],
) -> OwnTable:
    """See ``read``; ``seen`` tells one state of the files from another."""
    if os.path.isdir(path):
        own_images.refuse_keys(path, label=label, columns=columns)
        points, notes = own_images.folder(path, image_side)
        _refuse_few(path, len(points), "images")
        found = OwnTable((), points, np.zeros(len(points), dtype=int), (), tuple(notes))
    else:
        found = _of_file(path, label, columns)
    pool, images = _split(found.labels)[0], None
    notes = [*found.notes, *own_notes.repeated(found.points)]
    if os.path.isdir(path) or image_side:
        images = own_images.of_pixels(path, found.points, pool, image_side)
        found = dataclasses.replace(found, columns=images.names, points=images.coordinates)
        notes.append(images.said)
    else:
        _refuse_constant(path, found.columns, found.points, pool)
    notes += own_notes.of_columns(found.columns, found.points)
    return dataclasses.replace(found, notes=tuple(notes), images=images)


def _of_file(path: Path, label: str | None, columns: tuple[str, ...]) -> OwnTable:
    """The table in a file; all its numbers can be used, but columns may be constant."""
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
    _refuse_few(path, len(whole), "rows")
    if whole.shape[1] < FEWEST_COLUMNS:
        what = f"{whole.shape[1]} column of numbers; allowed: {FEWEST_COLUMNS} or more"
        raise Refused(f"{path}: {what}; the law of one column is its histogram")
    names = tuple(map(str, whole.columns))
    return OwnTable(names, _numbers(path, whole), labels, classes, tuple(notes))


def _refuse_few(path: Path, count: int, what: str) -> None:
    if count < FEWEST_ROWS:
        few = f"{count} {what} are too few; allowed: {FEWEST_ROWS} or more"
        raise Refused(f"{path}: {few}, of which 30 % are held out")


def _no_column(path: Path, key: str, name: str, there: Sequence[Any]) -> str:
    return f"{path}: {key}: no column {name!r}; there are {named(there)}{nearest(name, there)}"


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
    what = f"{named(others)} {'holds' if len(others) == 1 else 'hold'} no numbers"
    if not numeric:
        raise Refused(f"{path}: {what}{example}; give a table with columns of numbers")
    remedy = f"name those to use, as columns: [{named(numeric)}]"
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
            raise Refused(f"{path}: {what} ({named(where, 3)}); {remedy}")
    return points


def _refuse_constant(path: Path, names: Sequence[str], points: Array, pool: Array) -> None:
    """Refuses columns that are one value in the rows to train on."""
    size = np.maximum(np.abs(points[pool]).max(0), np.finfo(float).tiny)
    flat = np.flatnonzero(points[pool].std(0) <= 1e-9 * size).tolist()
    if flat:
        given = f"{named([names[k] for k in flat])} {'is' if len(flat) == 1 else 'are'} constant"
        raise Refused(f"{path}: {given} in the rows to train on; leave out such columns")
