"""What a job reads: results of other jobs, each checked before it is used.

A result is whole if its bytes are those that its record was written for (SHA-256), and a record if
it has its own. It belongs to the job that reads it if it is the result that its place says, if the
settings that both were given agree, and if the results that it was made from are still the same.
Its tensors must have the shapes, a table the columns, that its reader expects, and finite values.
What fails is refused with the file and the rule that makes it, the first of a chain before others.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ndsm.artefacts import files
from ndsm.errors import Refused

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

PADDED = "log_weights"  # −∞ for the components that pad a stack
ANY = {"device"}  # settings in which reader and writer may differ
Arrays = TypeVar("Arrays", "dict[str, np.ndarray]", "dict[str, Tensor]")


def unusable(path: Path, problem: str) -> Refused:
    """The refusal of a result: what is wrong with it, the rule that makes it, and the remedy."""
    steps = path.with_suffix("").parts  # results/<study>/<stage>/…
    stage = steps[steps.index("results") + 2] if "results" in steps[:-2] else ""
    made = f" (rule {stage.replace('tables', 'aggregate')} makes it)" if stage else ""
    return Refused(f"{path}{made}: {problem}; remove it and run Snakemake again")


class Inputs:
    """What a job reads, each result checked before it is used; its own record names them.

    In what follows ``wanted`` are the settings of the reader: those that the writer of the result
    had as well must agree.

    Attributes:
        digests: the SHA-256 of each result that was read, by its path.
    """

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self._sound: dict[Path, dict[str, Any]] = {}  # records that are checked already

    def record(self, path: Path, wanted: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The provenance record of a result that is in its place and not out of date.

        Raises:
            Refused: there is none, it cannot be read, it has been changed, it is that of another
                result, what the result was made from is there in another version, or it was made
                with other settings. What is wrong with something before it is said first.
        """
        record = self._checked_record(path := Path(path))
        self.digests[str(path)] = record["sha256"]
        spec = record.get("spec", {})
        for key in sorted((wanted or {}).keys() & spec.keys() - ANY):
            if wanted and wanted[key] != spec[key]:
                made = f"{key}: {spec[key]!r}, where {wanted[key]!r} is wanted"
                raise unusable(path, f"it was made with {made}")
        return record

    def _checked_record(self, path: Path) -> dict[str, Any]:
        """A record, after those of what its result was made from, as far as they are there.

        These may be gone, as where the result was copied.
        """
        if path in self._sound:
            return self._sound[path]
        record = own_record(path)
        if record["place"] != files.place(path):
            raise unusable(path, f"it is {record['place']}, which was moved or copied there")
        for name, digest in record["inputs"].items():
            source = Path(os.path.normpath(path.parent / name))
            there = files.record_path(source).exists()
            if there and self._checked_record(source)["sha256"] != digest:
                raise unusable(path, f"it was made from another {source} than there is")
        self._sound[path] = record
        return record

    def whole(self, path: Path, wanted: Mapping[str, Any] | None = None) -> Path:
        """The path of a result that is whole, and whose record is sound (see ``record``).

        Raises:
            Refused: it is not there, or its bytes are not those of its record.
        """
        record = self.record(path := Path(path), wanted)
        try:
            if files.sha256(path) != record["sha256"]:
                raise unusable(path, "its bytes are not those of its record (SHA-256)")
        except OSError as problem:
            raise unusable(path, f"it cannot be read ({problem.strerror})") from None
        return path

    def tensors(
        self,
        path: Path,
        shapes: Mapping[str, str] | None = None,
        wanted: Mapping[str, Any] | None = None,
        **sizes: int,
    ) -> "dict[str, Tensor]":
        """The named tensors of a result.

        Args:
            path: a safetensors file.
            shapes: of each tensor that the reader needs: axes by number or name, and ``...`` for
                any further ones. The same name is the same size; e.g. {"pool": "n d",
                "pool_labels": "n"}.
            wanted: see above.
            sizes: those axes whose size is known.

        Raises:
            Refused: see ``whole``; or a tensor is missing, of another shape, or not finite.
        """
        from safetensors.torch import load_file

        return check(path, load_file(self.whole(path, wanted)), shapes or {}, sizes)

    def arrays(
        self,
        path: Path,
        shapes: Mapping[str, str] | None = None,
        wanted: Mapping[str, Any] | None = None,
        **sizes: int,
    ) -> dict[str, np.ndarray]:
        """``tensors`` as NumPy arrays, for a job without torch."""
        from safetensors.numpy import load_file

        return check(path, load_file(self.whole(path, wanted)), shapes or {}, sizes)

    def weights(
        self, network: "nn.Module", path: Path, wanted: Mapping[str, Any] | None = None
    ) -> None:
        """Puts the weights of a result into a network, if they have its names and shapes."""
        shapes = {name: " ".join(map(str, t.shape)) for name, t in network.state_dict().items()}
        weights = self.tensors(path, shapes, wanted)
        network.load_state_dict({name: weights[name] for name in shapes})

    def table(
        self,
        path: Path,
        columns: Collection[str] = (),
        wanted: Mapping[str, Any] | None = None,
        **dtype: Any,
    ) -> "pd.DataFrame":
        """A table.

        Args:
            path: a CSV file.
            columns: those that its reader needs.
            wanted: see above.
            dtype: of columns whose type must not be guessed; n_train is a nullable integer.

        Raises:
            Refused: see ``whole``; or a column is missing.
        """
        import pandas as pd

        table = pd.read_csv(self.whole(path, wanted), dtype={"n_train": "Int64"} | dtype)
        if missing := [name for name in columns if name not in table]:
            raise unusable(path, f"it has no column {missing[0]}")
        return table


def own_record(path: Path) -> dict[str, Any]:
    """The record of a result, whole; neither its place nor what it was made from is asked.

    Raises:
        Refused: there is none, or it has been changed.
    """
    try:
        record = json.loads(files.record_path(path).read_text("utf-8"))
        whole = record[files.SEAL] == files.seal(record)
    except OSError as problem:
        raise unusable(path, f"it has no record, {problem.filename}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise unusable(path, f"its record {files.record_path(path)} is damaged")
    return record


def check(
    path: Path, tensors: Arrays, shapes: Mapping[str, str], sizes: Mapping[str, int]
) -> Arrays:
    """The tensors, if they are what their reader expects (see ``Inputs.tensors``)."""
    bound = dict(sizes)
    for name, expected in shapes.items():
        if name not in tensors:
            raise unusable(path, f"it has no {name}")
        if not _fits(tensors[name].shape, expected.split(), bound):
            known = ", ".join(f"{axis} = {size}" for axis, size in bound.items())
            shape = tuple(tensors[name].shape)
            raise unusable(path, f"{name} is of shape {shape}, not ({expected}) with {known}")
    for name, tensor in tensors.items():
        values = np.asarray(tensor)
        if values.dtype.kind != "f":
            continue
        good = values < np.inf if name == PADDED else np.isfinite(values)
        if not good.all():
            where = tuple(int(i) for i in np.argwhere(~good)[0])
            raise unusable(path, f"{name}{list(where)} is {values[where]}")
    return tensors


def _fits(shape: Sequence[int], axes: Sequence[str], bound: dict[str, int]) -> bool:
    """Whether a shape is as described; the sizes of axes seen for the first time are kept."""
    if axes[-1:] == ["..."]:
        axes, shape = axes[:-1], shape[: len(axes) - 1]
    if len(shape) != len(axes):
        return False
    for axis, size in zip(axes, shape, strict=True):
        expected = int(axis) if axis.isdigit() else bound.setdefault(axis, size)
        if expected != size:
            return False
    return True
