"""Tables of the user's own: what is read, and what is refused in one line."""

import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import start
from ndsm.data import datasets, own_table, table_file
from ndsm.errors import Refused

ROWS = 60


@pytest.fixture
def frame() -> pd.DataFrame:
    """Sixty rows of three columns of numbers."""
    x = np.random.default_rng(0).standard_normal((ROWS, 3)).round(3)
    return pd.DataFrame(x, columns=["length", "width", "depth"])


def read(path: Path, **more: Any) -> own_table.OwnTable:
    """The table of a file."""
    return own_table.read({"name": "table", "path": str(path), **more})


def refused(path: Path, **more: Any) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(Refused) as caught:
        read(path, **more)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 500
    return line.removeprefix(f"{path}: ")


def test_every_kind_of_file_gives_the_same_numbers(tmp_path: Path, frame: pd.DataFrame) -> None:
    files = {name: tmp_path / name for name in ("a.csv", "b.csv", "c.csv", "d.tsv", "e.txt")}
    frame.to_csv(files["a.csv"], index=False)
    text = files["a.csv"].read_text()
    files["b.csv"].write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    frame.to_csv(files["c.csv"], index=False, sep=";", decimal=",")
    frame.to_csv(files["d.tsv"], index=False, sep="\t")
    files["e.txt"].write_text(text.replace(",", "  "))
    for path in files.values():
        table = read(path)
        assert table.columns == ("length", "width", "depth") and table.notes == ()
        np.testing.assert_allclose(table.points, frame)


def test_arrays_have_columns_by_number(tmp_path: Path, frame: pd.DataFrame) -> None:
    x = frame.to_numpy()
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "a.npz", x=x, kind=np.arange(ROWS) % 2)
    assert read(tmp_path / "a.npy").columns == ("x0", "x1", "x2")
    table = read(tmp_path / "a.npz", label="kind")
    np.testing.assert_array_equal(table.points, x)
    np.testing.assert_array_equal(table.labels, np.arange(ROWS) % 2)


