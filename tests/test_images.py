"""Images as experiments: disjoint splits, exact proportions, an action that is its own inverse."""

from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng
from scipy.ndimage import maximum_filter

from ndsm.data import datasets, images
from ndsm.errors import Refused

SHARES = [0.7, 0.2, 0.1]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """A small stand-in for MNIST: each image has its own number in its pixels."""
    monkeypatch.setattr(images, "MNIST_POOL", 300)
    monkeypatch.setattr(images, "MNIST_CLASSIFIER", 200)
    generator = default_rng(0)
    return {
        "train": generator.integers(100, size=(600, 28, 28), dtype=np.uint8),
        "test": generator.integers(100, size=(100, 28, 28), dtype=np.uint8),
        "train_labels": (np.arange(600) % 10).astype(np.uint8),
        "test_labels": (np.arange(100) % 10).astype(np.uint8),
    }


def rows(array: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in array]


def test_digits_are_split_disjointly_and_by_class() -> None:
    parts = images.split({"name": "digits"}, None)
    sizes = {"pool": 1000, "classifier": 400, "held_out": 397}
    every = []
    for name, size in sizes.items():
        pixels, labels = parts[name]
        assert pixels.shape == (size, 64) and pixels.min() == 0 and pixels.max() == 1
        assert np.ptp(np.bincount(labels) / size) < 0.025
        every += rows(pixels)
    assert len(set(every)) == len(every) == 1797
    arrays = datasets.prepare({"name": "digits"}, samples=1000)
    assert arrays["real"].shape == (5, 800, 64)
    assert set(rows(arrays["real"].reshape(-1, 64))) <= set(rows(arrays["pool"]))


@pytest.mark.parametrize("side", [14, 28])
def test_mnist_is_split_disjointly(fetched: dict[str, np.ndarray], side: int) -> None:
    parts = images.split({"name": "mnist", "side": side}, fetched)
    assert {name: part[0].shape for name, part in parts.items()} == {
        "pool": (300, side**2),
        "classifier": (200, side**2),
        "floor": (100, side**2),
        "held_out": (100, side**2),
    }
    every = [row for pixels, _ in parts.values() for row in rows(pixels)]
    assert len(set(every)) == 700
    np.testing.assert_array_equal(parts["classifier"][1], np.arange(300, 500) % 10)


def test_pixels_are_averaged_two_by_two(fetched: dict[str, np.ndarray]) -> None:
    fine, coarse = (
        images.split({"name": "mnist", "side": side}, fetched)["held_out"][0][3].reshape(side, side)
        for side in (28, 14)
    )
    assert coarse[4, 9] == pytest.approx(fine[8:10, 18:20].mean(), rel=1e-6)
    assert fine.max() == pytest.approx(99 / 255, rel=0.02)


def test_mnist_without_its_source_is_refused() -> None:
    with pytest.raises(Refused, match="source: none is given for mnist"):
        datasets.prepare({"name": "mnist"}, 10)


def test_proportions_are_exact_and_use_what_there_is() -> None:
    arrays = datasets.prepare({"name": "digits", "shares": SHARES}, samples=50)
    for name in ("pool", "held_out"):
        labels = arrays[f"{name}_labels"]
        counts = np.bincount(labels, minlength=3)
        np.testing.assert_allclose(counts / len(labels), SHARES, atol=1.5 / len(labels))
        assert len(set(rows(arrays[name]))) == len(labels)
    plain = datasets.prepare({"name": "digits"}, samples=50)
    zeros = (plain["pool_labels"] == 0).sum()
    assert (arrays["pool_labels"] == 0).sum() == zeros  # all of the class that limits the rest
    assert set(rows(arrays["rarest"])) == set(
        rows(plain["held_out"][plain["held_out_labels"] == 2])
    )
    assert arrays["real"].shape == (5, 50, 64)


@pytest.mark.parametrize("shares", [SHARES, [0.05, 0.95], [0.1] * 10])
def test_pool_size_is_never_more_than_there_is(shares: list[float]) -> None:
    dataset = {"name": "digits", "shares": shares}
    there = len(datasets.prepare(dataset, 10)["pool"])
    assert 0.9 * there < datasets.pool_size(dataset) <= there


def symmetric(**symmetry: Any) -> dict[str, np.ndarray]:
    dataset = {"name": "digits", "symmetry": symmetry}
    return datasets.prepare(dataset, samples=50)


def test_with_no_departure_the_branches_differ_by_the_action_alone() -> None:
    """A share of ½ within five standard errors; upright images are those of the plain dataset."""
    arrays, plain = symmetric(share=0.5, departure=0), datasets.prepare({"name": "digits"}, 50)
    inverted = images.is_inverted(arrays["pool"])
    assert abs(inverted.mean() - 0.5) < 5 * 0.5 / 1000**0.5
    np.testing.assert_allclose(images.upright(arrays["pool"]), plain["pool"], atol=1e-12)
    np.testing.assert_allclose(arrays["pool"][inverted], 1 - plain["pool"][inverted], atol=1e-12)


@pytest.mark.parametrize("departure", [0.3, 1.0])
def test_the_departure_thickens_the_inverted_branch_alone(departure: float) -> None:
    arrays, plain = (
        symmetric(share=0.3, departure=departure),
        datasets.prepare({"name": "digits"}, 9),
    )
    changed = (arrays["pool"] != plain["pool"]).any(1)
    assert abs(changed.mean() - 0.3) < 5 * (0.21 / 1000) ** 0.5
    before = plain["pool"][changed].reshape(-1, 8, 8)
    thick = np.stack([maximum_filter(image, 3, mode="constant") for image in before])
    expected = 1 - ((1 - departure) * before + departure * thick)
    np.testing.assert_allclose(arrays["pool"][changed].reshape(-1, 8, 8), expected, atol=1e-12)
    assert np.abs(expected - (1 - before)).max() > 0.1


@pytest.mark.parametrize("departure", [0, 0.3, 0.5])
def test_branches_are_told_apart_by_their_ground(departure: float) -> None:
    arrays, plain = (
        symmetric(share=0.3, departure=departure),
        datasets.prepare({"name": "digits"}, 9),
    )
    changed = (arrays["pool"] != plain["pool"]).any(1)
    np.testing.assert_array_equal(images.is_inverted(arrays["pool"]), changed)
    # Their ink would not do: thick strokes cover more than half of so small an image.
    assert departure < 0.5 or ((arrays["pool"].mean(1) > 0.5) != changed).any()
