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
# Passes of one point through the network. With fewer points than some 1,200 a training that starts
# from a mixture overfits with them all (weighted_modes, 200 to 2,000 points): at most so many each.
EVALUATIONS, EVALUATIONS_ABOVE, FOR_EACH = 384_000, 128_000, 320
GRIDS = {"tied": [5, 10, 20, 30, 50], "spherical": [10, 20, 50, 100]}
BEST_GRID = [2, 5, 10, 20, 40]  # of diag and full
GRID_ABOVE = [1, 2, 3, 5, 10, 20]  # of tied, in more than two dimensions
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
