"""The aggregate stage on the files of a small made-up study, against pandas and by hand."""

import re

import numpy as np
import pandas as pd
import pytest

from ndsm.artefacts import files
from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.report import job_results
from ndsm.report.summary import cell, markdown, summarise
from ndsm.stages import aggregate

SIZES, SEEDS = [50, 200], range(3)
PARTS = [[[50, 0], [50, 1], [50, 2], [200, 0]], [[200, 1], [200, 2]]]
METRICS = {"rings": ["energy_distance"], "digits": ["fid", "coverage"]}
FIT_SECONDS, TRAIN_SECONDS = 0.5, 8.0
SETTINGS = {"rate": 0.1}  # that reach every job
MADE = files.digest(SETTINGS)
SPEC = {
    "study": "made_up",
    "methods": {
        "gmm": {"objective": "none", "drift": "mixture"},
        "dsm": {"objective": "dsm", "drift": "ou"},
        "ndsm_cv": {"objective": "ndsm_cv", "drift": "gmm"},
    },
    "experiments": {
        e: {"dataset": {"name": e}, "methods": ["gmm", "dsm", "ndsm_cv"], "metrics": m, "parts": 2}
        | {"n_train": SIZES, "seeds": 3, "autoencoders": None, "latent": False}
        | {"made": dict.fromkeys(["gmm", "dsm", "ndsm_cv", "real"], MADE)}
        for e, m in METRICS.items()
    },
    "shared": {},
    "nulls": {},
    "frontiers": {},
    "gradients": {"rings": MADE},
    "forward": {"rings": MADE},
}
gathered = GatheredStudy.model_validate
COLUMNS = ["experiment", "method", "n_train", "seed", "metric", "value"]


def table(path, rows, columns=COLUMNS):
    told = {"spec": SETTINGS | {"replicas": [[50, 0]], "device": "cpu"}}
    files.write_table(path, pd.DataFrame(rows, columns=columns), told)


def tensors(path, replicas=None, measured=(), **arrays):
    spec = {"replicas": replicas, "sampling": {"samples": 300}}
    record = {"spec": spec, "measured": {"peak_memory_mb": 100.0} | dict(measured)}
    arrays = {k: np.asarray(v, dtype=np.float32) for k, v in arrays.items()}
    files.write_tensors(path, arrays, record)


def record(path, replicas, **measured):
    tensors(path, replicas, measured)


@pytest.fixture
def results(tmp_path):
    """What the stages before would have written; samples hold 1000 * n_train + seed."""
    rng = np.random.default_rng(0)
    for e, metrics in METRICS.items():
        tensors(tmp_path / f"data/{e}.safetensors", held_out=rng.normal(size=(300, 4)))
        for method, settings in SPEC["methods"].items():
            for p, replicas in enumerate(PARTS):
                name = f"{e}/{method}/{p}.safetensors"
                fit = tmp_path / f"drift/{e}/{settings['drift']}/{p}.safetensors"
                record(fit, replicas, fit_seconds=[FIT_SECONDS] * len(replicas), seconds=3.0)
                cost = dict.fromkeys(["parameters", "network_evaluations"], 1000)
                if method != "gmm":
                    record(tmp_path / "train" / name, replicas, seconds=TRAIN_SECONDS, **cost)
                x = np.stack([np.full((300, 4), 1000 * n + s) for n, s in replicas])
                drawn = {"seconds": 1.0, "network_evaluations": 19}
                drawn |= {"runaways": [1] * len(replicas)}
                tensors(tmp_path / "sample" / name, replicas, drawn, samples=x)
                rows = [
                    (e, method, n, s, m, rng.uniform(1, 2)) for n, s in replicas for m in metrics
                ]
                table(tmp_path / f"evaluate/{e}/{method}/{p}.csv", rows)
        floor = [(e, "real", None, s, m, 0.01 * s) for s in range(5) for m in metrics]
        table(tmp_path / f"evaluate/{e}/real/0.csv", floor)
    rows = [("rings", "ndsm_cv", 200, s, "gradient_bias", 0.01) for s in SEEDS]
    table(tmp_path / "gradients/rings.metrics.csv", rows)
    table(tmp_path / "gradients/rings.csv", [("dsm", 1.0)], ["objective", "h"])
    table(
        tmp_path / "forward/rings.csv", [("ou", "stationary", 0.0, 1.0)], "process t x0 x1".split()
    )
    return tmp_path


