"""What a job reads: damaged, stale, foreign and incomplete results are refused, with their rule."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import snakemake
from ndsm.artefacts import files
from ndsm.artefacts.metric_table import KEYS, read_cells, refuse_gaps
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused

TOLD = {"experiment": "modes", "replicas": [[50, 0], [50, 1]], "process": {"T": 4.0}}
SHAPES = {"means": "R K d", "shift": "R 1 d"}


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Two replicas, three components, in the plane."""
    whole = {"means": np.ones((2, 3, 2)), "shift": np.zeros((2, 1, 2)), "log_weights": -np.ones(3)}
    return whole | changes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A drift as its stage leaves it."""
    path = tmp_path / "results" / "smoke" / "drift" / "modes" / "gmm" / "0.safetensors"
    files.write_tensors(path, arrays(), files.provenance(TOLD, {}))
    return path


def read(path: Path, **changes: object) -> dict[str, np.ndarray]:
    return Inputs().arrays(path, SHAPES, TOLD | changes, R=2)


def refused(path: Path, problem: str, **changes: object) -> None:
    """Whether reading fails with one line that names file, rule, problem and remedy."""
    with pytest.raises(Refused) as refusal:
        read(path, **changes)
    line = str(refusal.value)
    assert re.search(problem, line), line
    assert line.startswith(f"{path} (rule drift makes it): ") and "\n" not in line
    assert line.endswith("; remove it and run Snakemake again")


def test_a_whole_result_is_read_as_it_was_written(path: Path) -> None:
    for name, array in arrays().items():
        np.testing.assert_array_equal(read(path)[name], array)
        np.testing.assert_array_equal(Inputs().tensors(path, SHAPES, TOLD)[name], array)


def test_a_changed_byte_is_noticed(path: Path) -> None:
    """In the last number, where the file can be read all the same."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(path, "its bytes are not those of its record")


def test_a_truncated_file_is_noticed(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])
    refused(path, "its bytes are not those of its record")


def test_a_missing_file_is_noticed(path: Path) -> None:
    path.unlink()
    refused(path, "cannot be read .No such file")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"spec": {}}', "\x00\x00"])
def test_a_damaged_record_is_noticed(path: Path, text: str) -> None:
    path.with_suffix(".json").write_text(text)
    refused(path, "its record .*0.json is damaged")


def test_a_missing_record_is_noticed(path: Path) -> None:
    path.with_suffix(".json").unlink()
    refused(path, "it has no record, .*0.json")


def test_a_result_of_other_settings_is_noticed(path: Path) -> None:
    refused(path, "made with process: {'T': 4.0}, where {'T': 2.0} is wanted", process={"T": 2.0})
    refused(path, r"made with replicas: \[\[50, 0\], \[50, 1\]\]", replicas=[[50, 0]])
    assert read(path, device="cuda", network={"width": 8})  # what only one of them was told


@pytest.mark.parametrize("other", ["score/e/m/0", "train/e/m/1", "train/f/m/0"])
def test_a_result_that_lies_elsewhere_is_noticed(tmp_path: Path, other: str) -> None:
    folder = tmp_path / "results" / "study"
    there, here = (folder / f"{name}.safetensors" for name in ("train/e/m/0", other))
    files.write_tensors(there, arrays(), files.provenance(TOLD, {}))
    assert read(there)
    here.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".safetensors", ".json"):
        here.with_suffix(suffix).write_bytes(there.with_suffix(suffix).read_bytes())
    with pytest.raises(Refused, match="it is train/e/m/0.safetensors, which was moved or copied"):
        read(here)


def test_a_result_made_from_an_older_one_is_noticed(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "data.safetensors"
    files.write_tensors(source, {"pool": np.zeros((5, 2))}, {})
    (inputs := Inputs()).arrays(source)
    files.write_tensors(path, arrays(), files.provenance(TOLD, inputs.digests))
    assert read(path)
    files.write_tensors(source, {"pool": np.zeros((5, 2))}, {})
    assert read(path)  # written anew, but the same
    files.write_tensors(source, {"pool": np.ones((5, 2))}, {})
    refused(path, f"made from another {source} than there is")


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"means": np.ones((3, 3, 2))}, r"means is of shape \(3, 3, 2\), not \(R K d\) with R = 2"),
        ({"shift": np.zeros((2, 1, 3))}, r"shift is of shape .* with R = 2, K = 3, d = 2"),
        ({"shift": np.zeros((2, 2, 2))}, r"shift is of shape .* not \(R 1 d\)"),
        ({"shift": np.zeros(2)}, r"shift is of shape \(2,\), not \(R 1 d\)"),
        ({"means": np.full((2, 3, 2), np.nan)}, r"means\[0, 0, 0\] is nan"),
        ({"shift": np.array([[[0, 0]], [[0, -np.inf]]])}, r"shift\[1, 0, 1\] is -inf"),
        ({"log_weights": np.array([0, np.nan, 0])}, r"log_weights\[1\] is nan"),
    ],
)
def test_other_tensors_than_the_reader_needs_are_noticed(path: Path, changes, problem) -> None:
    files.write_tensors(path, arrays(**changes), files.provenance(TOLD, {}))
    refused(path, problem)


