"""What served each objective best in the study: where a parameter of ``NDSM`` is None.

``PLANE``, up to two dimensions, was tuned on weighted_modes (workflow/studies/search.yaml);
``ABOVE``, from three on, is a middle of what was tuned on clusters16, breast_cancer and the codes
of digits. config.yaml has these values. They were chosen there, so on those data they flatter.
"""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Tuned:
    """What served an objective best.

    Attributes:
        batch: particles of a step.
        learning_rate: its peak.
        t_min: the first time of the grid.
        ema: the mean age of the averaged weights, as a share of the steps.
        weight: w of the objective's λ = v e^{wt}.
    """

    batch: int = 128
    learning_rate: float = 5e-3
    t_min: float = 1e-2
    ema: float = 0.1
    weight: float = 0


KNOWN = "dsm, known"  # dsm with a mixture's score known
CV = Tuned(256, 6e-3)
DSM = Tuned(64, 7.3e-3, ema=0.2, weight=2)
PLANE = {
    "dsm": DSM,
    KNOWN: Tuned(64, 1.8e-3, 1e-3),
    "ndsm": Tuned(128, 3.8e-3, 3e-2),
    "ndsm_cv": CV,
    "ndsm_anti": CV,
    "ndsm_flow": Tuned(512, 1.3e-2, 3e-3),
}
ABOVE = {"dsm": DSM, KNOWN: Tuned(weight=2), "ndsm_cv": CV, "ndsm_anti": CV}
# Passes of one point through the network. A training that starts from a mixture overfits few points
# with them all: up to two dimensions at most 320 for each (weighted_modes, 200 to 2,000 points),
# above at most 80 (breast_cancer, 100 and 300 points, and scikit-learn's wine, 118).
EVALUATIONS, FOR_EACH = 384_000, 320
EVALUATIONS_ABOVE, FOR_EACH_ABOVE = 128_000, 80
# The study's numbers of components, and fewer for data with less structure.
GRIDS = {"tied": [1, 2, 3, 5, 10, 20, 30, 50], "spherical": [1, 5, 10, 20, 50, 100]}
BEST_GRID = [1, 2, 5, 10, 20, 40]  # of diag and full
STRIDE, POOL, PATHS = 15, 32, 256  # PATHS: the pool with Euler steps
GRID_STEPS, EULER_STEPS = 100, 200
SEES_DRIFT = 16  # dimensions up to which ∇log π(y) is a further input of the network


def tuned_for(objective: str, known: Any, d: int) -> Tuned:
    """What served an objective best, for points of d dimensions."""
    table = PLANE if d <= 2 else ABOVE
    usual = Tuned(t_min=1e-3) if d <= 2 else Tuned()
    tuned = table.get(KNOWN if known else objective, usual)
    # As on digits.
    return replace(tuned, t_min=0.1) if d > SEES_DRIFT else tuned
