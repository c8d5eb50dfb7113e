"""Verdicts, learning curves and the claims table: numbers, error rates, planted mistakes."""

import io
import warnings

import jinja2
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts
from scipy import stats

from ndsm import claims, store
from ndsm.frontier import first_passage
from ndsm.verdict import (
    CONTRADICTED,
    DIFFERENCE,
    INCONCLUSIVE,
    SAVING,
    SUPPORTED,
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
    if kind == "flat":
        curves = [c * 0 + np.exp(0.15 * rng.standard_normal(c.shape)) for c in curves]
    if kind in ("points", "flat"):
        saved = np.array([points_saved(sizes, *pair) for pair in zip(*curves, strict=True)])
        return saved, np.ones(seeds), {"scale": SAVING}
    # Seconds until the mean quality that the first has with its whole budget.
    target, budgets = curves[0][:, -1].mean(), np.array([1.0, 3.0, 10.0])
    times = [np.array([first_passage(budgets, row, target) for row in c]) for c in curves]
    return *(np.where(np.isnan(t), budgets[-1], t) for t in times), {"scale": SAVING}


@pytest.mark.parametrize("kind", ["values", "points", "flat", "seconds"])
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


# The table -------------------------------------------------------------------------------------


def curve(method, scale, seed_noise=0.01):
    rng = np.random.default_rng(len(method))
    rows = [
        ("rings", method, n, seed, "energy_distance", scale / n * (1 + seed_noise * rng.normal()))
        for n in SIZES
        for seed in range(5)
    ]
    return pd.DataFrame(rows, columns="experiment method n_train seed metric value".split())


@pytest.fixture
def metrics():
    return pd.concat([curve("dsm", 1.0), curve("ndsm_cv", 0.4)]).astype({"n_train": "Int64"})


def claim(**change):
    base = {"id": "C1", "experiment": "rings", "metric": "energy_distance"}
    return base | {"method": "ndsm_cv", "baseline": "dsm", "n_train": 200} | change


def table_of(secondary, metrics, primary=None):
    return claims.evaluate(primary or {}, secondary, metrics, **FAST)


def test_table_has_the_columns_and_what_was_not_run(metrics):
    table = table_of([claim(n_train=[50, 2000])], metrics)
    assert list(table.columns) == [*claims.COLUMNS, "note"]
    assert list(table.id) == ["C1", "C1", *(f"C{k}" for k in range(2, 10))]
    assert list(table.verdict) == ["supported"] * 2 + ["not run"] * 8
    assert list(table.n_train[:2]) == [50, 2000]
    # From the definition, by pandas alone.
    wide = metrics[metrics.n_train == 50].groupby("method")["value"].mean()
    assert table.effect[0] == pytest.approx(1 - wide["ndsm_cv"] / wide["dsm"])


def test_one_comparison_decides_and_families_are_corrected_apart(metrics):
    rival = curve("dsm_mixture", 0.4, seed_noise=0.3).astype({"n_train": "Int64"})
    null = curve("ndsm_cv_untrained", 0.8).astype({"n_train": "Int64"})
    whole = pd.concat([metrics, rival, null])
    decides = {key: value for key, value in claim().items() if key != "id"}
    primary = {
        "C1": decides | {"rival": "dsm_mixture"},
        "C4": decides | {"baseline": "dsm_mixture"},
    }
    table = table_of([claim(n_train=[50, 200])], whole, primary)
    table = table[table.verdict != "not run"].reset_index(drop=True)
    # The primary one again, at 200, is left out.
    assert list(zip(table.id, table.role, table.baseline, table.n_train, strict=True)) == [
        ("C1", "primary", "dsm", 200),
        ("C1", "untrained", "ndsm_cv_untrained", 200),
        ("C1", "rival", "dsm_mixture", 200),
        ("C1", "secondary", "dsm", 50),
        ("C1", "secondary", "ndsm_cv_untrained", 50),
        ("C4", "primary", "dsm_mixture", 200),
        ("C4", "untrained", "ndsm_cv_untrained", 200),
    ]
    roles = ("primary", "untrained", "rival", "secondary")
    families = [table.role == role for role in roles]  # secondary ones are of C1 alone
    for rows in families:
        assert list(table.p_adjusted[rows]) == pytest.approx(list(holm(table.p_value[rows])))
    assert table.p_adjusted[5] == pytest.approx(table.p_value[5]) and table.p_value[5] > 0.05
    assert table.detectable.notna().tolist() == (table.role == "primary").tolist()


def test_the_same_numbers_again_are_no_further_evidence(metrics, capsys):
    twin = metrics[metrics.method == "ndsm_cv"].assign(method="ndsm_twin")
    table = table_of([claim(method=["ndsm_cv", "ndsm_twin"])], pd.concat([metrics, twin]))
    assert list(table[table.id == "C1"].method) == ["ndsm_cv"]
    assert "of ndsm_twin against dsm has the very numbers of another" in capsys.readouterr().out


def test_wrong_sign_is_caught(metrics):
    swapped = claim(method="dsm", baseline="ndsm_cv")
    assert table_of([swapped], metrics).verdict[0] == CONTRADICTED


def test_seeds_are_paired_by_their_number_not_by_their_row(metrics):
    shuffled = metrics.sample(frac=1, random_state=0)
    a, b = (table_of([claim()], m) for m in (metrics, shuffled))
    pd.testing.assert_frame_equal(a, b)


def test_data_saved(metrics):
    row = claim(id="C5", metric="points_saved:energy_distance")
    del row["n_train"]
    swapped = row | {"method": "dsm", "baseline": "ndsm_cv"}
    found = table_of([row, swapped], metrics).query("id == 'C5'").reset_index()
    # dsm is 1/n, ndsm_cv 0.4/n: it needs 500 points where ndsm_cv needs 200, so 60 % are saved.
    assert found.effect[0] == pytest.approx(0.6, abs=0.02) and found.verdict[0] == "supported"
    # The other way round two and a half times as many are needed.
    assert found.effect[1] == pytest.approx(-1.5, abs=0.05) and found.verdict[1] == "contradicted"
    below = metrics.assign(value=metrics.value - 0.0003)
    none = table_of([row], below).query("id == 'C5'").iloc[0]
    assert none.verdict == "inconclusive" and "not positive" in none.note


def test_a_trained_method_is_put_beside_its_own_untrained_model(metrics):
    """Once for each comparison, whatever the baselines; a threshold has no such row."""
    null = curve("ndsm_cv_untrained", 0.8).astype({"n_train": "Int64"})
    # Of dsm there is no untrained model here.
    pair = [claim(n_train=[50, 2000]), claim(baseline="ndsm_cv_untrained", method="dsm")]
    others = [
        claim(baseline="dsm", n_train=50),  # again
        claim(id="C5", metric="points_saved:energy_distance"),
        claim(id="C2", at_most=1.0),
    ]
    del others[-1]["baseline"]
    table = table_of(pair + others, pd.concat([metrics, null]))
    table = table[table.verdict != "not run"]
    sizes = table.n_train.fillna(0)
    rows = list(zip(table.id, table.method, table.baseline, sizes, strict=True))
    assert rows == [
        ("C1", "ndsm_cv", "dsm", 50),
        ("C1", "ndsm_cv", "ndsm_cv_untrained", 50),
        ("C1", "ndsm_cv", "dsm", 2000),
        ("C1", "ndsm_cv", "ndsm_cv_untrained", 2000),
        ("C1", "dsm", "ndsm_cv_untrained", 200),
        ("C2", "ndsm_cv", "at most 1.0", 200),
        ("C5", "ndsm_cv", "dsm", 0),
        ("C5", "ndsm_cv", "ndsm_cv_untrained", 0),
    ]
    wide = pd.concat([metrics, null]).query("n_train == 2000").groupby("method")["value"].mean()
    expected = 1 - wide["ndsm_cv"] / wide["ndsm_cv_untrained"]  # not against dsm
    assert table.effect[3] == pytest.approx(expected) and expected == pytest.approx(0.5, abs=0.05)


def test_the_untrained_model_is_that_of_the_methods_own_experiment(metrics):
    """Also where the baseline is elsewhere."""
    null = curve("ndsm_cv_untrained", 0.8).astype({"n_train": "Int64"})
    elsewhere = pd.concat([metrics, null]).assign(experiment="other")
    elsewhere["value"] *= 10
    found = pd.concat([metrics, null, elsewhere])
    table = table_of([claim(baseline_experiment="other")], found)
    assert list(table.baseline[:2]) == ["dsm in other", "ndsm_cv_untrained"]
    assert table.effect[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "C10"},
        {"method": "nosuch"},
        {"baseline": "nosuch"},
        {"metric": "fid"},
        {"n_train": 60},
        {"n_train": None},
    ],
)
def test_claims_on_what_is_not_there_are_refused(metrics, bad):
    with pytest.raises(store.Refused):
        table_of([claim(**bad)], metrics)