def test_components_that_pad_a_stack_may_have_no_weight(path: Path) -> None:
    padded = arrays(log_weights=np.array([0, -np.inf, 0]))
    files.write_tensors(path, padded, files.provenance(TOLD, {}))
    assert read(path)


def test_a_missing_tensor_is_noticed(path: Path) -> None:
    files.write_tensors(path, {"means": np.ones((2, 3, 2))}, files.provenance(TOLD, {}))
    refused(path, "it has no shift")


def test_without_the_digest_a_changed_byte_would_pass(path: Path, monkeypatch) -> None:
    """A planted mistake: the digest that is compared is the record's own."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    digest = json.loads(path.with_suffix(".json").read_text())["sha256"]
    monkeypatch.setattr(files, "sha256", lambda _: digest)
    assert read(path)


# Tables.

CELLS = [("modes", method, 50, seed, "fid") for method in ("dsm", "ndsm") for seed in range(3)]


def cells(rows: list[tuple]) -> pd.DataFrame:
    table = pd.DataFrame([(*row, 1.0) for row in rows], columns=[*KEYS, "value"])
    return table.astype({"n_train": "Int64"})


def test_a_study_that_has_every_cell_once_passes() -> None:
    further = [("modes", "real", None, 7, "fid"), ("modes", "dsm", 50, 0, "another metric")]
    refuse_gaps(cells([*CELLS, *further]), {*CELLS})


@pytest.mark.parametrize(
    "rows, problem",
    [
        (CELLS[:-1], "ndsm, n_train 50, seed 2 is missing; rule evaluate measures it"),
        ([CELLS[0], *CELLS[3:]], r"dsm, n_train 50, seed 1 \(and 1 more\) is missing"),
        ([*CELLS, CELLS[2]], "dsm, n_train 50, seed 2 is there twice"),
        ([*CELLS, ("modes", "dsm", 60, 0, "fid")], "dsm, n_train 60, seed 0 is not of this study"),
    ],
)
def test_a_cell_missing_or_twice_or_foreign_is_noticed(rows: list[tuple], problem: str) -> None:
    with pytest.raises(Refused, match=f"^fid of modes, {problem}"):
        refuse_gaps(cells(rows), {*CELLS})


def test_values_and_columns_of_a_table_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "results" / "smoke" / "evaluate" / "modes" / "dsm" / "0.csv"
    files.write_table(path, cells(CELLS), {})
    assert len(read_cells(Inputs(), path)) == 6
    bad = cells(CELLS)
    bad.loc[4, "value"] = np.inf
    files.write_table(path, bad, {})
    with pytest.raises(
        Refused, match=r"rule evaluate makes it\): fid of modes, ndsm, .*seed 1 is inf"
    ):
        read_cells(Inputs(), path)
    files.write_table(path, cells(CELLS).drop(columns="seed"), {})
    with pytest.raises(Refused, match=r"\(rule evaluate makes it\): it has no column seed"):
        read_cells(Inputs(), path)


# In the workflow.


def test_a_damaged_result_stops_the_study_and_removed_is_made_again(
    smoke: Path, tmp_path: Path
) -> None:
    """Tables, evaluation and drift: whoever reads them says so."""
    options = ("--cores", "2", "--config", "study=smoke", "--keep-going")
    tree = shutil.copytree(smoke, tmp_path / "tree")
    metrics = tree / "results/smoke/tables/metrics.csv"
    before = pd.read_csv(metrics).query("metric != 'drift_over_training'")
    for name, reader in (
        ("tables/cost.csv", "figures"),
        ("evaluate/weighted_modes/gmm/0.csv", "aggregate"),
        ("drift/weighted_modes/gmm/0.safetensors", "train/weighted_modes/ndsm_flow/0"),
    ):
        damaged, log = tree / "results/smoke" / name, tree / f"results/smoke/logs/{reader}.log"
        content = bytearray(damaged.read_bytes())
        content[-2] ^= 1
        damaged.write_bytes(content)
        snakemake(tree, *options, status=1)
        assert "its bytes are not those of its record" in log.read_text()
        damaged.unlink()
    snakemake(tree, *options)
    after = pd.read_csv(metrics).query("metric != 'drift_over_training'")
    pd.testing.assert_frame_equal(before, after)
