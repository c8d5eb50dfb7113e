"""How much likelier one model finds held-out rows than another does, and how sure that is.

Two draws decide it: the rows that a seed trains on, and the rows that are held out. The seeds' own
spread (``verdict``) knows nothing of the second where all seeds are asked about the same few rows:
with 54 of them a difference may be theirs alone. So the interval here is the wider one of two, that
over seeds and the percentile bootstrap over seeds and held-out rows together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ndsm.report.verdict import DIFFERENCE, compare
from ndsm.vocabulary import SEED

RESAMPLES = 2000
LEAST = 0.01  # nats a row: less is called no difference, however sure
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """The mean gain in log-likelihood, nats a row.

    Attributes:
        mean: over seeds and rows.
        low: lower end of the wider interval.
        high: upper end.
        p_value: of the paired t test over seeds; nan where there are too few of them.
    """

    mean: float
    low: float
    high: float
    p_value: float


def gap(ours: Array, theirs: Array, level: float) -> Gap:
    """The gain of a model over another.

    Args:
        ours: log-densities (seeds, rows), nan where a seed was not asked about a row.
        theirs: of the other model, on the same rows.
        level: the interval has confidence 1 - level.
    """
    gains = ours - theirs
    asked = ~np.isnan(gains)
    found = compare(-np.nanmean(theirs, 1), -np.nanmean(ours, 1), scale=DIFFERENCE, level=level)
    rng = np.random.default_rng(SEED)
    seeds, rows = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) for n in gains.shape)
    total = ((seeds @ np.where(asked, gains, 0.0)) * rows).sum(1)
    ends = np.quantile(total / ((seeds @ asked) * rows).sum(1), [level / 2, 1 - level / 2])
    low, high = (float(end) for end in ends)
    if found.p_value is None or found.ci_low is None or found.ci_high is None:
        return Gap(found.effect, low, high, float("nan"))
    return Gap(found.effect, min(low, found.ci_low), max(high, found.ci_high), found.p_value)


def verdict_of(found: Gap, p_adjusted: float, level: float) -> int:
    """1 if the gain is real, -1 if the loss is, 0 if neither can be said."""
    if not (p_adjusted < level and abs(found.mean) >= LEAST):
        return 0
    return int(found.low > 0) - int(found.high < 0)
