"""Which points a replica trains on.

A module of its own: a new dataset must not retrain what was trained on another.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.vocabulary import SEED

if TYPE_CHECKING:
    from torch import Tensor

ArrayOrTensor = TypeVar("ArrayOrTensor", np.ndarray, "Tensor")


def of_each(
    inputs: Inputs, files: Sequence[Path], spec: Mapping[str, Any]
) -> "list[dict[str, Tensor]]":
    """The tensors of data that each replica trains on: of the one file, or of its own.

    In latent space a replica may have an autoencoder, and so codes, of its own.

    Args:
        inputs: what the job reads.
        files: of data, or of codes.
        spec: the settings of the job, with ``replicas``.

    Raises:
        Refused: another number of files, or one that cannot be used.
    """
    replicas = spec["replicas"]
    if len(files) not in (1, len(replicas)):
        raise Refused(f"data: {len(files)} files for {len(replicas)} replicas; give one, or each")
    read = [inputs.tensors(path, {"pool": "n d"}, spec) for path in files]
    return read if len(read) == len(replicas) else read * len(replicas)


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
