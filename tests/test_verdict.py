"""Verdicts, families, power, savings of points and seconds: numbers, error rates, nulls."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ndsm.report.frontier import first_passage
from ndsm.report.verdict import (
    CONTRADICTED,
    DIFFERENCE,
    INCONCLUSIVE,
    SAVING,
    SUPPORTED,
    Shared,
    compare,
    detectable,
    holm,
    points_saved,
    verdict,
)

FAST = {"level": 0.05, "resamples": 999}


def judged(*args, level=0.05, **how):
    """The comparison and its verdict, as of one that is alone in its family."""
    found = compare(*args, level=level, **how)
    p, low, high = (
        np.nan if x is None else x for x in (found.p_value, found.ci_low, found.ci_high)
    )
    return found, verdict(p, low, high, level)


def pairs(gain, seeds=5, noise=0.02, spread=0.3, seed=0):
    """Baseline and method over seeds: a large common part, a small private one, a relative gain."""
    rng = np.random.default_rng(seed)
    common = 1 + spread * rng.standard_normal(seeds)
    baseline = common + noise * rng.standard_normal(seeds)
    return baseline, common - gain + noise * rng.standard_normal(seeds)


@pytest.mark.parametrize(
    ("gain", "outcome"), [(0.2, SUPPORTED), (-0.2, CONTRADICTED), (0.002, INCONCLUSIVE)]
)
def test_each_verdict_is_reached(gain, outcome):
    baseline, method = pairs(gain)
    found, decided = judged(baseline, method, **FAST)
    assert decided == outcome
    assert found.effect == pytest.approx((baseline.mean() - method.mean()) / baseline.mean())
    assert found.ci_low <= found.effect <= found.ci_high
    assert found.p_value == pytest.approx(stats.ttest_rel(baseline, method).pvalue)


def test_direction_of_the_metric():
    baseline, method = pairs(0.2)
    assert judged(baseline, method, maximise=True, **FAST)[1] == CONTRADICTED
    assert judged(method, baseline, maximise=True, **FAST)[1] == SUPPORTED


def test_unpaired_test_would_miss_the_effect():
    # The planted mistake: the seeds' common part is most of the spread, and an unpaired test, or
    # one with the pairs shuffled, does not see the effect that the paired one does.
    baseline, method = pairs(0.1)
    assert judged(baseline, method, **FAST)[1] == SUPPORTED
    assert stats.ttest_ind(baseline, method).pvalue > 0.05
    assert judged(baseline, np.roll(method, 1), **FAST)[1] == INCONCLUSIVE


def test_error_rate_without_effect():
    # 400 studies of 5 seeds without any effect: at level 0.05 more than 34 false verdicts have
    # probability below 0.1 % (binomial), and fewer than 4 as well: the test is not vacuous.
    low, high = stats.binom.ppf([1e-3, 1 - 1e-3], 400, 0.05)
    verdicts = [judged(*pairs(0.0, seed=k), **FAST)[1] for k in range(400)]
    wrong = sum(v != INCONCLUSIVE for v in verdicts)
    assert wrong <= high
    assert wrong >= low / 2  # requiring the interval as well may only lower the rate
    # The planted mistake: by the bootstrap interval alone, far more than 5 % would be verdicts.
    alone = [compare(*pairs(0.0, seed=k), **FAST) for k in range(400)]
    assert sum(not v.ci_low <= 0 <= v.ci_high for v in alone) > high


def test_interval_agrees_with_scipy():
    baseline, method = pairs(0.1, seeds=12)

    def effect(b, m, axis):
        return (b.mean(axis) - m.mean(axis)) / b.mean(axis)

    theirs = stats.bootstrap(
        (baseline, method), effect, paired=True, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    ours = compare(baseline, method, level=0.05, resamples=20_000)
    # Both are Monte Carlo: quantiles of 20,000 resamples scatter by about 1 % of the width.
    width = theirs.high - theirs.low
    assert ours.ci_low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.ci_high == pytest.approx(theirs.high, abs=0.05 * width)


@pytest.mark.parametrize(
    ("baseline", "method", "outcome", "effect"),
    [
        ([1.0] * 5, [1.0] * 5, INCONCLUSIVE, 0.0),  # all differences zero
        ([1.0] * 5, [0.5] * 5, INCONCLUSIVE, 0.5),  # the same in all seeds: a sign test, p = 1/16
        ([1.0] * 6, [0.5] * 6, SUPPORTED, 0.5),  # p = 1/32
        ([0.0] * 5, [0.0] * 5, INCONCLUSIVE, 0.0),
        ([0.0] * 5, [0.1, 0.2, 0.1, 0.2, 0.1], CONTRADICTED, -np.inf),  # nothing to be relative to
        ([1.0, 1.1], [0.5, 0.6], INCONCLUSIVE, 0.5 / 1.05),  # too few seeds
        ([1.0], [0.5], INCONCLUSIVE, 0.5),
        ([-1e-4, 2e-4, 1e-4, 0.0, -2e-4], [1e-4, -1e-4, 0.0, 2e-4, 1e-4], INCONCLUSIVE, None),
    ],
)
def test_degenerate_values_give_a_verdict_without_warnings(baseline, method, outcome, effect):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, decided = judged(baseline, method, **FAST)
    assert decided == outcome
    if effect is not None:
        assert found.effect == pytest.approx(effect)
    if len(baseline) < 3:
        assert found.p_value is None and "seeds" in found.note


@pytest.mark.parametrize(
    "bad", [([1.0, np.nan, 1.0], [1.0] * 3), ([1.0, 2.0], [1.0] * 3), ([], [])]
)
def test_unusable_values_are_refused(bad):
    with pytest.raises(ValueError):
        compare(*bad, **FAST)


def test_threshold():
    shares = np.array([0.02, 0.03, 0.025, 0.04, 0.03])
    assert judged(0.1, shares, **FAST)[1] == SUPPORTED
    assert judged(0.01, shares, **FAST)[1] == CONTRADICTED
    assert compare(0.1, shares, **FAST).effect == pytest.approx((0.1 - shares.mean()) / 0.1)


def test_a_difference_does_not_depend_on_where_zero_is():
    """As the effect on ``nll`` must not: other units of the data add a constant."""
    baseline, method = np.array([1.2, 1.4, 1.1, 1.3]), np.array([1.0, 1.3, 1.0, 1.1])
    plain, moved = (
        judged(baseline + shift, method + shift, scale=DIFFERENCE, **FAST) for shift in (0, -5)
    )
    assert plain[0].effect == pytest.approx(0.15) == moved[0].effect
    assert plain[0].ci_low == pytest.approx(moved[0].ci_low) and plain[1] == SUPPORTED
    assert compare(baseline - 5, method - 5, **FAST).effect != pytest.approx(0.15)


def test_an_error_that_all_seeds_share_counts_once():
    """It is no smaller for their number; alone it is the t test's whole standard error."""
    gains = 0.2 + 0.01 * np.array([-1.0, 1.0, -1.0, 1.0])
    plain = compare(np.ones(4), 1 - gains, **FAST)
    assert plain.p_value == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
    found = compare(np.ones(4), 1 - gains, shared=Shared(0.1, 3.0), **FAST)
    own = gains.var(ddof=1) / 4
    df = (own + 0.01) ** 2 / (own**2 / 3 + 0.01**2 / 3)
    t = 0.2 / np.sqrt(own + 0.01)
    assert found.p_value == pytest.approx(2 * stats.t.sf(t, df)) and found.p_value > 0.1
    # The interval is that of a normal error of 0.1, that of the seeds being small: 0.004 and 0.396.
    assert found.ci_low == pytest.approx(0.2 - 1.96 * 0.1, abs=0.03)
    assert found.ci_high == pytest.approx(0.2 + 1.96 * 0.1, abs=0.03)
    assert found.spread == pytest.approx(np.sqrt(gains.var(ddof=1) + 4 * 0.01))


