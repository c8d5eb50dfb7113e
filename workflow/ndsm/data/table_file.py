"""Reads a table of the user's own: csv, tsv, npy, npz and, where pyarrow is there, parquet.

What is read is a frame as it stands in the file; what a study can use of it says ``own_table``.
Every problem is one line: the file, what is wrong with it, the remedy.
"""

import csv
import errno
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ndsm.errors import Refused, nearest

if TYPE_CHECKING:
    import pandas as pd

MOST = 25_000_000  # numbers of a table: 200 MB, and a few times that while it is read
HEAD = 2**20  # bytes of a text that its form is guessed from
LOOKED_AT = 50  # lines of these
NAMED = 6  # columns or files that a message names
SEPARATORS = ("\t", ";", "|", ",")  # in this order: a comma may be a decimal sign
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
WITH_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class Form:
    """How a text holds its table.

    Attributes:
        separator: between two fields; of spaces a regular expression.
        decimal: the decimal sign.
        names: of the columns, or none if the first line holds numbers already.
        width: number of fields in a line.
    """

    separator: str
    decimal: str
    names: list[str] | None
    width: int


def frame(path: Path) -> "pd.DataFrame":
    """The table in a file.

    Raises:
        Refused: it is not there, of a kind that is not read, empty, damaged or too large.
    """
    suffix = path.suffix.lower()
    with _one_line(path):
        if not path.exists():
            beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = nearest(path.name, beside)
            where = "paths are from the folder where Snakemake starts"
            raise Refused(f"{path}: is not there{hint}; {where}")
        if suffix not in READERS:
            kinds = ", ".join(READERS)
            raise Refused(f"{path}: is of no kind that is read; allowed: {kinds}; save it as CSV")
        if not path.stat().st_size:
            raise Refused(f"{path}: is empty; give a table")
        return READERS[suffix](path)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turns what a reader raises into a refusal."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # Of lines with more fields than there are names pandas would drop the last, or take
            # the first for names of rows.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (Refused, MemoryError):
        raise
    except (UnicodeError, csv.Error) as problem:
        what = "is no text in UTF-8" if isinstance(problem, UnicodeError) else f"({problem})"
        raise Refused(f"{path}: {what}; save it as CSV in UTF-8") from None
    except OSError as problem:
        if problem.errno in (errno.ENOMEM, errno.EIO):
            raise
        raise Refused(f"{path}: cannot be read ({problem.strerror or problem})") from None
    except Exception as problem:  # what readers raise on a damaged file has no class in common
        said = " ".join(str(problem).split())[:120] or type(problem).__name__
        raise Refused(f"{path}: cannot be read as a table ({said}); repair the file") from None


def named(names: Sequence[Any], most: int = NAMED) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def refuse_large(path: Path, rows: int, columns: int, about: str = "") -> None:
    """Refuses a table of more than ``MOST`` numbers, before it is read."""
    if rows * columns > MOST:
        given = f"{about}{rows:,} rows × {columns:,} columns are too large for memory"
        most = max(1, MOST // columns)
        raise Refused(
            f"{path}: {given}; allowed: {MOST:,} numbers, here {most:,} rows; "
            "take so many at random (10,000 are enough to train on)"
        )


def _form(path: Path) -> Form:
    """Looks at the first lines of a text, and refuses one that is too large."""
    with path.open("rb") as file:
        raw = file.read(HEAD)
    size = path.stat().st_size
    if b"\0" in raw:
        raise Refused(f"{path}: is no text in UTF-8; save it as CSV in UTF-8")
    # The last character may be cut in two.
    text = raw.decode("utf-8-sig", errors="ignore" if size > len(raw) else "strict")
    lines = [line for line in text.splitlines()[: LOOKED_AT + 1] if line.strip()]
    if not lines:
        raise Refused(f"{path}: is empty; give a table")
    separator, rows = _fields(lines)
    numbers = [field for row in rows[1:] for field in row]
    comma = separator != "," and any(WITH_COMMA.fullmatch(field) for field in numbers or rows[0])
    first = [field.strip() for field in rows[0]]
    number = WITH_COMMA if comma else NUMBER
    whole = all(NUMBER.fullmatch(field) or number.fullmatch(field) for field in first)
    names = None if whole else first
    count = round(size / max(1, len(raw)) * text.count("\n"))
    refuse_large(path, count, len(first), about="about ")
    return Form(separator, "," if comma else ".", names, len(first))


def _fields(lines: list[str]) -> tuple[str, list[list[str]]]:
    """The separator, and the fields of each line."""
    for separator in SEPARATORS:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
        alike = sum(len(row) == len(rows[0]) for row in rows)
        if len(rows[0]) > 1 and alike > len(rows) / 2:
            return separator, rows
    rows = [line.split() for line in lines]
    if len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows):
        return r"\s+", rows
    return ",", list(csv.reader(lines, skipinitialspace=True))


def _text(path: Path) -> "pd.DataFrame":
    import pandas as pd

    form = _form(path)
    names = [name for name in form.names or [] if name]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Refused(f"{path}: column {twice[0]!r} is there twice; give each a name of its own")
    found = pd.read_csv(
        path,
        sep=form.separator,
        decimal=form.decimal,
        header=None if form.names is None else 0,
        encoding="utf-8-sig",
        index_col=False,
        skipinitialspace=True,
        low_memory=False,
    )
    if found.shape[1] != form.width:
        raise Refused(f"{path}: lines have different numbers of fields; repair the file")
    if form.names is None:
        return found.set_axis([f"x{k}" for k in range(found.shape[1])], axis=1)
    return found.set_axis([str(name).strip() for name in found.columns], axis=1)


def _matrix(path: Path, array: np.ndarray, name: str = "x") -> "pd.DataFrame":
    """An array of two axes, or one with named fields."""
    import pandas as pd

    if array.dtype.names:
        return pd.DataFrame({field: array[field] for field in array.dtype.names})
    if array.ndim != 2:
        shape = f"is of shape {array.shape}"
        raise Refused(f"{path}: {name} {shape}; give an array of two axes, rows × columns")
    return pd.DataFrame(array, columns=[f"{name}{k}" for k in range(array.shape[1])])


def _npy(path: Path) -> "pd.DataFrame":
    """Opened without reading it, so that its size is known first; pickles are not read."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    refuse_large(path, *(array.shape if array.ndim == 2 else (array.size, 1)))
    return _matrix(path, np.array(array))


def _npz(path: Path) -> "pd.DataFrame":
    """Of each array of two axes its columns, of one axis a column with its name."""
    import pandas as pd

    with zipfile.ZipFile(path) as archive:
        refuse_large(path, sum(part.file_size for part in archive.infolist()) // 8, 1, "about ")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) != 1 or len(lengths) < len(arrays):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise Refused(f"{path}: arrays of different lengths ({shapes}); give one table")
    parts = [
        pd.DataFrame({name: array}) if array.ndim == 1 else _matrix(path, array, name)
        for name, array in arrays.items()
    ]
    return pd.concat(parts, axis=1)


def _parquet(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise Refused(f"{path}: parquet is read by pyarrow; pip install pyarrow") from None
    try:
        of = ParquetFile(path).metadata
        refuse_large(path, of.num_rows, of.num_columns)
        return pd.read_parquet(io.BytesIO(path.read_bytes()))
    except ArrowException as problem:
        raise ValueError(problem) from None


READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _text,
    ".tsv": _text,
    ".txt": _text,
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
}
