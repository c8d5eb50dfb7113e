"""The MNIST files: right ones are read, others refused with both hashes, nothing half-kept."""

import gzip
import hashlib
import os
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.random import default_rng

from conftest import ROOT
from ndsm.artefacts import files
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.stages import data, mnist

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
    tensors = Inputs().tensors(tmp_path / "mnist.safetensors")
    generator = default_rng(0)
    for key in mnist.FILES:
        shape = (5,) if key.endswith("labels") else (5, 28, 28)
        expected = generator.integers(256, size=shape, dtype=np.uint8)
        np.testing.assert_array_equal(tensors[key].numpy(), expected)


def refusal(out: Path, folder: Path | None) -> str:
    """The line of a refusal, after which nothing is left."""
    with pytest.raises(Refused) as refused:
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


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    path = folder / mnist.FILES["train"][0]
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to(os.devnull)
    else:
        path.mkdir()
    said = refusal(tmp_path / "out" / "mnist.safetensors", folder)
    assert said.startswith(f"mnist_dir: {folder} has no readable {path.name} (not a regular file)")


@pytest.mark.parametrize(
    "content",
    [gzip.compress(bytes(2**26), 1), default_rng(0).bytes(2**22)],
    ids=["decompressed", "compressed"],
)
def test_memory_does_not_grow_with_a_file_that_is_too_large(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(mnist, "LARGEST", 10_000)
    (folder / mnist.FILES["train"][0]).write_bytes(content)
    tracemalloc.start()
    said = refusal(tmp_path / "out" / "mnist.safetensors", folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20 and "more than 10000 bytes" in said


class Mirrors(BaseHTTPRequestHandler):
    """Mirrors on this machine: one is right, the others fail, each in its way."""

    folder: Path
    asked: list[str]

    def do_GET(self) -> None:
        _, kind, name = self.path.split("/")
        self.asked.append(kind)
        if kind == "missing":
            return self.send_error(404)
        content = (self.folder / name).read_bytes()
        page = b"<html>Please log in</html>"
        said = {"login": page, "other": gzip.compress(page), "large": bytes(20_000)}
        content = said.get(kind, content)
        self.send_response(200)
        if kind == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            content = b"%x\r\n" % len(content) + content[:-9]
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:-9] if kind == "short" else content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the mirrors are."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(mnist, "LARGEST", 10_000)
    Mirrors.folder, Mirrors.asked = folder, []
    with HTTPServer(("127.0.0.1", 0), Mirrors) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


BAD = ["missing", "short", "chunks", "login", "other", "large"]


@pytest.mark.parametrize("kind", BAD)
def test_a_mirror_that_fails_gives_way_to_the_next(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", [f"{server}/{kind}/", f"{server}/right/"])
    mnist.main(tmp_path / "mnist.safetensors")
    assert Mirrors.asked == [kind, "right"] * 4 and (tmp_path / "mnist.safetensors").exists()


def test_where_all_mirrors_fail_each_is_told_in_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", ["odd:/", *(f"{server}/{kind}/" for kind in BAD)])
    said = refusal(tmp_path / "out" / "mnist.safetensors", None)
    name, digest = mnist.FILES["train"]
    assert said.startswith(f"{name}: no mirror has it (odd:/: unknown url type")
    assert said.count(f"expected the gzip of SHA-256 {digest}") == 3
    assert "/missing/: Not Found; " in said and "/chunks/: IncompleteRead(" in said
    assert said.endswith("give their folder: --config mnist_dir=FOLDER")


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch) -> None:
    def fail(url: str, timeout: float) -> BytesIO:
        raise URLError("no route")

    monkeypatch.setattr(mnist, "urlopen", fail)
    said = refusal(tmp_path / "out" / "mnist.safetensors", None)
    assert "no mirror has it (https:" in said and "--config mnist_dir=FOLDER" in said


def test_images_of_another_size_are_refused_where_data_are_made(tmp_path: Path) -> None:
    sizes = {"train": (9, 28, 27), "train_labels": (9,), "test": (5, 28, 28), "test_labels": (5,)}
    arrays = {name: np.zeros(shape, np.uint8) for name, shape in sizes.items()}
    files.write_tensors(tmp_path / "mnist.safetensors", arrays, {})
    spec = {"experiment": "e", "dataset": {"name": "mnist"}, "samples": 9, "split": "test"}
    with pytest.raises(Refused, match=r"train is of shape \(9, 28, 27\), not \(n 28 28\)"):
        data.main(tmp_path / "data.safetensors", spec, tmp_path / "mnist.safetensors")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no MNIST in {REAL.name} beside the project")
def test_the_real_files_are_the_right_ones(tmp_path: Path) -> None:
    mnist.main(tmp_path / "mnist.safetensors", REAL)
    tensors = Inputs().tensors(tmp_path / "mnist.safetensors")
    assert tensors["train"].shape == (60_000, 28, 28) and tensors["test"].shape == (10_000, 28, 28)
    assert tensors["train_labels"].bincount().tolist()[:3] == [5923, 6742, 5958]