def test_missing_seed_is_refused(metrics):
    lacking = metrics[~((metrics.method == "dsm") & (metrics.seed == 3))]
    with pytest.raises(store.Refused, match="different seeds"):
        table_of([claim()], lacking)


def test_documents(metrics, tmp_path):
    store.write_table(tmp_path / "metrics.csv", metrics, {})
    spec = {
        "study": "smoke",
        "verdict": FAST,
        "primary": {"C1": {key: value for key, value in claim().items() if key != "id"}},
        "secondary": [claim(id="C5", method="dsm", baseline="ndsm_cv")],
    }
    claims.main(tables=tmp_path, out=tmp_path / "claims.csv", spec=spec)
    table = pd.read_csv(tmp_path / "claims.csv")
    assert list(table.columns) == claims.COLUMNS
    text = (tmp_path / "claims.md").read_text()
    assert "**supported**" in text and "**contradicted**" in text
    assert "--config study=smoke --forcerun claims" in text
    # As Snakemake renders it: Jinja2, then docutils, where nothing may be worth a warning.
    source = jinja2.Template((tmp_path / "report.rst").read_text()).render()
    complaints = io.StringIO()
    settings = {"warning_stream": complaints, "report_level": 1}
    page = publish_parts(source, writer="html", settings_overrides=settings)["body"]
    assert not complaints.getvalue()
    for word in ("<strong>supported</strong>", "<strong>contradicted</strong>", "ndsm_cv"):
        assert word in page
