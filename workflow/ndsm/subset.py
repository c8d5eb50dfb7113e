"""Which points a replica trains on.

A module of its own: a new dataset must not retrain what was trained on another.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ndsm.store import Refused

if TYPE_CHECKING:
    from torch import Tensor

SEED = 20240525

ArrayOrTensor = TypeVar("ArrayOrTensor", np.ndarray, "Tensor")


def training_subset(
    data: Mapping[str, ArrayOrTensor], n_train: int, seed: int, of: str = "pool"
) -> ArrayOrTensor:
    """What a replica trains on, (n_train, d): the first of one permutation of the pool per seed.

    So the subsets of one seed are nested.

    Args:
        data: arrays or tensors with ``pool``, (n, d).
        n_train: the number of points.
        seed: the replica's seed.
        of: ``pool_labels`` gives the labels of the same points, (n_train,).

    Raises:
        Refused: if the pool is smaller than ``n_train``.
    """
    rows: Any = data[of]
    n = len(rows)
    if n_train > n:
        raise Refused(f"n_train: {n_train} is more than the data have; allowed: up to {n}")
    return rows[np.random.default_rng([SEED, seed]).permutation(n)[:n_train]]
