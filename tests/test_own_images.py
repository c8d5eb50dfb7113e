"""Images of the user's own: as principal components and back, what is read, what is refused."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from changed import refusal
from conftest import ROOT, snakemake
from ndsm.artefacts.answered_study import AnsweredStudy
from ndsm.artefacts.judged_study import Judging
from ndsm.data import datasets, own_images, own_table, table_file
from ndsm.errors import Refused
from ndsm.report import own_images_figure, own_page, style
from ndsm.stages import verdict
from ndsm.study import configuration, job_settings, own_study
from test_own_study import study_of

ROWS, SIDE = 60, 5


def grey(rows: int = ROWS, side: int = SIDE) -> np.ndarray:
    """Images (rows, side, side) of 0 to 255 that are three patterns and some noise."""
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((3, side**2)) * np.array([[60], [40], [20]])
    x = 128 + rng.standard_normal((rows, 3)) @ patterns + 3 * rng.standard_normal((rows, side**2))
    return x.clip(0, 255).round().astype(np.uint8).reshape(rows, side, side)


def folder(path: Path, x: np.ndarray) -> Path:
    """A folder with these images."""
    path.mkdir()
    for k, image in enumerate(x):
        Image.fromarray(image).save(path / f"{k:03}.png")
    return path


def table(path: Path, x: np.ndarray, **more: Any) -> Path:
    """A file with these images as rows."""
    rows = x.reshape(len(x), -1)
    names = [f"p{k}" for k in range(rows.shape[1])]
    pd.DataFrame(rows, columns=names).assign(**more).to_csv(path, index=False)
    return path


def given(path: Path, **more: Any) -> dict[str, Any]:
    """The entry of a data set."""
    return {"name": "table", "path": str(path), **more}


def refused(path: Path, **more: Any) -> str:
    """The one line with which it is refused."""
    with pytest.raises(Refused) as caught:
        own_table.read(given(path, **more))
    line = str(caught.value)
    assert line.startswith(f"{path}") and "\n" not in line and len(line) < 400
    return line.removeprefix(f"{path}: ")


def test_the_way_to_components_and_back(tmp_path: Path) -> None:
    x = grey().astype(float)
    arrays = datasets.prepare(given(table(tmp_path / "a.csv", x), image_side=SIDE), 500)
    basis, centre = arrays["pixel_basis"], arrays["pixel_mean"]
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-12)
    pixels = x.reshape(ROWS, -1)
    pool, held_out = own_table._split(np.zeros(ROWS, dtype=int))
    np.testing.assert_allclose(centre, pixels[pool].mean(0))
    # K is the fewest with 90 %, by the eigenvalues of the pool's covariance.
    values = np.linalg.eigvalsh(np.cov(pixels[pool], rowvar=False))[::-1]
    held = values.cumsum() / values.sum()
    assert 2 <= len(basis) <= 4 and held[len(basis) - 1] >= 0.9 > held[len(basis) - 2]
    found = own_table.read(given(tmp_path / "a.csv", image_side=SIDE))
    assert found.images and found.images.share == pytest.approx(held[len(basis) - 1])
    assert found.columns == ("pc1", "pc2", "pc3", "pc4")[: len(basis)]
    # The data file leads back to what the components show of the images.
    for part, rows in (("pool", pool), ("held_out", held_out)):
        back = centre + (arrays[part] * arrays["deviation"] + arrays["mean"]) @ basis
        off = pixels[rows] - back
        np.testing.assert_allclose(off @ basis.T, 0, atol=1e-9)
        assert (off**2).sum() < 0.2 * ((pixels[rows] - centre) ** 2).sum()
    np.testing.assert_allclose(arrays["pool"].std(0), 1)
    np.testing.assert_array_equal(arrays["pixels"], pixels[held_out[: own_images.SHOWN]])


def test_noise_has_as_many_components_as_have_exact_likelihoods(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((80, 6, 6))
    found = own_table.read(given(table(tmp_path / "a.csv", x), image_side=6))
    assert found.points.shape == (80, 16) and found.images and found.images.share < 0.9
    assert f"hold {found.images.share:.1%} of the variance" in " ".join(found.notes)
    one = x[:, :1, :1] * np.ones((6, 6)) + 1e-3 * x  # one would do, but a table has two columns
    assert own_table.read(given(table(tmp_path / "b.csv", one), image_side=6)).points.shape[1] == 2


def test_what_is_held_out_does_not_reach_the_components(tmp_path: Path) -> None:
    pool, held_out = own_table._split(np.zeros(ROWS, dtype=int))
    found = []
    for name, rows in (("as it is", []), ("held out", held_out), ("to train on", pool[:1])):
        x = grey().astype(float)
        x[rows] = 255 - x[rows]
        path = table(tmp_path / f"{name}.csv", x)
        found.append(datasets.prepare(given(path, image_side=SIDE), 500))
    for name in ("pixel_mean", "pixel_basis", "mean", "deviation", "pool"):
        np.testing.assert_array_equal(found[0][name], found[1][name])
        assert found[0][name].shape != found[2][name].shape or not np.array_equal(
            found[0][name], found[2][name]
        )
    assert not np.allclose(found[0]["held_out"], found[1]["held_out"])


def test_a_folder_and_its_images_as_rows_are_the_same(tmp_path: Path) -> None:
    x = grey()
    x[:, 0] = 7  # a constant line of pixels is fine
    of_folder = datasets.prepare(given(folder(tmp_path / "images", x)), 500)
    of_table = datasets.prepare(given(table(tmp_path / "a.csv", x), image_side=SIDE), 500)
    assert of_folder.keys() == of_table.keys()
    for name, array in of_folder.items():
        np.testing.assert_array_equal(array, of_table[name])


def test_a_table_of_images_may_have_classes(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", grey(), kind=["b", "a"] * (ROWS // 2))
    found = own_table.read(given(path, label="kind", image_side=SIDE))
    assert found.classes == ("a", "b") and found.labels.mean() == 0.5
    assert found.images and found.images.side == SIDE


def test_all_kinds_of_png_are_read_as_grey(tmp_path: Path) -> None:
    """The grey of a pixel with equal shares of colours is that share; 16 bits are 0 to 255 too."""
    x = grey()
    path = folder(tmp_path / "images", x)
    Image.fromarray(x[0]).convert("RGB").save(path / "000.png")
    Image.fromarray(x[1]).convert("RGBA").save(path / "001.PNG")
    (path / "001.png").unlink()
    Image.fromarray(x[2].astype(np.uint16) * 257).save(path / "002.png")
    Image.fromarray(x[3] > 128).save(path / "003.png")
    (path / "notes.txt").touch()
    (path / ".hidden.png").touch()
    pixels, notes = own_images.folder(path)
    x[3] = 255 * (x[3] > 128)
    np.testing.assert_array_equal(pixels, x.reshape(ROWS, -1))
    assert notes == [
        f"2 of {ROWS} images were turned to grey.",
        "Left out of the folder, for it is no PNG file: notes.txt.",
    ]


def test_a_folder_that_changed_is_read_again(tmp_path: Path) -> None:
    path = folder(tmp_path / "images", grey())
    before = own_table.read(given(path)).images
    Image.fromarray(grey()[::-1][0]).save(path / "new.png")
    after = own_table.read(given(path)).images
    assert before and after and len(after.pixels) == len(before.pixels) + 1


def test_tables_that_are_no_images(tmp_path: Path) -> None:
    x, flat = grey(), np.ones((ROWS, SIDE, SIDE))
    table(tmp_path / "a.csv", x), table(tmp_path / "b.csv", x, kind=np.arange(ROWS) % 2)
    line = refused(tmp_path / "a.csv", image_side=8)
    assert line.startswith("25 columns of numbers, where images of 8 × 8 have 64; image_side: 5")
    line = refused(tmp_path / "b.csv", image_side=SIDE)
    assert line.startswith(
        "26 columns of numbers, where images of 5 × 5 have 25; name those of pix"
    )
    assert line.endswith("take label: for a column of classes")
    few = refused(table(tmp_path / "c.csv", x[:49]), image_side=SIDE)
    assert few.startswith("49 rows are too few")
    alike = refused(table(tmp_path / "d.csv", flat), image_side=SIDE)
    assert alike.startswith("the images to train on are all alike, or differ in one way")
    one = flat * np.arange(ROWS)[:, None, None]
    assert refused(table(tmp_path / "e.csv", one), image_side=SIDE) == alike


def test_folders_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = grey()
    few = folder(tmp_path / "few", x[:49])
    assert refused(few).startswith("49 images are too few; allowed: 50 or more")
    (tmp_path / "none").mkdir()
    assert refused(tmp_path / "none").startswith("is a folder without PNG files; give a folder of")
    there = folder(tmp_path / "there", x)
    assert refused(there, image_side=8).startswith("image_side: 8, but its images are of 5 × 5")
    assert refused(there, label="kind").startswith("label: 'kind' with a folder, whose images")
    assert refused(there, columns=["a"]).startswith("columns: ('a',) with a folder, whose")
    for bad, line in {
        (4, 4): "images of different sizes: 000.png has 5 × 5 and bad.png has 4 × 4 pixels; make",
        (5, 6): "images of different sizes: 000.png has 5 × 5 and bad.png has 6 × 5 pixels; make",
    }.items():
        Image.fromarray(np.zeros(bad, np.uint8)).save(there / "bad.png")
        assert refused(there).startswith(line)
    whole = (there / "000.png").read_bytes()
    for bytes_, line in {
        b"no image": "is no PNG file; replace or remove it",
        b"\xff\xd8\xff\xe0\x00\x10JFIF": "is no PNG file; replace or remove it",
        b"": "is no PNG file; replace or remove it",
        whole[:60]: "cannot be read as PNG (",
        whole[:45] + b"xxxx" + whole[49:]: "cannot be read as PNG (",
    }.items():
        (there / "bad.png").write_bytes(bytes_)
        assert refused(there).startswith(f"{there}/bad.png: {line}")
    (there / "bad.png").unlink()
    shutil.copy(there / "000.png", there / "{k}.png")
    assert refused(there).startswith("'{k}.png' has one of { } < >, which Snakemake takes for")
    (there / "{k}.png").unlink()
    monkeypatch.setattr(table_file, "MOST", ROWS * SIDE**2 - 1)
    assert refused(there).startswith("60 rows × 25 columns are too large for memory")
    (there / "more").mkdir()
    assert refused(there) == "holds folders (more); put all images into one folder"
    wide = folder(tmp_path / "wide", np.zeros((ROWS, 5, 7), np.uint8))
    assert refused(wide).endswith("as 000.png, are of 7 × 5 pixels; crop them to squares")
    large = folder(tmp_path / "large", np.zeros((ROWS, 65, 65), np.uint8))
    assert refused(large).endswith("65 × 65 pixels; allowed: sides from 4 to 64; scale them")


def test_a_side_without_sense_is_refused_by_its_key(tmp_path: Path) -> None:
    raw = {"study": "own", "data": str(table(tmp_path / "a.csv", grey()))}
    for side in (1, -3):
        line = f"error: image_side: {side} is too small; allowed: 4 or more"
        assert refusal(raw | {"image_side": side}) == [line]
    assert refusal(raw | {"image_side": 65})[0].endswith("too large; allowed: 64 or less")
    for side in ("eight", 5.0, True):
        assert re.match("error: image_side: .* wrong type", refusal(raw | {"image_side": side})[0])
    line = f"error: data: {raw['data']}: 25 columns of numbers, where images of 8 × 8 have 64"
    assert refusal(raw | {"image_side": 8})[0].startswith(line)


def test_the_study_says_what_the_components_hold(tmp_path: Path) -> None:
    template = yaml.safe_load((ROOT / "workflow" / "studies" / "own.yaml").read_text())
    study = configuration.resolve(template | {"data": str(folder(tmp_path / "images", grey()))})
    images = own_study.table_of(study).images
    assert images
    said = " ".join(own_study.choices(study))
    assert f"principal components of the 5 × 5 pixels, with {images.share:.1%} of" in said
    assert "Verdicts are about these, not about the pixels" in said
    told = job_settings.spec(study, "verdict")
    assert told["columns"] == [*images.names] and images.said in told["notes"]
    dataset = study["experiments"]["table"]["dataset"]
    assert own_study.files_of(dataset)[:1] == [str(tmp_path / "images" / "000.png")]
    assert len(own_study.files_of(dataset)) == ROWS


def test_every_line_of_the_figure_is_in_pixels_and_in_one_grey(tmp_path: Path) -> None:
    arrays = datasets.prepare(given(folder(tmp_path / "images", grey())), 500)
    k, count = len(arrays["pixel_basis"]), own_images.SHOWN
    z = np.random.default_rng(2).standard_normal((2 * count, k))
    frame = pd.DataFrame(z, columns=[f"x{i}" for i in range(k)])
    frame = frame.assign(method=["dsm", "gmm"] * count, n_train=40)
    style.use()
    figure = own_images_figure.images(frame, ["gmm", "dsm"], 40, arrays)
    shown = [panel.images[0] for panel in figure.axes]
    assert len(shown) == 4 and len({image.get_clim() for image in shown}) == 1
    first = [np.asarray(image.get_array())[:, :SIDE].ravel() for image in shown]
    np.testing.assert_array_equal(first[0], arrays["pixels"][0])
    held_out = arrays["held_out"][0] * arrays["deviation"] + arrays["mean"]
    np.testing.assert_allclose(first[1], arrays["pixel_mean"] + held_out @ arrays["pixel_basis"])
    sample = z[1] * arrays["deviation"] + arrays["mean"]
    np.testing.assert_allclose(first[2], arrays["pixel_mean"] + sample @ arrays["pixel_basis"])
    assert [panel.get_title(loc="left") for panel in figure.axes][2:] == [
        "samples of gmm, 40 training images",
        "samples of dsm, 40 training images",
    ]


def test_the_page_shows_images_of_images_alone(tmp_path: Path) -> None:
    arrays = datasets.prepare(given(folder(tmp_path / "images", grey())), 500)
    k = len(arrays["pixel_basis"])
    z = np.random.default_rng(2).standard_normal((90, k)).round(3)
    frame = pd.DataFrame(z, columns=[f"x{i}" for i in range(k)])
    frame = frame.assign(method=["dsm", "gmm", "data"] * 30, n_train=100)
    spec = AnsweredStudy(
        study="own",
        experiment="table",
        dataset=given(tmp_path / "images"),
        n_train=[100],
        seeds=1,
        methods=["dsm", "gmm"],
        parts=1,
        verdict=Judging(level=0.05, resamples=99),
        choices=[],
        columns=[f"pc{i + 1}" for i in range(k)],
        notes=[],
    )
    study = study_of({"gmm": 2.0, "dsm": 0.5, "dsm_mixture": 1.0, "ndsm_cv": 1.0})
    assert own_page.drawn(study) == ["gmm", "dsm"]
    asked = (frame, own_page.drawn(study), 100)
    drawn = verdict.draw(*asked, arrays, spec.columns, tmp_path)
    assert [path.name for path in drawn] == ["images.png", "pairs.png"]
    text = own_page.markdown(study, spec, drawn)
    assert "](figures/images.png)" in text and "](figures/pairs.png)" in text
    assert f"the same as {k} principal components show them, and samples of `gmm` and of" in text
    assert own_page.page(study, spec, drawn).count("<figure>") == 2
    rest = {name: array for name, array in arrays.items() if name != "pixels"}
    drawn = verdict.draw(*asked, rest, spec.columns, tmp_path)
    assert [path.name for path in drawn] == ["pairs.png"]
    assert not (tmp_path / "figures" / "images.png").exists()
    assert "figures/images.png" not in own_page.markdown(study, spec, drawn)


def test_a_changed_an_added_and_a_removed_image_rerun_the_data(tree: Path) -> None:
    """Each by its bytes or its name, whenever the file was written."""
    path = folder(tree / "my images", grey())
    data = "results/own/data/table.safetensors"
    told = ("--config", "study=own", "data=my images/", "--", data)
    snakemake(tree, "--cores", "1", *told)

    def reruns() -> bool:
        said = snakemake(tree, "--dry-run", *told).stdout
        assert ("Nothing to be done" in said) != bool(re.search("^data +1$", said, re.M))
        return "Nothing to be done" not in said

    (path / "notes.txt").touch()
    assert not reruns()
    old, first = path / "old.png", path / "000.png"
    shutil.copy2(first, old)
    os.utime(old, (1e9, 1e9))
    assert reruns()
    old.unlink()
    first.unlink()
    assert reruns()
    Image.fromarray(255 - grey()[0]).save(first)
    assert reruns()
