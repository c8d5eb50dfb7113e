"""The data of the experiments: laws that can be drawn from at will, tables, handwritten digits.

A file of data has these arrays (n points of d dimensions; images are rows of pixels in [0, 1]):

    pool, pool_labels            (n, d), (n,)   candidates for training
    held_out, held_out_labels    (n, d), (n,)   the reference of every metric
    real                         (FLOOR_SETS, n, d)  real data, as many as are sampled: the floor
    rarest                       (n, d)         with shares of classes: held-out, of the rarest

A new dataset is one function and one line of ``DATASETS``. Only NumPy is imported here at the top:
the check of a configuration reads this module before any job starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ndsm.data import images, own_table
from ndsm.data.images import FLOOR_SETS, Fetched, floor_sets, stream
from ndsm.data.laws import Array, Law, clusters16, heavy_tails, pinwheel, rings, weighted_modes
from ndsm.errors import Refused
from ndsm.vocabulary import SEED

POOL, HELD_OUT = 20_000, 10_000
TABLE_POOL = 400  # of the 569 rows of breast_cancer
VALIDATION = 3  # one point of so many to train on is held out for the choice of settings


def _draw(
    law: Callable[[], Law], dataset: Mapping[str, Any], samples: int, fetched: Fetched
) -> dict[str, Array]:
    """The arrays of a file of data from a known law, each with its own fixed random stream."""
    sample = law().sample
    pool_points, pool_labels = sample(dataset.get("pool", POOL), stream(1))
    points, labels = sample(dataset.get("held_out", HELD_OUT), stream(2))
    real = [sample(samples, stream(4 + f))[0] for f in range(FLOOR_SETS)]
    return {
        "pool": pool_points,
        "pool_labels": pool_labels,
        "held_out": points,
        "held_out_labels": labels,
        "real": np.stack(real),
    }


def breast_cancer(dataset: Mapping[str, Any], samples: int, fetched: Fetched) -> dict[str, Array]:
    """The arrays of a table: 569 tumours, 12 measures of the cell nuclei in each, two diagnoses.

    By Wolberg, Mangasarian, Street and Street (1995), "Breast Cancer Wisconsin (Diagnostic)", UCI
    Machine Learning Repository, doi:10.24432/C5DW2B, CC BY 4.0; it comes with scikit-learn.

    Of its 30 columns these are the mean and the worst of six features. Perimeter and area are left
    out, which the radius all but determines: the smallest eigenvalue of the correlations would be
    1e-4, and likelihoods would tell of little else. So are concavity and concave points, each zero
    in the same 13 rows, where there is no density, and the standard errors: above 16 dimensions a
    likelihood is an estimate.

    Each column is standardised by mean and deviation of the pool, which know nothing of the test
    set, and is not made more Gaussian by logarithms. Likelihoods are in these units; another affine
    map would add the same number to that of every method.

    The 400 rows of the pool are the floor's as well: there are no further ones.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    table = load_breast_cancer()
    features = ("radius", "texture", "smoothness", "compactness", "symmetry", "fractal dimension")
    columns = [f"{of} {name}" for of in ("mean", "worst") for name in features]
    names = table.feature_names.tolist()
    pool, held_out, pool_labels, held_out_labels = train_test_split(
        table.data[:, [names.index(column) for column in columns]],
        table.target,
        train_size=TABLE_POOL,
        stratify=table.target,
        random_state=SEED,
    )
    mean, deviation = pool.mean(0), pool.std(0)
    pool, held_out = (pool - mean) / deviation, (held_out - mean) / deviation
    return {
        "pool": pool,
        "pool_labels": pool_labels,
        "held_out": held_out,
        "held_out_labels": held_out_labels,
        "real": floor_sets(pool, samples),
    }


