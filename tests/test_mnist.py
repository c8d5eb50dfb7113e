"""The MNIST files: right ones are read, others refused with both hashes, nothing half-kept."""

import gzip
import hashlib
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.random import default_rng

from conftest import ROOT
from ndsm import inputs, mnist, store

REAL = ROOT.parent / "shared" / "data" / "mnist"


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the format idx."""
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four small files whose hashes pass for the right ones."""
    generator, files = default_rng(0), {}
    (tmp_path / "files").mkdir()
    for key, (name, _) in mnist.FILES.items():
        shape = (5,) if key.endswith("labels") else (5, 28, 28)
        content = idx(generator.integers(256, size=shape, dtype=np.uint8))
        (tmp_path / "files" / name).write_bytes(gzip.compress(content))
        files[key] = (name, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(mnist, "FILES", files)
    return tmp_path / "files"


def test_arrays_are_those_of_the_files(folder: Path, tmp_path: Path) -> None:
    mnist.main(tmp_path / "mnist.safetensors", folder)
    tensors = inputs.read_tensors(tmp_path / "mnist.safetensors")
    generator = default_rng(0)
    for key in mnist.FILES:
        shape = (5,) if key.endswith("labels") else (5, 28, 28)
        expected = generator.integers(256, size=shape, dtype=np.uint8)
        np.testing.assert_array_equal(tensors[key].numpy(), expected)


def refusal(out: Path, folder: Path | None) -> str:
    """The line of a refusal, after which nothing is left."""
    with pytest.raises(store.Refused) as refused:
        mnist.main(out, folder)
    assert not list(out.parent.glob("*mnist*safetensors")) and not out.with_suffix(".json").exists()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_wrong_file_is_refused_with_both_hashes(folder: Path, tmp_path: Path) -> None:
    name, expected = mnist.FILES["test"]
    content = bytearray(gzip.decompress((folder / name).read_bytes()))
    content[100] ^= 1
    (folder / name).write_bytes(gzip.compress(bytes(content)))
    said = refusal(tmp_path / "out" / "mnist.safetensors", folder)
    assert expected in said and hashlib.sha256(content).hexdigest() in said and name in said


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(folder: Path, tmp_path: Path, keep: int) -> None:
    name, expected = mnist.FILES["train"]
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:keep])
    said = refusal(tmp_path / "out" / "mnist.safetensors", folder)
    assert name in said and expected in said


def test_a_missing_file_is_named_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    name = mnist.FILES["train_labels"][0]
    (folder / name).unlink()
    said = refusal(tmp_path / "out" / "mnist.safetensors", folder)
    assert said.startswith("mnist_dir: ") and name in said and "leave mnist_dir out" in said


def test_a_mirror_that_fails_gives_way_to_the_next(folder, tmp_path, monkeypatch) -> None:
    asked = []

    def answer(url: str, timeout: float) -> BytesIO:
        asked.append(url)
        if url.startswith(mnist.MIRRORS[0]):
            raise URLError("no route")
        return BytesIO((folder / Path(url).name).read_bytes())

    monkeypatch.setattr(mnist, "urlopen", answer)
    mnist.main(tmp_path / "mnist.safetensors")
    assert len(asked) == 8 and (tmp_path / "mnist.safetensors").exists()


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch) -> None:
    def fail(url: str, timeout: float) -> BytesIO:
        raise URLError("no route")

    monkeypatch.setattr(mnist, "urlopen", fail)
    said = refusal(tmp_path / "out" / "mnist.safetensors", None)
    assert "no mirror answered" in said and "--config mnist_dir=FOLDER" in said


def test_a_download_that_breaks_off_leaves_nothing(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        mnist, "urlopen", lambda url, timeout: BytesIO((folder / Path(url).name).read_bytes()[:50])
    )
    assert "cannot be decompressed" in refusal(tmp_path / "out" / "mnist.safetensors", None)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no MNIST in {REAL.name} beside the project")
def test_the_real_files_are_the_right_ones(tmp_path: Path) -> None:
    mnist.main(tmp_path / "mnist.safetensors", REAL)
    tensors = inputs.read_tensors(tmp_path / "mnist.safetensors")
    assert tensors["train"].shape == (60_000, 28, 28) and tensors["test"].shape == (10_000, 28, 28)
    assert tensors["train_labels"].bincount().tolist()[:3] == [5923, 6742, 5958]
