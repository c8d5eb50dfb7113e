"""Files that no reader of YAML survives, or that would run code: one line instead."""

import re
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, snakemake
from ndsm.study import configuration, configuration_files

STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]


def nested(levels: int) -> str:
    """A list in a list in a list."""
    return "a: " + "[" * (levels - 1) + "]" * (levels - 1)


def laughs(times: int) -> str:
    """A list of ten names of a list of ten names of a list …: 10 to the power of ``times``."""
    rows = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, times)]
    return "\n".join(["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *rows])


BAD = {
    "latin-1": ("a: 1\nb: ü\n".encode("latin-1"), r"my.yaml: is not UTF-8, byte 0xfc in line 2; "),
    "utf-16": ("a: 1\n".encode("utf-16"), r"my.yaml: is not UTF-8, byte 0xff in line 1; "),
    "deep": (nested(51), r"my.yaml: is too deep, line 1 of my.yaml; allowed: 50 levels"),
    "very deep": (nested(100_000), r"my.yaml: is too deep, line 1 "),
    "cycle": ("b: 1\na: &a {b: *a}", r"\*a: holds itself, line 2 of my.yaml; "),
    "cycle of two": ("a: &a {b: &b [*a]}", r"\*a: holds itself, line 1 of my.yaml; "),
    "laughs": (laughs(10), r"my.yaml: has too many values, line 5 of my.yaml; .*up to 100000"),
    "digits": ("a: " + "9" * 5000, r"9{59}…: has 5000 characters, line 1 of my.yaml; .*4096"),
    "date": ("a: 2025-02-30", r"my.yaml: cannot be read \(day is out of range for month\); "),
    "repeated": ("a:\n  b: 1\n  'b': 2\n", r"b: is there twice, line 3 of my.yaml; allowed: once"),
    "code": ("__use_yte__: true\n", r"__use_yte__: has Snakemake run Python, line 1 of my.yaml; "),
    "merged code": ("a: &a {__use_yte__: true}\n<<: *a", r"__use_yte__: has Snakemake run Python"),
}
GOOD = {
    "merge": "a: {b: &b {x: 1}}\nc: {<<: *b, x: 2}\n",
    "tabs": '{\n\t"a": 1}\n',
    "deep": nested(50),
    "laughs": laughs(4),
    "digits": "a: " + "9" * 4096,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str) -> None:
    said, line = BAD[name]
    path = tmp_path / "my.yaml"
    path.write_bytes(said if isinstance(said, bytes) else said.encode())
    with pytest.raises(configuration.ConfigError) as refused:
        configuration_files.check([path])
    assert re.match(f"error: {line}", str(refused.value)) and "\n" not in str(refused.value)
    assert "; allowed: " in str(refused.value)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_passes(tmp_path: Path, name: str) -> None:
    (tmp_path / "my.yaml").write_text(GOOD[name])
    configuration_files.check([tmp_path / "my.yaml"])


def test_every_study_passes() -> None:
    configuration_files.check(STUDIES)


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        configuration.ConfigError, match=r"my.yaml: cannot be read \(Is a directory\); "
    ):
        (tmp_path / "my.yaml").mkdir()
        configuration_files.check([tmp_path / "my.yaml"])


@pytest.mark.parametrize("name", ["utf-16", "very deep", "code"])
def test_a_study_of_the_tree_is_checked_before_snakemake_reads_it(tree: Path, name: str) -> None:
    """Of the code nothing has run: it would have left a file."""
    said, line = BAD[name]
    path = tree / "workflow" / "studies" / "my.yaml"
    path.write_bytes(said if isinstance(said, bytes) else said.encode())
    if name == "code":
        path.write_text(yaml.safe_dump({"__use_yte__": True, "?open('ran', 'w')": 1}))
        line = "__use_yte__: has Snakemake run Python"
    (told,) = snakemake(tree, "--dry-run", "--config", "study=my", status=1).stdout.splitlines()
    assert re.match(f"error: {line}", told) and not (tree / "ran").exists()
