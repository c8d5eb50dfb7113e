"""The library's files: a model that is kept, a wheel, what an import costs, what the pages say."""

import doctest
import inspect
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.datasets import make_moons

from conftest import ROOT, copy_tree
from ndsm import NDSM
from ndsm.errors import Refused
from ndsm.library import estimator
from test_library import MOONS, SMALL, Wells

METHODS: list[dict[str, Any]] = [
    {"objective": "ndsm_flow"},
    {"objective": "ndsm_flow", "covariance": "full"},
    {"objective": "ndsm_cv"},
    {"objective": "dsm", "known": "gmm"},
    {"objective": "none"},
]
ELSEWHERE = """
import sys
import numpy as np
from ndsm import NDSM

model = NDSM.load(sys.argv[1])
np.savez(sys.argv[2], x=model.sample(30, random_state=5), log_prob=model.log_prob(np.eye(2)))
"""


def python(code: str, *arguments: Path, folder: Path, path: Path) -> str:
    """What a fresh Python says, in ``folder`` and with the package of ``path``."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def header(path: Path) -> dict[str, str]:
    """What the header of a file says, the digest of its tensors too."""
    with safe_open(path, framework="pt") as file:
        found: dict[str, str] = file.metadata()
    return found


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_model_is_read_as_it_was(method: dict[str, Any], tmp_path: Path) -> None:
    model = NDSM(**SMALL, **method).fit(MOONS)
    model.save(tmp_path / "kept.ndsm")
    read = NDSM.load(tmp_path / "kept.ndsm")
    assert read.get_params() == model.get_params() and read.n_features_in_ == 2
    np.testing.assert_array_equal(read.sample(20), model.sample(20))
    np.testing.assert_array_equal(read.log_prob(MOONS), model.log_prob(MOONS))
    np.testing.assert_array_equal(read.loss_curve_, model.loss_curve_)
    read.save(str(tmp_path / "again.ndsm"))
    assert header(tmp_path / "again.ndsm") == header(tmp_path / "kept.ndsm")
    assert {path.name for path in tmp_path.iterdir()} == {"kept.ndsm", "again.ndsm"}


def test_a_fresh_process_draws_the_same_bits(tmp_path: Path) -> None:
    model = NDSM(**SMALL | {"n_components": np.array([2, 3])}).fit(MOONS)
    model.save(tmp_path / "kept.ndsm")
    path = ROOT / "workflow"
    python(ELSEWHERE, tmp_path / "kept.ndsm", tmp_path / "x.npz", folder=tmp_path, path=path)
    found = np.load(tmp_path / "x.npz")
    assert found["x"].tobytes() == model.sample(30, random_state=5).tobytes()
    assert found["log_prob"].tobytes() == model.log_prob(np.eye(2)).tobytes()


def test_the_kind_of_the_points_is_kept(tmp_path: Path) -> None:
    model = NDSM(**SMALL).fit(torch.as_tensor(MOONS).float())
    model.save(tmp_path / "kept")
    drawn = NDSM.load(tmp_path / "kept").sample(5)
    assert torch.equal(drawn, model.sample(5)) and drawn.dtype == torch.float32


def test_a_drift_of_the_users_is_given_again(tmp_path: Path) -> None:
    model, path = NDSM(Wells(), "ndsm", **SMALL).fit(Wells().sample(100, 1)), tmp_path / "kept"
    model.save(path)
    read = NDSM.load(path, drift=Wells())
    np.testing.assert_array_equal(read.sample(20), model.sample(20))
    np.testing.assert_array_equal(read.log_prob(np.eye(2)), model.log_prob(np.eye(2)))
    with pytest.raises(
        Refused, match=r"^drift: that of .* was your own Wells; give it: load\(path,"
    ):
        NDSM.load(path)
    NDSM(**SMALL).fit(MOONS).save(path)
    with pytest.raises(Refused, match="^drift: that of .* is 'auto' and in the file; give None"):
        NDSM.load(path, drift=Wells())


def changed(path: Path, **changes: str) -> None:
    """Writes a model's file again with another header."""
    save_file(load_file(path), path, header(path) | changes)


def spoil(path: Path, how: str) -> None:
    """Makes a model's file unusable."""
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[:-100])
    elif how == "flipped":
        path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        save_file({"a": torch.zeros(3)}, path)
    elif how == "newer":
        changed(path, version="2")
    elif how == "edited":
        about = json.loads(header(path)["about"])
        about["seed"] += 1
        changed(path, about=json.dumps(about))
    elif how == "gone":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()


