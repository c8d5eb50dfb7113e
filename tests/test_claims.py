"""Verdicts, learning curves and the claims table: numbers, error rates, planted mistakes."""

import io
import warnings

import jinja2
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts
from scipy import stats

from ndsm import claims, documents, store
from ndsm.verdict import CONTRADICTED, INCONCLUSIVE, SUPPORTED, compare, size_to_match

FAST = {"level": 0.05, "resamples": 999}


def pairs(gain, seeds=5, noise=0.02, spread=0.3, seed=0):
    """Baseline and method over seeds: a large common part, a small private one, a relative gain."""
    rng = np.random.default_rng(seed)
    common = 1 + spread * rng.standard_normal(seeds)
    baseline = common + noise * rng.standard_normal(seeds)
    return baseline, common - gain + noise * rng.standard_normal(seeds)


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.2, SUPPORTED), (-0.2, CONTRADICTED), (0.002, INCONCLUSIVE)]
)
def test_each_verdict_is_reached(gain, verdict):
    baseline, method = pairs(gain)
    found = compare(baseline, method, **FAST)
    assert found.verdict == verdict
    assert found.effect == pytest.approx((baseline.mean() - method.mean()) / baseline.mean())
    assert found.ci_low <= found.effect <= found.ci_high
    assert found.p_value == pytest.approx(stats.ttest_rel(baseline, method).pvalue)


def test_direction_of_the_metric():
    baseline, method = pairs(0.2)
    assert compare(baseline, method, maximise=True, **FAST).verdict == CONTRADICTED
    assert compare(method, baseline, maximise=True, **FAST).verdict == SUPPORTED


def test_unpaired_test_would_miss_the_effect():
    # The planted mistake: the seeds' common part is most of the spread, and an unpaired test, or
    # one with the pairs shuffled, does not see the effect that the paired one does.
    baseline, method = pairs(0.1)
    assert compare(baseline, method, **FAST).verdict == SUPPORTED
    assert stats.ttest_ind(baseline, method).pvalue > 0.05
    assert compare(baseline, np.roll(method, 1), **FAST).verdict == INCONCLUSIVE


def test_error_rate_without_effect():
    # 400 studies of 5 seeds without any effect: at level 0.05 more than 34 false verdicts have
    # probability below 0.1 % (binomial), and fewer than 4 as well: the test is not vacuous.
    low, high = stats.binom.ppf([1e-3, 1 - 1e-3], 400, 0.05)
    verdicts = [compare(*pairs(0.0, seed=k), **FAST).verdict for k in range(400)]
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
    ("baseline", "method", "verdict", "effect"),
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
def test_degenerate_values_give_a_verdict_without_warnings(baseline, method, verdict, effect):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(baseline, method, **FAST)
    assert found.verdict == verdict
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
    assert compare(0.1, shares, **FAST).verdict == SUPPORTED
    assert compare(0.01, shares, **FAST).verdict == CONTRADICTED
    assert compare(0.1, shares, **FAST).effect == pytest.approx((0.1 - shares.mean()) / 0.1)


def test_a_difference_does_not_depend_on_where_zero_is():
    """As the effect on ``nll`` must not: other units of the data add a constant."""
    baseline, method = np.array([1.2, 1.4, 1.1, 1.3]), np.array([1.0, 1.3, 1.0, 1.1])
    plain, moved = (
        compare(baseline + shift, method + shift, relative=False, **FAST) for shift in (0, -5)
    )
    assert plain.effect == pytest.approx(0.15) == moved.effect
    assert plain.ci_low == pytest.approx(moved.ci_low) and plain.verdict == SUPPORTED
    assert compare(baseline - 5, method - 5, **FAST).effect != pytest.approx(0.15)


# Size to match ---------------------------------------------------------------------------------

SIZES = np.array([50, 200, 1000, 2000])


def test_size_to_match_inverts_a_power_law():
    for n in (50, 80, 500, 1999):
        assert size_to_match(SIZES, 3.0 * SIZES**-0.7, 3.0 * n**-0.7).size == pytest.approx(n)
        up = size_to_match(SIZES, 3.0 * SIZES**0.1, 3.0 * n**0.1, maximise=True)
        assert up.size == pytest.approx(n) and not up.censored


def test_size_to_match_by_hand():
    # First crossing of a curve that goes up again; the order of the sizes is of no matter.
    bumpy = np.array([1.0, 0.1, 0.5, 0.05])
    assert size_to_match(SIZES, bumpy, 0.1).size == 200
    assert size_to_match(SIZES[::-1], bumpy[::-1], 0.3).size < 200
    # A value of zero or less has no logarithm: linear in the value, halfway is the geometric mean.
    assert size_to_match([100, 400], [0.1, -0.1], 0.0).size == pytest.approx(200)
    # Censored.
    above, below = size_to_match(SIZES, bumpy, 0.01), size_to_match(SIZES, bumpy, 2.0)
    assert (above.size, above.censored) == (2000, "above")
    assert (below.size, below.censored) == (50, "below")


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