@pytest.fixture
def tables(results):
    aggregate.main(results=results, out=results / "tables", spec=SPEC)
    return results / "tables"


def read(path):
    return pd.read_csv(path, dtype={"n_train": "Int64"})


def test_metrics_are_complete_and_tidy(tables):
    metrics = read(tables / "metrics.csv")
    assert list(metrics.columns) == COLUMNS
    assert not metrics.duplicated(COLUMNS[:-1]).any()
    measured = metrics[metrics.metric.isin([*METRICS["rings"], *METRICS["digits"]])]
    # 3 metrics of 3 methods with 6 replicas, and 5 draws of the floor.
    assert len(measured) == 3 * (3 * 6 + 5)
    assert metrics.n_train.isna().equals(metrics.method == "real")
    assert (metrics.metric == "gradient_bias").sum() == 3


def test_drift_over_training_shares_a_stack_among_its_replicas(tables):
    share = read(tables / "metrics.csv").query("metric == 'drift_over_training'")
    assert set(share.method) == {"dsm", "ndsm_cv"}  # the mixture is not trained
    assert len(share) == 2 * 2 * 6
    first = share[share.n_train == 50].value
    second = share[(share.n_train == 200) & (share.seed > 0)].value
    # Stacks of four and of two replicas; the planted mistake would be the whole stack's seconds.
    np.testing.assert_allclose(first, FIT_SECONDS / (TRAIN_SECONDS / 4))
    np.testing.assert_allclose(second, FIT_SECONDS / (TRAIN_SECONDS / 2))


def test_errors_of_the_scores_are_read_of_every_part(results):
    for p, replicas in enumerate(PARTS):
        rows = [("drawn_as", "dsm", *replica, "score_error", 0.1) for replica in replicas]
        table(results / f"score/rings/dsm/{p}.csv", rows)
    spec = SPEC | {"score": {"experiment": "rings", "methods": {"dsm": MADE}}}
    errors = job_results.collect_metrics(Inputs(), results, gathered(spec)).query(
        "metric == 'score_error'"
    )
    assert list(zip(errors.n_train, errors.seed, strict=True)) == [tuple(r) for r in sum(PARTS, [])]
    assert set(errors.experiment) == {"rings"}


@pytest.mark.parametrize("sees", ["all", "subset"])
def test_reconstruction_is_that_of_each_replica_or_of_all(tmp_path, sees):
    names = ["all"] if sees == "all" else [f"{n}-{s}" for n in SIZES for s in SEEDS]
    for value, name in enumerate(names):
        errors = {"rmse_held_out": value, "rmse_seen": -value}
        record(tmp_path / f"latent/digits/{name}.safetensors", [], **errors)
    experiments = {"digits": SPEC["experiments"]["digits"] | {"autoencoders": sees}}
    study = gathered(SPEC | {"experiments": experiments})
    rows = job_results._reconstruction(Inputs(), tmp_path, "digits", study)
    seeds = SEEDS if sees == "subset" else [0]  # one for all is told once for each size
    assert [row[2:4] for row in rows[::2]] == [(n, s) for n in SIZES for s in seeds]
    held_out = [0, 0] if sees == "all" else list(range(6))
    assert [row[4:] for row in rows[::2]] == [("rmse_held_out", value) for value in held_out]


def test_summary_against_pandas(tables):
    metrics, summary = read(tables / "metrics.csv"), read(tables / "summary.csv")
    keys = ["experiment", "metric", "n_train", "method"]
    expected = metrics.groupby(keys, dropna=False)["value"].agg(["mean", "std", "count"])
    for row in summary.itertuples():
        rows = expected.xs((row.experiment, row.metric, row.method), level=[0, 1, 3])
        want = rows[rows.index.isna() if row.method == "real" else rows.index == row.n_train]
        assert tuple(want.iloc[0]) == pytest.approx((row.mean, row.std, row.seeds))
    assert list(summary.experiment.unique()) == list(METRICS)
    assert set(summary.metric) == {"energy_distance", "fid", "coverage"}


def test_best_follows_the_metric_and_leaves_out_the_floor(tables):
    summary = read(tables / "summary.csv")
    for (_, metric, _), block in summary.dropna(subset="n_train").groupby(
        ["experiment", "metric", "n_train"]
    ):
        pick = "idxmax" if metric == "coverage" else "idxmin"
        assert list(block.index[block.best]) == [getattr(block["mean"], pick)()]
    assert not summary.best[summary.method == "real"].any()  # though its values are the lowest