def test_lines_without_names_and_an_index_are_noticed(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(tmp_path / "a.csv", index=False, header=False)
    assert read(tmp_path / "a.csv").columns == ("x0", "x1", "x2")
    assert len(read(tmp_path / "a.csv").points) == ROWS
    frame.to_csv(tmp_path / "b.csv")
    table = read(tmp_path / "b.csv")
    assert table.columns == ("length", "width", "depth")
    assert table.notes[0].startswith("The first column has no name and counts the rows")
    frame.insert(0, "id", range(1, ROWS + 1))
    frame.to_csv(tmp_path / "c.csv", index=False)
    table = read(tmp_path / "c.csv")
    assert len(table.columns) == 4 and table.notes[0].startswith("Column 'id' only counts the rows")


def test_the_split_is_by_a_seed_and_in_units_of_the_pool(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    frame["kind"] = ["b", "a", "b"] * (ROWS // 3)
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = {"name": "table", "path": str(tmp_path / "a.csv"), "label": "kind"}
    arrays = datasets.prepare(dataset, 500)
    assert datasets.pool_size(dataset) == len(arrays["pool"]) == 42
    assert len(arrays["held_out"]) == 18
    np.testing.assert_allclose(arrays["pool"].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(arrays["pool"].std(0), 1)
    # Both parts in the table's units are the table, each row once.
    both = np.concatenate([arrays["pool"], arrays["held_out"]])
    both = both * arrays["deviation"] + arrays["mean"]
    table = frame[["length", "width", "depth"]].to_numpy()
    np.testing.assert_allclose(np.sort(both, 0), np.sort(table, 0), atol=1e-12)
    # The classes have their shares in both; a third is a, the first of the names.
    assert arrays["pool_labels"].mean() == arrays["held_out_labels"].mean() == pytest.approx(2 / 3)
    again = datasets.prepare(dataset, 500)
    np.testing.assert_array_equal(arrays["pool"], again["pool"])


def test_a_file_that_changed_is_read_again(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(tmp_path / "a.csv", index=False)
    before = read(tmp_path / "a.csv").points
    (10 * frame).round(2).to_csv(tmp_path / "a.csv", index=False)
    assert read(tmp_path / "a.csv").points.std() > 5 * before.std()


def changed(frame: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The frame with other columns, each as a list of as many values."""
    return frame.assign(**columns)


GAP = [1.0, np.nan] + [float(k) for k in range(ROWS - 2)]
BAD = {
    "missing": ({"width": GAP}, r"missing values \(width has 1, first in row 2\); fill them in"),
    "infinite": (
        {"width": [2.0, 1.0, np.inf] + [1.0, 3.0] * 28 + [0.0]},
        r"infinite or huge values \(width has 1, first in row 3\); drop or correct",
    ),
    "huge": ({"width": [1e200] + GAP[2:] + [1.0]}, r"infinite or huge .* first in row 1"),
    "text": (
        {"kind": ["red", "blue"] * 30},
        r"kind holds no numbers \(row 1: 'red'\); .*columns: \[length, width, depth\]",
    ),
    "mixed": ({"width": ["1.5"] * 7 + ["n.d."] * 53}, r"width holds no numbers \(row 8: 'n.d.'\)"),
    "dates": ({"day": ["2024-01-31"] * 60}, r"day holds no numbers \(row 1: '2024-01-31'\)"),
    "yes and no": ({"smokes": [True, False] * 30}, r"smokes holds no numbers"),
    "constant": ({"width": [3.0] * 60}, r"width is constant in the rows to train on; leave out"),
}


@pytest.mark.parametrize("name", BAD)
def test_columns_that_cannot_be_used(tmp_path: Path, frame: pd.DataFrame, name: str) -> None:
    columns, line = BAD[name]
    changed(frame, **columns).to_csv(tmp_path / "a.csv", index=False)
    assert re.match(line, refused(tmp_path / "a.csv"))
    others = [column for column in frame if column not in columns][:2]
    assert read(tmp_path / "a.csv", columns=others).columns == tuple(others)


def test_files_that_cannot_be_used(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.head(49).to_csv(tmp_path / "few.csv", index=False)
    assert refused(tmp_path / "few.csv").startswith("49 rows are too few; allowed: 50 or more")
    frame[["width"]].to_csv(tmp_path / "one.csv", index=False)
    assert refused(tmp_path / "one.csv").startswith("1 column of numbers; allowed: 2 or more")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "blank.csv").write_text("\n\n \n")
    for name in ("empty.csv", "blank.csv"):
        assert refused(tmp_path / name) == "is empty; give a table"
    assert refused(tmp_path / "zzz.npy").startswith("is not there; paths are from the folder")
    found = refused(tmp_path / "blnk.csv")
    assert found.startswith("is not there (did you mean 'blank.csv'?); paths are")
    (tmp_path / "folder.csv").mkdir()
    assert refused(tmp_path / "folder.csv").startswith("is a folder without PNG files; give a")
    (tmp_path / "a.xlsx").write_text("x")
    assert refused(tmp_path / "a.xlsx").endswith("save it as CSV")
    (tmp_path / "latin.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    assert refused(tmp_path / "latin.csv") == "is no text in UTF-8; save it as CSV in UTF-8"
    (tmp_path / "twice.csv").write_text("a,a,b\n" + "1,2,3\n" * 60)
    assert refused(tmp_path / "twice.csv").startswith("column 'a' is there twice; give each")
    (tmp_path / "ragged.csv").write_text("a,b\n" + "1,2\n" * 60 + "1,2,3\n")
    assert refused(tmp_path / "ragged.csv").startswith("cannot be read as a table (")
    (tmp_path / "names.csv").write_text("a,b\n" + "x,1,2\n" * 60)
    assert refused(tmp_path / "names.csv").endswith("repair the file")
    np.save(tmp_path / "pickle.npy", np.array([{}, {}]), allow_pickle=True)
    assert refused(tmp_path / "pickle.npy").startswith("cannot be read as a table (")


def test_unknown_columns_and_labels(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.assign(kind="a").to_csv(path := tmp_path / "a.csv", index=False)
    line = refused(path, columns=["widht", "length"])
    assert line.startswith("columns: no column 'widht'; there are length, width, depth, kind")
    assert line.endswith("(did you mean 'width'?)")
    assert refused(path, label="kid").endswith("(did you mean 'kind'?)")
    assert refused(path, label="width").startswith("label: 'width' has 58 different")


def test_parquet_without_pyarrow_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert refused(tmp_path / "a.parquet").endswith("pip install pyarrow")


def test_parquet_has_the_numbers_of_the_table(tmp_path: Path, frame: pd.DataFrame) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    frame.assign(kind=["b", "a"] * 30).to_parquet(path)
    table = read(path, label="kind")
    assert table.columns == ("length", "width", "depth") and table.classes == ("a", "b")
    np.testing.assert_array_equal(table.points, frame)
    assert refused(path).startswith("kind holds no numbers (row 1: 'b'); name those to use")
    gap = changed(frame, width=pd.array([None, *range(ROWS - 1)], dtype="Int64"))
    gap.to_parquet(tmp_path / "gap.parquet")
    assert refused(tmp_path / "gap.parquet").startswith("missing values (width has 1, first in r")
    whole = path.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    assert refused(tmp_path / "cut.parquet").startswith("cannot be read as a table (")


def test_a_large_parquet_is_refused_before_it_is_read(
    tmp_path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(table_file, "MOST", 3 * ROWS - 1)
    assert refused(tmp_path / "a.parquet").startswith("60 rows × 3 columns are too large")


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A million rows of 500 columns, of which the disk holds next to nothing."""
    line = ",".join(["0.123456"] * 500) + "\n"
    with (tmp_path / "a.csv").open("w") as file:
        file.write(line * 300)
        file.truncate(len(line) * 1_000_000)
    said = refused(tmp_path / "a.csv")
    assert re.match(
        r"about (999|1,000),\d+ rows × 500 columns are too large for memory; allowed", said
    )
    assert "here 50,000 rows; take so many at random" in said
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"shape": (1_000_000, 500), "fortran_order": False, "descr": "<f8"}
        )
        file.truncate(file.tell() + 4_000_000_000)
    assert refused(tmp_path / "a.npy").startswith("1,000,000 rows × 500 columns are too large")


def test_what_weakens_likelihoods_is_told(tmp_path: Path, frame: pd.DataFrame) -> None:
    pd.concat([frame, frame.head(3)]).to_csv(tmp_path / "a.csv", index=False)
    assert read(tmp_path / "a.csv").notes[0].startswith("5% of the rows repeat another one.")
    frame.assign(count=[0, 1, 2, 0] * 15).to_csv(tmp_path / "b.csv", index=False)
    assert "(count)" in read(tmp_path / "b.csv").notes[0]
    frame.assign(same=frame.width * 2.54).to_csv(tmp_path / "c.csv", index=False)
    assert "'width' and 'same' have the correlation 1.00000" in read(tmp_path / "c.csv").notes[0]


PIECES = [
    b"",
    b",",
    b";",
    b'"',
    b"\n",
    b"\r\n",
    b"\0",
    b"nan",
    b"inf",
    b"1e999",
    b"-",
    b"x",
    b"\xff",
]
PIECES += [b"\t", b"1,5", b"#", b" ", b"9" * 400, b",,,,", b"'", b"\xef\xbb\xbf", b"True"]


def mutilated(whole: bytes, chance: random.Random) -> bytes:
    """The bytes with some cut out, doubled or replaced."""
    for _ in range(chance.randint(1, 2)):
        i, j = sorted(chance.randrange(len(whole) + 1) for _ in range(2))
        match chance.randrange(4):
            case 0:
                whole = whole[:i] + chance.choice(PIECES) + whole[i:]
            case 1:
                whole = whole[:i] + chance.choice(PIECES) + whole[min(i + 9, j) :]
            case 2:
                whole = whole[:i] + whole[j:] if chance.random() < 0.3 else whole[:j]
            case _:
                whole = whole[:i] + bytes([chance.randrange(256)]) + whole[i + 1 :]
    return whole


@pytest.mark.parametrize("kind", ["csv", "tsv", "npy", "npz"])
def test_mutilated_files_are_read_or_refused_in_one_line(
    tmp_path: Path, frame: pd.DataFrame, kind: str
) -> None:
    """A hundred of each; some of both outcomes, and never anything else."""
    chance, path = random.Random(kind), tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, frame.to_numpy())
    elif kind == "npz":
        np.savez(path, x=frame.to_numpy())
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    whole, outcomes = path.read_bytes(), list[bool]()
    for k in range(100):
        (path := tmp_path / f"{k}.{kind}").write_bytes(mutilated(whole, chance))
        try:
            table = read(path)
            outcomes.append(True)
            assert np.isfinite(table.points).all() and table.points.shape[1] >= 2
        except Refused as refusal:
            outcomes.append(False)
            assert str(refusal).startswith(f"{path}: ") and "\n" not in str(refusal)
    assert outcomes.count(False) > 30 and (kind == "npz" or True in outcomes)


def test_the_stage_refuses_in_one_line(tmp_path: Path) -> None:
    spec = '{"experiment": "e", "samples": 9, "split": "test", "dataset": {"name": "table", '
    spec += '"path": "none.csv"}}'
    stage = ("-m", "ndsm.stages.data", "--out", "results/x/data/e.safetensors", "--spec", spec)
    process = start(sys.executable, *stage, cwd=tmp_path)
    said = process.communicate()[0]
    assert process.returncode == 1 and said.startswith("error: none.csv: is not there; ")
    assert len(said.splitlines()) == 1 and not (tmp_path / "results").exists()


def test_the_limit_is_on_numbers() -> None:
    table_file.refuse_large(Path("a.csv"), table_file.MOST // 10, 10)
    with pytest.raises(Refused):
        table_file.refuse_large(Path("a.csv"), table_file.MOST // 10 + 1, 10)