BROKEN = "is broken or no file of NDSM.save"
SPOILT = {
    "cut": BROKEN,
    "pickle": BROKEN,
    "empty": BROKEN,
    "flipped": "is damaged, its SHA-256 is another",
    "edited": "is damaged, its SHA-256 is another",
    "foreign": "is of another program; give a file of NDSM.save",
    "newer": "has version 2, this ndsm reads 1; install a newer ndsm",
    "gone": "cannot be read",
    "folder": "",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_cannot_be_used_is_one_line(how: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    NDSM(**SMALL).fit(MOONS).save(path)
    spoil(path, how)
    with pytest.raises(Refused, match=f"^path: '.*kept' .*{SPOILT[how]}") as refusal:
        NDSM.load(path)
    assert "\n" not in str(refusal.value)


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    model = NDSM(**SMALL).fit(MOONS)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file" / "below"):
        with pytest.raises(Refused, match="^path: '.*' cannot be written") as refusal:
            model.save(path)
        assert "\n" not in str(refusal.value)
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "folder"}


def test_an_import_starts_nothing() -> None:
    code = "import sys, ndsm; from ndsm import __all__; print(dir(ndsm), hasattr(ndsm, 'nothing'));"
    code += "print([m for m in ('torch', 'numpy', 'sklearn', 'pandas') if m in sys.modules])"
    said = python(code, folder=ROOT, path=ROOT / "workflow").splitlines()
    assert "'NDSM'" in said[0] and said[0].endswith("False") and said[1] == "[]"


INSTALLED = """
import sys
from pathlib import Path
import ndsm.study.configuration as configuration
import ndsm.stages.train, ndsm.report.summary
from ndsm import NDSM
import numpy as np

where = Path(sys.argv[1])
assert Path(ndsm.__file__).is_relative_to(where), ndsm.__file__
assert configuration.SCHEMA["$defs"]["objective"]["enum"]
x = np.random.default_rng(0).normal(size=(100, 2))
model = NDSM(evaluations=200, batch=50, width=8, n_components=2, random_state=0).fit(x)
model.save("kept")
assert (NDSM.load("kept").sample(9) == model.sample(9)).all()
print(model.score(x))
"""


def test_a_wheel_has_all_that_the_package_needs(tmp_path: Path) -> None:
    """And nothing beside it, from a folder far from the tree."""
    tree, site, empty = (tmp_path / name for name in ("tree", "site", "empty"))
    copy_tree(tree)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, tree]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True
    )
    assert {path.name.split("-")[0] for path in site.iterdir()} == {"ndsm"}
    said = python(INSTALLED, site, folder=empty, path=site)
    here = NDSM(evaluations=200, batch=50, width=8, n_components=2, random_state=0)
    x = np.random.default_rng(0).normal(size=(100, 2))
    assert float(said) == here.fit(x).score(x)


def test_the_example_of_the_class_is_true() -> None:
    found = doctest.testmod(estimator)
    assert found.attempted >= 7 and found.failed == 0


PAGES = ["README.md", "docs/library.md"]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks of Python in one go, with fewer steps than they ask for."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.M | re.S)
    assert blocks
    usual = NDSM.__init__

    def quick(self: NDSM, *given: Any, **named: Any) -> None:
        usual(self, *given, **named)
        self.evaluations = 2000 if self.evaluations is None else self.evaluations

    quick.__signature__ = inspect.signature(usual)  # type: ignore[attr-defined]
    monkeypatch.setattr(NDSM, "__init__", quick)
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"x": make_moons(400, noise=0.1, random_state=0)[0]}
    for block in blocks:
        exec(block, space)


def test_the_gallery_shows_a_small_picture_for_each_script() -> None:
    folder = ROOT / "docs" / "gallery"
    page, make = (folder / "README.md").read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")
    scripts = {path.stem for path in folder.glob("*.py")} - {"look"}
    assert scripts == {path.stem for path in folder.glob("*.png")} and len(scripts) >= 3
    for name in scripts:
        assert f"]({name}.png)" in page and f"]({name}.py)" in page
        assert (folder / f"{name}.png").stat().st_size < 150_000
        assert re.search(rf"for script in [\w ]*\b{name}\b", make)
