r"""Verdicts: a paired comparison of a method with a baseline, over seeds.

Seed i gives the pair (b_i, m_i), both trained on the same points. The effect is positive where the
method is better. It is, with means over seeds and for a metric of which less is better,

    relative      mean(b − m) / |mean(b)|             most metrics
    difference    mean(b − m)                         a metric without a zero (``nll``)
    saving        1 − exp(−mean(log b − log m))       what is used up: seconds, training points

The p-value is that of the two-sided paired t test on the gains b − m (of a saving log b − log m),
the interval the percentile bootstrap over seeds. A verdict but inconclusive asks for both, a small
p-value, corrected for all comparisons of its family (``holm``), and an interval without zero: with
as few as five seeds the bootstrap alone is too narrow (its 95 % interval covers 84 % where the
gains are Gaussian).

An error that all seeds share, as of a stopwatch that timed them together, is not in their spread.
Its variance is added to that of the mean, with degrees of freedom by Welch and Satterthwaite, and
noise of its size to the bootstrap.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from ndsm.vocabulary import SEED

MIN_SEEDS = 3
POWER = 0.8

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
RELATIVE, DIFFERENCE, SAVING = "relative", "difference", "saving"


@dataclass(frozen=True)
class Shared:
    """An error that all seeds share.

    Attributes:
        error: its standard deviation, in units of a gain.
        df: the degrees of freedom of that.
    """

    error: float = 0.0
    df: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """What the seeds say of a method and a baseline.

    Attributes:
        effect: the improvement over the baseline; infinite if it is relative to a mean of zero.
        ci_low: lower end of the effect's bootstrap interval, None where there is none.
        ci_high: upper end.
        p_value: two-sided paired t test, None where there is none.
        seeds: number of pairs.
        spread: standard deviation of the gains, in units of the effect (of a saving, of the
            logarithms); None where there is none.
        note: what a reader must know besides the numbers; empty in the ordinary case.
    """

    effect: float
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    seeds: int
    spread: float | None = None
    note: str = ""


def compare(
    baseline: ArrayLike,
    method: ArrayLike,
    *,
    maximise: bool = False,
    scale: str = RELATIVE,
    shared: Shared = Shared(),  # noqa: B008  frozen
    level: float = 0.05,
    resamples: int = 9999,
) -> Comparison:
    """Compares a method with a baseline over paired seeds.

    Args:
        baseline: (seeds,) values of the baseline, or one number: a threshold.
        method: (seeds,) values of the method, in the order of the same seeds.
        maximise: whether the metric is the better the higher.
        scale: of the effect: relative, difference or saving.
        shared: error of the mean gain that the seeds do not show.
        level: the interval has confidence 1 - level.
        resamples: bootstrap resamples.

    Raises:
        ValueError: no seeds, shapes that differ, a value that is not finite, or of a saving one
            that is not positive.
    """
    m = np.atleast_1d(np.asarray(method, dtype=float))
    b = np.asarray(baseline, dtype=float)
    if m.ndim != 1 or not m.size or b.shape not in ((), m.shape):
        raise ValueError(f"values of shapes {b.shape} and {m.shape} are not pairs over seeds")
    b = np.broadcast_to(b, m.shape)
    if not (np.isfinite(b).all() and np.isfinite(m).all()):
        raise ValueError("a comparison needs finite values")
    if scale == SAVING:
        if min(b.min(), m.min()) <= 0:
            raise ValueError("a saving needs positive values")
        b, m = np.log(b), np.log(m)
    gain, unit = m - b if maximise else b - m, b if scale == RELATIVE else np.ones_like(b)

    def effect(rows: NDArray[np.int64], error: ArrayLike = 0.0) -> NDArray[np.float64]:
        mean = _ratio(gain[rows].mean(-1) + error, unit[rows].mean(-1))
        return -np.expm1(-mean) if scale == SAVING else mean

    seeds = m.size
    found = float(effect(np.arange(seeds)))
    if seeds < MIN_SEEDS:
        note = f"{seeds} of the {MIN_SEEDS} seeds that a verdict needs"
        return Comparison(found, None, None, None, seeds, note=note)
    p_value, note = _p_value(gain, shared)
    rng = np.random.default_rng(SEED)
    resample = rng.integers(seeds, size=(resamples, seeds))
    noise = shared.error * rng.standard_normal(resamples)
    # An order statistic, not an interpolation: a resampled baseline of mean zero gives infinities.
    ends = np.quantile(effect(resample, noise), [level / 2, 1 - level / 2], method="inverted_cdf")
    deviation = np.sqrt(gain.var(ddof=1) + seeds * shared.error**2)
    spread = float(_ratio(deviation, unit.mean()))
    return Comparison(found, float(ends[0]), float(ends[1]), p_value, seeds, spread, note)


def _p_value(gain: NDArray[np.float64], shared: Shared) -> tuple[float, str]:
    """Of the two-sided t test on the gains (seeds,), and a note."""
    if np.ptp(gain) > 1e-12 * np.abs(gain).max():
        own, common, seeds = gain.var(ddof=1) / gain.size, shared.error**2, gain.size
        df = (own + common) ** 2 / (own**2 / (seeds - 1) + common**2 / shared.df)
        return float(2 * stats.t.sf(abs(gain.mean()) / np.sqrt(own + common), df)), ""
    # The t test is 0/0 here, and its limit, p = 0, would take a common bound for certainty.
    if not gain.any():
        return 1.0, "no difference in any seed"
    return 2.0 ** (1 - gain.size), (
        "the same difference in every seed, for which p is that of the sign test"
    )


def _ratio(gain: ArrayLike, baseline: ArrayLike) -> NDArray[np.float64]:
    """Divides gain by |baseline|; 0/0 is 0, anything else over 0 an infinity of its sign."""
    gain, scale = np.asarray(gain, dtype=float), np.abs(np.asarray(baseline, dtype=float))
    infinite = np.where(gain == 0, 0.0, np.copysign(np.inf, gain))
    return np.divide(gain, scale, out=infinite, where=scale > 0)


def holm(p_values: pd.Series) -> pd.Series:
    """p-values corrected for their number by Holm's method; those that are missing do not count."""
    adjusted, known = p_values.astype(float), p_values.notna()
    if known.any():
        adjusted[known] = multipletests(adjusted[known], method="holm")[1]
    return adjusted