def test_a_diagnostic_metric_has_no_best():
    values = [["rings", "dsm", 50, 0, metric, 0.5] for metric in ("fid", "nearest_ratio")]
    columns = ["experiment", "method", "n_train", "seed", "metric", "value"]
    rings = SPEC["experiments"]["rings"] | {"metrics": ["fid", "nearest_ratio"]}
    study = gathered(SPEC | {"experiments": {"rings": rings}})
    summary = summarise(pd.DataFrame(values, columns=columns), study)
    assert list(summary.best) == [True, False]
    assert "| nearest_ratio (1 is right) |" in markdown(summary, "tiny", {})


def test_bold_in_markdown_and_tex_is_the_best(tables):
    summary, markdown = read(tables / "summary.csv"), (tables / "summary.md").read_text()
    tex = (tables / "summary.tex").read_text()
    assert len(re.findall(r"\*\*[^*]+\*\*", markdown)) == summary.best.sum() == 6
    assert len(re.findall(r"\\textbf", tex)) == 6
    best = summary[summary.best & (summary.metric == "fid") & (summary.n_train == 50)].iloc[0]
    row = next(
        r for r in markdown.split("## digits")[1].split("\n") if r.startswith(f"| {best.method}")
    )
    assert row.split("|")[2].strip() == f"**{cell(best['mean'], best['std'])}**"


def test_tex_is_well_formed(tables):
    tex = (tables / "summary.tex").read_text()
    for pair in ("table", "tabular"):
        assert tex.count(rf"\begin{{{pair}}}") == tex.count(rf"\end{{{pair}}}") == 2
    assert tex.count("{") == tex.count("}") and tex.count("$") % 2 == 0
    assert not re.search(r"(?<!\\)[_#%](?! needs)", tex) and tex.isascii()
    for line in tex.split("\n"):
        if "&" in line:  # three columns, as the tabular declares
            assert line.count("&") == 2 and line.endswith(r"\\")


def test_cells_show_two_figures_of_the_deviation():
    assert cell(12.3456, 0.789) == "12.35 ± 0.79"
    assert cell(0.00123, 0.000456, scale=1e3) == "1.23 ± 0.46"
    assert cell(123.4, 56.7) == "123 ± 57"
    assert cell(9.996, 0.0996) == "10.00 ± 0.10"
    assert cell(1.2345, float("nan")) == "1.23"


def test_cost(tables):
    cost = read(tables / "cost.csv").set_index(["experiment", "method"])
    trained, mixture = cost.loc[("rings", "ndsm_cv")], cost.loc[("rings", "gmm")]
    assert (
        trained.drift_seconds == 6 * FIT_SECONDS and trained.training_seconds == 2 * TRAIN_SECONDS
    )
    assert (trained.sampling_seconds, trained.replicas, trained.parameters) == (2.0, 6, 1000)
    assert (trained.training_evaluations, trained.sampling_evaluations) == (1000, 19)
    assert mixture.training_seconds == mixture.parameters == mixture.training_evaluations == 0
    assert trained.runaways == 6


def test_what_a_method_knows_is_fitted_at_its_cost(results):
    """The fits of ``ou`` and of ``mixture`` take half a second each, for each replica."""
    own = SPEC["methods"]["dsm"] | {"known": "mixture"}
    spec = SPEC | {"methods": SPEC["methods"] | {"dsm": own}}
    cost = job_results.collect_cost(Inputs(), results, gathered(spec)).set_index(
        ["experiment", "method"]
    )
    assert cost.drift_seconds["rings", "dsm"] == 6 * 2 * FIT_SECONDS
    assert cost.drift_seconds["rings", "ndsm_cv"] == 6 * FIT_SECONDS
    share = job_results.collect_metrics(Inputs(), results, gathered(spec)).query(
        "metric == 'drift_over_training'"
    )
    ratio = share[(share.method == "dsm") & (share.n_train == 50)].value
    np.testing.assert_allclose(ratio, 2 * FIT_SECONDS / (TRAIN_SECONDS / 4))