def test_table_has_the_columns_and_what_was_not_run(metrics):
    table = claims.evaluate([claim(n_train=[50, 2000])], metrics, **FAST)
    assert list(table.columns) == [*claims.COLUMNS, "note"]
    assert list(table.id) == ["C1", "C1", *(f"C{k}" for k in range(2, 10))]
    assert list(table.verdict) == ["supported"] * 2 + ["not run"] * 8
    assert list(table.n_train[:2]) == [50, 2000]
    # From the definition, by pandas alone.
    wide = metrics[metrics.n_train == 50].groupby("method")["value"].mean()
    assert table.effect[0] == pytest.approx(1 - wide["ndsm_cv"] / wide["dsm"])


def test_wrong_sign_is_caught(metrics):
    swapped = claim(method="dsm", baseline="ndsm_cv")
    assert claims.evaluate([swapped], metrics, **FAST).verdict[0] == CONTRADICTED


def test_seeds_are_paired_by_their_number_not_by_their_row(metrics):
    shuffled = metrics.sample(frac=1, random_state=0)
    a, b = (claims.evaluate([claim()], m, **FAST) for m in (metrics, shuffled))
    pd.testing.assert_frame_equal(a, b)


def test_data_saved(metrics):
    row = claim(id="C5", metric="size_to_match:energy_distance")
    table = claims.evaluate([row, row | {"n_train": 2000}], metrics, **FAST)
    found = table[table.id == "C5"].reset_index()
    # dsm is 1/n, ndsm_cv 0.4/n: it needs 500 points where ndsm_cv needs 200, so 60 % are saved.
    assert found.effect[0] == pytest.approx(0.6, abs=0.02) and found.verdict[0] == "supported"
    # With 2,000 points dsm never gets there: no saving can be shown, and the note says so.
    assert found.effect[1] == 0 and "5 of 5 seeds" in found.note[1]


def test_a_trained_method_is_put_beside_its_own_untrained_model(metrics):
    """Once for each comparison, whatever the baselines; a threshold or a saving has no such row."""
    null = curve("ndsm_cv_untrained", 0.8).astype({"n_train": "Int64"})
    # Of dsm there is no untrained model here.
    pair = [claim(n_train=[50, 2000]), claim(baseline="ndsm_cv_untrained", method="dsm")]
    others = [
        claim(baseline="dsm", n_train=50),  # again
        claim(id="C5", metric="size_to_match:energy_distance"),
        claim(id="C2", at_most=1.0),
    ]
    del others[-1]["baseline"]
    table = claims.evaluate(pair + others, pd.concat([metrics, null]), **FAST)
    table = table[table.verdict != "not run"]
    rows = list(zip(table.id, table.method, table.baseline, table.n_train, strict=True))
    assert rows == [
        ("C1", "ndsm_cv", "dsm", 50),
        ("C1", "ndsm_cv", "ndsm_cv_untrained", 50),
        ("C1", "ndsm_cv", "dsm", 2000),
        ("C1", "ndsm_cv", "ndsm_cv_untrained", 2000),
        ("C1", "dsm", "ndsm_cv_untrained", 200),
        ("C1", "ndsm_cv", "dsm", 50),
        ("C2", "ndsm_cv", "at most 1.0", 200),
        ("C5", "ndsm_cv", "dsm", 200),
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
    table = claims.evaluate([claim(baseline_experiment="other")], found, **FAST)
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
        claims.evaluate([claim(**bad)], metrics, **FAST)


def test_missing_seed_is_refused(metrics):
    lacking = metrics[~((metrics.method == "dsm") & (metrics.seed == 3))]
    with pytest.raises(store.Refused, match="different seeds"):
        claims.evaluate([claim()], lacking, **FAST)


def test_documents(metrics, tmp_path):
    store.write_table(tmp_path / "metrics.csv", metrics, {})
    spec = {
        "study": "smoke",
        "verdict": FAST,
        "claims": [claim(), claim(id="C5", method="dsm", baseline="ndsm_cv")],
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


def test_holm_keeps_what_survives_all_comparisons():
    run = pd.DataFrame({"p_value": [0.001, 0.03, 0.04, np.nan], "verdict": [SUPPORTED] * 3 + [""]})
    assert documents._holm(run, 0.05) == 1
