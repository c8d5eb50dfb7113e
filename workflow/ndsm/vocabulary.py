"""Names that stand in tables and configurations, and what planning needs to know of objectives."""

from collections.abc import Mapping
from typing import Any

SEED = 20240525  # of data, their splits and training subsets, and of the bootstrap

FLOOR = "real"  # the "method" that is held-out data itself
CEILING = "decoded"  # the "method" that is the training data, through the autoencoder
UNTRAINED = "_untrained"  # ends the name of a method's own model with F_θ = 0: its null

# Prefixes of the metrics of claims (see ``claims``).
POINTS, SECONDS = "points_saved:", ("seconds_to:", "total_seconds_to:")
BEST = "best_budget:"

# The samplers of the probability flow dy/dφ = −F.
FLOWS = ("adams", "heun")

# Network evaluations a step of a sampler; of all others one.
PER_STEP = {"heun": 2, "edm": 2}

# What each objective learns from (see ``training_examples``): jumps along the chain, jumps from the
# data, or bridges from the data.
EXAMPLES = {
    "dsm": "data",
    "ndsm": "chain",
    "ndsm_cv": "chain",
    "ndsm_anti": "chain",
    "ndsm_jump": "data",
    "ndsm_flow": "bridge",
    "flow_matching": "bridge",
}

# Objectives that evaluate the network twice a step.
TWICE = ("ndsm_cv", "ndsm_anti")

# What a job is told beside the settings that reach it.
JOB_ALONE = ("replicas", "device")

# What the fit of a method's mixture takes of the seconds that its training takes.
FIT_SHARE = "drift_over_training"

# Metrics of which neither less nor more is better, with what is right: no best method, no claim.
DIAGNOSTIC = {"nearest_ratio": "1 is right", "inception_score": "the floor's is right"}

# Metrics without a zero that means anything: their differences count, and no ratios.
DIFFERENCES = ("nll",)

# Metrics that ask for the model's log-density of held-out data.
LIKELIHOOD = ("nll", "kl")


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