# Families and power ----------------------------------------------------------------------------


def test_holm_by_hand():
    """The k-th smallest times what is left, never below the one before; what is missing is not."""
    found = holm(pd.Series([0.04, np.nan, 0.001, 0.03]))
    assert list(found.dropna()) == pytest.approx([0.06, 0.003, 0.06]) and np.isnan(found[1])
    assert holm(pd.Series([None, None], dtype=float)).isna().all()


def test_detectable_effects_are_found_four_times_in_five():
    """Of 2,000 studies between 1,544 and 1,656 (0.1 % each side), at 10 seeds and level 0.01."""
    for scale in ("relative", SAVING):
        effect = detectable(0.3, 10, 0.01, scale)
        gain = -np.log1p(-effect) if scale == SAVING else effect
        draws = gain + 0.3 * np.random.default_rng(1).standard_normal((2000, 10))
        found = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.01).sum()
        low, high = stats.binom.ppf([1e-3, 1 - 1e-3], 2000, 0.8)
        assert low <= found <= high


def studies(kind, rng, seeds=10):
    """Two methods that are alike: what a comparison of each kind is given, (seeds,) each."""
    common = np.exp(0.3 * rng.standard_normal((seeds, 1)))
    sizes = np.array([200, 600, 2000])
    # Learning curves that are no power laws: they end in a floor that the budget sets.
    curves = [
        common * (sizes**-0.8 + 0.02) * np.exp(0.15 * rng.standard_normal((seeds, 3)))
        for _ in range(2)
    ]
    if kind == "values":
        return curves[0][:, 1], curves[1][:, 1], {}
    if kind == "difference":
        return np.log(curves[0][:, 1]), np.log(curves[1][:, 1]), {"scale": DIFFERENCE}
    if kind == "threshold":
        return 1.0, 1 + 0.15 * rng.standard_normal(seeds), {}
    if kind == "flat":
        curves = [c * 0 + np.exp(0.15 * rng.standard_normal(c.shape)) for c in curves]
    saved = np.array([points_saved(sizes, *pair) for pair in zip(*curves, strict=True)])
    return saved, np.ones(seeds), {"scale": SAVING}


