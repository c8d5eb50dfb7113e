r"""Handwritten digits as experiments: their split, unequal classes, an approximate symmetry.

    digits   1,797 images of 8×8 pixels that come with scikit-learn
    mnist    70,000 images of 28×28 pixels, or averaged to 14×14

``shares`` are the proportions of the digits 0, 1, …: imbalance. ``symmetry`` lets the group C2 act
by inverting the intensity, g x = 1 − x. A ``share`` of the images occurs transformed, and of these
the strokes are thicker than those of the others by the ``departure`` δ from symmetry:

    x ↦ g((1 − δ) x + δ max x),    max x = the largest of each pixel and its eight neighbours.

With δ = 0 and a share of ½ the symmetry is exact.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng

from ndsm.errors import Refused
from ndsm.vocabulary import SEED

Array = np.ndarray
Fetched = Mapping[str, Array] | None  # what a source stage wrote, if a dataset has one
Labelled = tuple[Array, Array]  # images (n, side²) with values in [0, 1], and their classes (n,)

FLOOR_SETS = 5  # real sets of data, each measured against the held-out set as samples are
FLOOR_SHARE = 0.8  # of the points that there are, at most, in each of these sets
MNIST_SHAPES = {"train": "n 28 28", "train_labels": "n", "test": "m 28 28", "test_labels": "m"}
MNIST_POOL, MNIST_CLASSIFIER = 30_000, 20_000  # of the 60,000; what is left is for the floor


def stream(number: int) -> Generator:
    """A generator of its own; 1 or more, since NumPy takes [s, 0, 0] for [s, 0], a replica's."""
    return default_rng([SEED, 0, number])


def split_digits(side: int, fetched: Fetched) -> dict[str, Labelled]:
    """1,000 for training, 400 for the evaluation classifier, 397 held out.

    There are no further digits for the floor: its images are those for training.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pool, rest, pool_labels, rest_labels = train_test_split(
        images / 16, labels, train_size=1000, stratify=labels, random_state=SEED
    )
    classifier, held_out, classifier_labels, held_out_labels = train_test_split(
        rest, rest_labels, train_size=400, stratify=rest_labels, random_state=SEED
    )
    return {
        "pool": (pool, pool_labels),
        "floor": (pool, pool_labels),
        "held_out": (held_out, held_out_labels),
        "classifier": (classifier, classifier_labels),
    }


def split_mnist(side: int, fetched: Fetched) -> dict[str, Labelled]:
    """30,000 for training, 20,000 for the classifier, 10,000 for the floor, the test set held out.

    Args:
        side: 28, or 14 for the means of two by two pixels.
        fetched: what the stage ``mnist`` wrote.

    Raises:
        Refused: nothing was fetched.
    """
    if fetched is None:
        raise Refused(
            "source: none is given for mnist; use --source with what ndsm.stages.mnist wrote"
        )
    block = 28 // side

    def rows(images: Array) -> Array:
        means = images.reshape(-1, side, block, side, block).mean((2, 4), dtype=np.float32)
        return means.reshape(len(images), -1) / 255

    ends = [MNIST_POOL, MNIST_POOL + MNIST_CLASSIFIER]
    images = np.split(rows(fetched["train"]), ends)
    labels = np.split(fetched["train_labels"].astype(np.int64), ends)
    names = ("pool", "classifier", "floor")
    split = dict(zip(names, zip(images, labels, strict=True), strict=True))
    return split | {"held_out": (rows(fetched["test"]), fetched["test_labels"].astype(np.int64))}


SPLITS = {"digits": split_digits, "mnist": split_mnist}
SIDES = {"digits": 8, "mnist": 28}  # without the parameter ``side``


def split(dataset: Mapping[str, Any], fetched: Fetched) -> dict[str, Labelled]:
    """The images of a dataset, by what they are for: pool, floor, held_out, classifier.

    Args:
        dataset: its name and parameters, as in the configuration.
        fetched: those of mnist.
    """
    side = dataset.get("side", SIDES[dataset["name"]])
    return SPLITS[dataset["name"]](side, fetched)


def arrays(dataset: Mapping[str, Any], samples: int, fetched: Fetched) -> dict[str, Array]:
    """The arrays of a file of data (see ``datasets``).

    Args:
        dataset: its name and parameters, as in the configuration.
        samples: how many images are sampled from each trained model.
        fetched: the images of mnist.
    """
    parts, out = split(dataset, fetched), dict[str, Array]()
    shares, symmetry = dataset.get("shares"), dataset.get("symmetry")
    for k, name in enumerate(("pool", "held_out", "floor")):
        images, labels = parts[name]
        if shares:
            chosen = in_proportion(labels, shares, stream(20 + k))
            images, labels = images[chosen], labels[chosen]
        if symmetry:
            images = transformed(images, generator=stream(30 + k), **symmetry)
        out |= {name: images, f"{name}_labels": labels}
    out["real"] = floor_sets(out.pop("floor"), samples)
    del out["floor_labels"]
    if shares:
        images, labels = parts["held_out"]
        out["rarest"] = images[labels == rarest(shares)]
    return out


def floor_sets(points: Array, samples: int) -> Array:
    """Real sets of data, (FLOOR_SETS, m, d), each drawn from points (n, d) without replacement.

    Args:
        points: data that are not held out.
        samples: how many points are sampled from each trained model; m is no more.
    """
    count = min(samples, round(FLOOR_SHARE * len(points)))
    sets = [stream(4 + f).permutation(len(points))[:count] for f in range(FLOOR_SETS)]
    return points[np.stack(sets)]


def rarest(shares: Sequence[float]) -> int:
    """The class with the smallest share, of those that there are."""
    return min((share, c) for c, share in enumerate(shares) if share > 0)[1]


def in_proportion(labels: Array, shares: list[float], generator: Generator) -> Array:
    """Indices of as many images as there can be with the given shares of the classes."""
    counts = np.bincount(labels, minlength=len(shares))
    total = min(counts[c] / share for c, share in enumerate(shares) if share > 0)
    chosen = [
        generator.permutation(np.flatnonzero(labels == c))[: round(share * total)]
        for c, share in enumerate(shares)
    ]
    return generator.permutation(np.concatenate(chosen))


def transformed(images: Array, share: float, departure: float, generator: Generator) -> Array:
    """Images (n, side²), a share of them thickened by the departure and inverted."""
    chosen = generator.random(len(images)) < share
    out = images.copy()
    out[chosen] = 1 - ((1 - departure) * images[chosen] + departure * thickened(images[chosen]))
    return out


def thickened(images: Array) -> Array:
    """The largest value of each pixel and its eight neighbours, (n, side²)."""
    side = round(images.shape[1] ** 0.5)
    padded = np.pad(images.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)))
    shifts = [padded[:, i : i + side, j : j + side] for i in range(3) for j in range(3)]
    return np.maximum.reduce(shifts).reshape(len(images), -1)


def upright(images: Array) -> Array:
    """Images (n, side²) with the inversion of the inverted ones undone."""
    return np.where(is_inverted(images)[:, None], 1 - images, images)


def is_inverted(images: Array) -> Array:
    """Which of the images (n, side²) are inverted: those on dark ground, (n,).

    The ground is the outermost pixels, where no digit of MNIST ever is. (Of the 8×8 digits some
    are: a departure of up to ½ leaves them on the right side.)
    """
    side = round(images.shape[1] ** 0.5)
    frame = np.ones((side, side), bool)
    frame[1:-1, 1:-1] = False
    return images[:, frame.ravel()].mean(1) > 0.5