@dataclass(frozen=True)
class Dataset:
    """An entry of the registry.

    Attributes:
        arrays: dataset (its name and parameters), number of samples and what was fetched to the
            arrays of its file.
        pool_size: points to train on, unless the parameters say otherwise.
        parameters: the names of its optional parameters.
        needs: the names of those that it must have.
        image: whether its points are square greyscale images.
        source: the stage that fetches it, if any.
        fetches: the shapes of the arrays that this stage writes (see ``reading.Inputs``).
        held_out: number of held-out images.
        smallest_class: of equal shares, the images of the rarest class: to train on, held out.
        law: the distribution, if it is known.
        counted: points to train on by the parameters, where only these tell.
    """

    arrays: Callable[[Mapping[str, Any], int, Fetched], dict[str, Array]]
    pool_size: int
    parameters: tuple[str, ...] = ()
    image: bool = False
    source: str | None = None
    fetches: Mapping[str, str] = field(default_factory=dict)
    held_out: int = 0
    smallest_class: tuple[int, int] = (0, 0)
    law: Callable[[], Law] | None = None
    needs: tuple[str, ...] = ()
    counted: Callable[[Mapping[str, Any]], int] | None = None

    @property
    def has_density(self) -> bool:
        """Whether the true log-density is known."""
        return self.law is not None and self.law().log_density is not None

    def log_density(self, x: Array) -> Array:
        """The true log p at points (n, d), giving (n,).

        Raises:
            Refused: if no closed form is known.
        """
        density = self.law().log_density if self.law else None
        if density is None:
            raise Refused("log_density_gap: the dataset's density is not known; leave it out")
        return density(x)


def _known(law: Callable[[], Law]) -> Dataset:
    return Dataset(partial(_draw, law), POOL, parameters=("pool", "held_out"), law=law)


DATASETS = {
    "weighted_modes": _known(weighted_modes),
    "heavy_tails": _known(heavy_tails),
    "pinwheel": _known(pinwheel),
    "rings": _known(rings),
    "clusters16": _known(clusters16),
    "breast_cancer": Dataset(breast_cancer, TABLE_POOL),
    "table": Dataset(
        own_table.arrays,
        0,
        ("label", "columns", "image_side"),
        needs=("path",),
        counted=own_table.pool_size,
    ),
    "digits": Dataset(
        images.arrays,
        1000,
        ("shares", "symmetry"),
        image=True,
        held_out=397,
        smallest_class=(96, 39),
    ),
    "mnist": Dataset(
        images.arrays,
        images.MNIST_POOL,
        ("side", "shares", "symmetry"),
        image=True,
        source="mnist",
        fetches=images.MNIST_SHAPES,
        held_out=10_000,
        smallest_class=(2700, 892),
    ),
}


def pool_size(dataset: Mapping[str, Any], split: str = "test") -> int:
    """How many points there are to train on.

    Args:
        dataset: the name of a dataset and its parameters, as in the configuration.
        split: as for ``prepare``.

    Raises:
        Refused: a file of the user's own that cannot be used.
    """
    entry = DATASETS[dataset["name"]]
    size = entry.counted(dataset) if entry.counted else dataset.get("pool", entry.pool_size)
    if shares := dataset.get("shares"):
        size = int(entry.smallest_class[0] / max(shares))
    return size - size // VALIDATION if split == "validation" else size


def held_out_size(dataset: Mapping[str, Any], split: str = "test") -> int:
    """How many held-out images there are, at least; arguments as of ``pool_size``."""
    if split == "validation":
        return pool_size(dataset) // VALIDATION
    entry = DATASETS[dataset["name"]]
    if shares := dataset.get("shares"):
        return int(entry.smallest_class[1] / max(shares))
    return entry.held_out


def prepare(
    dataset: Mapping[str, Any], samples: int, fetched: Fetched = None, split: str = "test"
) -> dict[str, Array]:
    """The arrays of a file of data (see above).

    With the split ``validation`` a third of the points to train on is held out in place of the test
    set: a search that chooses settings by it leaves the test set unseen.

    Args:
        dataset: the name of a dataset and its parameters, as in the configuration.
        samples: how many points are sampled from each trained model.
        fetched: what the dataset's source stage wrote.
        split: ``test`` or ``validation``.

    Raises:
        Refused: a name or a parameter that does not exist.
    """
    name = dataset["name"]
    if name not in DATASETS:
        raise Refused(f"dataset.name: {name!r} is unknown; allowed: {', '.join(DATASETS)}")
    for key in dataset:
        allowed = ("name", *DATASETS[name].needs, *DATASETS[name].parameters)
        if key not in allowed:
            raise Refused(
                f"dataset.{key}: {name} has no such parameter; allowed: {', '.join(allowed)}"
            )
    arrays = DATASETS[name].arrays(dataset, samples, fetched)
    if split == "validation":
        kept = len(arrays["pool"]) - len(arrays["pool"]) // VALIDATION
        for pool, held_out in (("pool", "held_out"), ("pool_labels", "held_out_labels")):
            arrays[pool], arrays[held_out] = np.split(arrays[pool], [kept])
        if "rarest" in arrays:
            own = arrays["held_out_labels"] == images.rarest(dataset["shares"])
            arrays["rarest"] = arrays["held_out"][own]
    return arrays