# Seconds and budgets are in test_frontier.py.
KINDS = ["values", "difference", "threshold", "points", "flat"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_methods_that_are_alike_are_told_apart_at_the_level_only(kind):
    """One in twenty may be, half of them on either side; more than 3.3 % or so is no chance.

    Of 1,000 studies no more than 40 supported and no more than 40 contradicted: at 2.5 % each that
    is passed by chance once in 500 times.
    """
    rng = np.random.default_rng(7)
    found = [studies(kind, rng) for _ in range(1000)]
    outcomes = [judged(b, m, resamples=199, **how)[1] for b, m, how in found]
    for outcome in (SUPPORTED, CONTRADICTED):
        assert outcomes.count(outcome) <= stats.binom.ppf(1 - 2e-3, 1000, 0.025)


def test_a_saving_with_sizes_on_one_side_only_would_be_supported_too_often():
    """The planted mistake: how many points the baseline needs, from the method's size upwards."""
    rng, wrong = np.random.default_rng(8), 0
    for _ in range(200):
        sizes = np.array([200, 600, 2000])
        b, m = (sizes**-0.8 * np.exp(0.15 * rng.standard_normal((10, 3))) for _ in range(2))
        needed = [first_passage(sizes, row, target) for row, target in zip(b, m[:, 0], strict=True)]
        needed = np.nan_to_num(needed, nan=2000.0)
        wrong += judged(needed, np.full(10, 200.0), scale=SAVING, resamples=199)[1] == SUPPORTED
    assert wrong > 20


# Points saved, seconds to a quality -------------------------------------------------------------

SIZES = np.array([50, 200, 1000, 2000])


def test_points_saved_is_the_shift_between_two_power_laws():
    for factor in (0.5, 1.0, 3.0):
        b, m = 2.0 * SIZES**-0.7, 2.0 * (factor * SIZES) ** -0.7
        assert points_saved(SIZES, b, m) == pytest.approx(factor)
        assert points_saved(SIZES, m, b) == pytest.approx(1 / factor)
        assert points_saved(SIZES, 1 / b, 1 / m, maximise=True) == pytest.approx(factor)
    # Held to the range of sizes, 40; so are curves that do not fall.
    assert points_saved(SIZES, 2.0 * SIZES**-0.1, 1.0 * SIZES**-0.1) == pytest.approx(40)
    assert points_saved(SIZES, 2.0 * SIZES**0.1, 2.1 * SIZES**0.1) == pytest.approx(1 / 40)
    with pytest.raises(ValueError, match="positive"):
        points_saved(SIZES, SIZES - 50.0, SIZES)


def test_first_passage_by_hand():
    for n in (50, 80, 500, 1999):
        assert first_passage(SIZES, 3.0 * SIZES**-0.7, 3.0 * n**-0.7) == pytest.approx(n)
        up = first_passage(SIZES, 3.0 * SIZES**0.1, 3.0 * n**0.1, maximise=True)
        assert up == pytest.approx(n)
    # First crossing of a curve that goes up again; the order of the costs is of no matter.
    bumpy = np.array([1.0, 0.1, 0.5, 0.05])
    assert first_passage(SIZES, bumpy, 0.1) == 200
    assert first_passage(SIZES[::-1], bumpy[::-1], 0.3) < 200
    # A value of zero or less has no logarithm: linear in the value, halfway is the geometric mean.
    assert first_passage([100, 400], [0.1, -0.1], 0.0) == pytest.approx(200)
    assert np.isnan(first_passage(SIZES, bumpy, 0.01)) and first_passage(SIZES, bumpy, 2.0) == 50
