r"""Verdicts: a paired comparison of a method with a baseline, over seeds.

Seed i gives the pair (b_i, m_i), both trained on the same points. With the gain
g_i = b_i - m_i where less is better (m_i - b_i where more is), the effect is relative,

    effect = mean(g) / |mean(b)|,

positive where the method is better; of a metric without a zero (``nll``) it is mean(g) itself. Its
interval is the percentile bootstrap over seeds; the
p-value is that of the two-sided paired t test on g. A verdict but inconclusive requires both.
With as few as five seeds the bootstrap alone is too narrow (it resamples five points: its 95 %
interval covers 84 % where the gains are Gaussian), whereas the t test then has the right level.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

# Every other metric of the study is the better the lower.
MAXIMISED = frozenset({"inception_score", "density", "coverage"})
MIN_SEEDS = 3
BOOTSTRAP_SEED = 20240525

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one comparison.

    Attributes:
        effect: relative improvement over the baseline; infinite if the baseline's mean is zero.
        ci_low: lower end of the effect's bootstrap interval, None where there is none.
        ci_high: upper end.
        p_value: two-sided paired t test, None where there is none.
        seeds: number of pairs.
        verdict: ``supported``, ``contradicted`` or ``inconclusive``.
        note: what a reader must know besides the numbers; empty in the ordinary case.
    """

    effect: float
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    seeds: int
    verdict: str
    note: str = ""


def compare(
    baseline: ArrayLike,
    method: ArrayLike,
    *,
    maximise: bool = False,
    relative: bool = True,
    level: float = 0.05,
    resamples: int = 9999,
) -> Verdict:
    """Compares a method with a baseline over paired seeds.

    Args:
        baseline: (seeds,) values of the baseline, or one number: a threshold.
        method: (seeds,) values of the method, in the order of the same seeds.
        maximise: whether the metric is the better the higher.
        relative: whether the effect is relative to the baseline's mean.
        level: significance level of the t test; the interval has confidence 1 - level.
        resamples: bootstrap resamples.

    Raises:
        ValueError: no seeds, shapes that differ, or a value that is not finite.
    """
    m = np.atleast_1d(np.asarray(method, dtype=float))
    b = np.asarray(baseline, dtype=float)
    if m.ndim != 1 or not m.size or b.shape not in ((), m.shape):
        raise ValueError(f"values of shapes {b.shape} and {m.shape} are not pairs over seeds")
    b = np.broadcast_to(b, m.shape)
    if not (np.isfinite(b).all() and np.isfinite(m).all()):
        raise ValueError("a comparison needs finite values")
    gain, unit = m - b if maximise else b - m, b if relative else np.ones_like(b)
    seeds, effect = m.size, float(_ratio(gain.mean(), unit.mean()))
    if seeds < MIN_SEEDS:
        note = f"{seeds} of the {MIN_SEEDS} seeds that a verdict needs"
        return Verdict(effect, None, None, None, seeds, INCONCLUSIVE, note)

    note = ""
    if np.ptp(gain) <= 1e-12 * np.abs(gain).max():
        # The t test is 0/0 here, and its limit, p = 0, would take a common bound for certainty.
        p_value = 2.0 ** (1 - seeds) if gain.any() else 1.0
        same = "the same difference in every seed, for which p is that of the sign test"
        note = same if gain.any() else "no difference in any seed"
    else:
        p_value = float(stats.ttest_1samp(gain, 0.0).pvalue)
    resample = np.random.default_rng(BOOTSTRAP_SEED).integers(seeds, size=(resamples, seeds))
    effects = _ratio(gain[resample].mean(1), unit[resample].mean(1))
    # An order statistic, not an interpolation: a resampled baseline of mean zero gives infinities.
    ci_low, ci_high = np.quantile(effects, [level / 2, 1 - level / 2], method="inverted_cdf")

    verdict = INCONCLUSIVE
    if p_value < level and ci_low > 0:
        verdict = SUPPORTED
    elif p_value < level and ci_high < 0:
        verdict = CONTRADICTED
    return Verdict(effect, float(ci_low), float(ci_high), p_value, seeds, verdict, note)


def _ratio(gain: ArrayLike, baseline: ArrayLike) -> NDArray[np.float64]:
    """Divides gain by |baseline|; 0/0 is 0, anything else over 0 an infinity of its sign."""
    gain, scale = np.asarray(gain, dtype=float), np.abs(np.asarray(baseline, dtype=float))
    infinite = np.where(gain == 0, 0.0, np.copysign(np.inf, gain))
    return np.divide(gain, scale, out=infinite, where=scale > 0)


@dataclass(frozen=True)
class Match:
    """The training size at which a curve reaches a value.

    Attributes:
        size: that size; the largest or smallest of the curve if it is censored.
        censored: ``above`` if the curve never reaches the value (the true size exceeds ``size``),
            ``below`` if its smallest size already does, else empty.
    """

    size: float
    censored: str = ""


def size_to_match(
    sizes: ArrayLike, values: ArrayLike, target: float, *, maximise: bool = False
) -> Match:
    """The smallest training size at which a learning curve reaches ``target``.

    The curve is interpolated linearly in log size and log value (in log size and plain value where
    a value or the target is not positive, as an unbiased distance can be). It need not be monotone:
    the first crossing counts, which favours the owner of the curve.

    Args:
        sizes: (k,) training sizes.
        values: (k,) metric at these sizes, one seed.
        target: the value to reach.
        maximise: whether the metric is the better the higher.
    """
    order = np.argsort(sizes)
    n = np.asarray(sizes, dtype=float)[order]
    v = np.asarray(values, dtype=float)[order]
    reached = v >= target if maximise else v <= target
    if not reached.any():
        return Match(float(n[-1]), "above")
    k = int(np.argmax(reached))
    if k == 0:
        # Reaching the target exactly at the smallest size is a crossing, not a bound.
        return Match(float(n[0]), "" if v[0] == target else "below")
    before, after = v[k - 1], v[k]
    if min(before, after, target) > 0:
        before, after, target = np.log(before), np.log(after), np.log(target)
    share = (target - before) / (after - before)
    return Match(float(n[k - 1] * (n[k] / n[k - 1]) ** share))