def verdict(p_adjusted: float, ci_low: float, ci_high: float, level: float) -> str:
    """``supported``, ``contradicted`` or ``inconclusive``; the last also where a value is nan."""
    if p_adjusted < level and ci_low > 0:
        return SUPPORTED
    if p_adjusted < level and ci_high < 0:
        return CONTRADICTED
    return INCONCLUSIVE


def detectable(spread: float, seeds: int, level: float, scale: str = RELATIVE) -> float:
    """The smallest effect that a t test at ``level`` finds with a probability of ``POWER``."""
    gain = spread * TTestPower().solve_power(nobs=seeds, alpha=level, power=POWER)
    return float(-np.expm1(-gain) if scale == SAVING else gain)


def points_saved(
    sizes: ArrayLike, baseline: ArrayLike, method: ArrayLike, *, maximise: bool = False
) -> float:
    """How many times as many training points the baseline needs for the method's quality.

    Both learning curves of a seed are taken for parallel power laws, v = c n^{−β} with β the mean
    of the two fitted exponents; the result is the ratio of the sizes at which they have the same
    value, below one where the baseline needs fewer. It is held between the inverse of the range of
    sizes and that range, which is also what flat curves give. Exchanging the two inverts it: two
    methods that are alike come out as often on one side as on the other.

    Args:
        sizes: (k,) training sizes, two or more.
        baseline: (k,) metric at these sizes, positive.
        method: (k,) metric at these sizes, positive.
        maximise: whether the metric is the better the higher.

    Raises:
        ValueError: a value is not positive.
    """
    n, b, m = (np.asarray(each, dtype=float) for each in (sizes, baseline, method))
    if min(b.min(), m.min()) <= 0:
        raise ValueError("a power law needs positive values")
    n, b, m = np.log(n), np.log(b), np.log(m)
    if maximise:
        b, m = -b, -m
    gap, most = (b - m).mean(), np.ptp(n)
    exponent = -np.polyfit(n, (b + m) / 2, 1)[0]
    if abs(gap) >= most * max(exponent, 0.0):
        return float(np.exp(np.sign(gap) * most))
    return float(np.exp(gap / exponent))
