"""Names that stand in tables and configurations."""

from collections.abc import Mapping
from typing import Any

SEED = 20240525  # of data, their splits and training subsets, and of the bootstrap

FLOOR = "real"  # the "method" that is held-out data itself
CEILING = "decoded"  # the "method" that is the training data, through the autoencoder
UNTRAINED = "_untrained"  # ends the name of a method's own model with F_θ = 0: its null

Replicas = list[tuple[int, int]]  # n_train and seed of each, along the leading axis of tensors

# Prefixes of the metrics of claims (see ``claims``).
POINTS, SECONDS = "points_saved:", ("seconds_to:", "total_seconds_to:")
BEST = "best_budget:"

# What a job is given beside the settings that reach it.
JOB_ALONE = ("replicas", "device")

# What the fit of a method's mixture takes of the seconds that its training takes.
FIT_SHARE = "drift_over_training"


def is_trained(study: Mapping[str, Any], method: str) -> bool:
    """Whether a method has a trained network; ``study`` has the settings of its ``methods``."""
    own = study["methods"].get(method, {"objective": "none"})
    return own["objective"] != "none" and "untrained" not in own


def likelihood_points(seed: int, there: int, dimension: int) -> list[int]:
    """The numbers of the held-out points whose log-density a seed's models have: its own block.

    So that the spread over seeds also has what the choice of these points does; where there are too
    few of them the blocks overlap. The density costs most above four dimensions.
    """
    count = min(there, 1000 if dimension <= 4 else 500)
    return [(seed * count + k) % there for k in range(count)]