def test_untrained_models_that_are_one_have_rows_each_and_no_cost(results):
    for p, replicas in enumerate(PARTS):
        rows = [("e", "m", n, s, "energy_distance", n + s) for n, s in replicas]
        table(results / f"evaluate/rings/dsm_untrained/{p}.csv", rows)
    own = SPEC["methods"]["dsm"] | {"untrained": True}
    nulls = dict.fromkeys(("dsm_untrained", "b_untrained"), own)
    rings = SPEC["experiments"]["rings"]
    made = rings["made"] | dict.fromkeys(nulls, MADE)
    rings = rings | {"methods": [*rings["methods"], *nulls], "made": made}
    spec = SPEC | {"methods": SPEC["methods"] | nulls, "experiments": {"rings": rings}}
    spec |= {"nulls": {"rings": {"b_untrained": "dsm_untrained"}}}
    metrics = job_results.collect_metrics(Inputs(), results, gathered(spec))
    for name in nulls:
        own = metrics[(metrics.method == name) & (metrics.experiment == "rings")]
        assert list(own.value) == list(own.n_train + own.seed) and len(own) == 6
        assert set(own.metric) == {"energy_distance"}  # no share of a training that there is not
    assert set(job_results.collect_cost(Inputs(), results, gathered(spec)).method) == {
        "gmm",
        "dsm",
        "ndsm_cv",
    }


def test_samples_are_those_of_the_first_seed(tables):
    vectors, images = (read(tables / f"samples/{e}.csv") for e in METRICS)
    assert (vectors.method == "data").sum() == 300 and (images.method == "data").sum() == 100
    drawn = vectors[vectors.method == "ndsm_cv"]
    assert set(drawn.n_train) == {50, 200} and set(drawn.seed) == {0}
    assert (drawn.x3 == 1000 * drawn.n_train).all()


def test_side_tables_and_records(tables):
    assert list(read(tables / "forward.csv").columns) == "experiment process t x0 x1".split()
    assert read(tables / "gradients.csv").experiment[0] == "rings"
    for path in tables.rglob("*.csv"):
        assert Inputs().record(path)["spec"] == SPEC


@pytest.mark.parametrize("value", ["", "inf", "again"])
def test_values_that_are_missing_infinite_or_double_are_refused(results, value):
    row = "rings,dsm,50,0,energy_distance," + ("1.0" if value == "again" else value)
    with open(results / "evaluate/rings/dsm/1.csv", "a") as file:
        file.write(row + "\n")
    with pytest.raises(Refused, match="dsm"):
        job_results.collect_metrics(Inputs(), results, gathered(SPEC))


def test_a_metric_that_no_job_measured_is_refused(results):
    experiments = {"rings": SPEC["experiments"]["rings"] | {"metrics": ["energy_distance", "fid"]}}
    with pytest.raises(Refused, match=r"^fid of rings, dsm, .*\(and 17 more\) is missing"):
        job_results.collect_metrics(
            Inputs(), results, gathered(SPEC | {"experiments": experiments})
        )


def test_results_of_other_settings_are_refused(results):
    """As where the settings changed, and Snakemake was told to go by times alone."""
    rings = SPEC["experiments"]["rings"]
    made = rings["made"] | {"dsm": files.digest({"rate": 0.2})}
    study = SPEC | {"experiments": {"rings": rings | {"made": made}}}
    with pytest.raises(Refused, match=r"rings/dsm/0.csv.*other settings than the study has"):
        job_results.collect_metrics(Inputs(), results, gathered(study))
    with pytest.raises(Refused, match="rings.metrics.csv.*other settings"):
        job_results.collect_metrics(
            Inputs(), results, gathered(SPEC | {"gradients": {"rings": "other"}})
        )
    rows = [("rings", "dsm", *PARTS[0][0], "score_error", 0.1)]
    table(results / "score/rings/dsm/0.csv", rows)
    score = {"experiment": "rings", "methods": {"dsm": "other"}}
    with pytest.raises(Refused, match="score/rings/dsm/0.csv.*other settings"):
        job_results.collect_metrics(Inputs(), results, gathered(SPEC | {"score": score}))


def test_a_training_that_the_study_no_longer_has_is_not_read(results):
    """A method that had a network has none now: what lies there of old is no cost of it."""
    own = SPEC["methods"]["dsm"] | {"objective": "none"}
    study = SPEC | {"methods": SPEC["methods"] | {"dsm": own}}
    cost = job_results.collect_cost(Inputs(), results, gathered(study)).set_index(
        ["experiment", "method"]
    )
    assert cost.training_seconds["rings", "dsm"] == cost.parameters["rings", "dsm"] == 0
    metrics = job_results.collect_metrics(Inputs(), results, gathered(study))
    assert set(metrics[metrics.metric == "drift_over_training"].method) == {"ndsm_cv"}
