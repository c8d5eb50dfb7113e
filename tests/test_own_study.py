"""A study of a table of the user's own: its settings, its answers, and the whole of it, tiny."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from changed import refusal
from conftest import ROOT, copy_tree, snakemake
from ndsm.report import own_answers, own_page, row_gaps
from ndsm.report.own_numbers import GAUSSIAN, Study
from ndsm.report.verdict import holm
from ndsm.stages import verdict
from ndsm.study import configuration, job_settings, own_study, plan

TEMPLATE = ROOT / "workflow" / "studies" / "own.yaml"


def table(folder: Path, rows: int, columns: int, name: str = "my.csv") -> str:
    """The path of a table of noise."""
    x = np.random.default_rng(0).standard_normal((rows, columns)).round(4)
    frame = pd.DataFrame(x, columns=[f"c{k}" for k in range(columns)])
    frame.assign(kind=np.arange(rows) % 2).to_csv(folder / name, index=False)
    return str(folder / name)


def resolved(folder: Path, rows: int = 120, columns: int = 3, **more: Any) -> dict[str, Any]:
    """The settings of the study of such a table, with its label."""
    raw = yaml.safe_load(TEMPLATE.read_text())
    return configuration.resolve(
        raw | {"data": table(folder, rows, columns), "label": "kind"} | more
    )


def test_the_template_is_short_and_names_no_choice() -> None:
    assert len(TEMPLATE.read_text().splitlines()) <= 15
    assert yaml.safe_load(TEMPLATE.read_text()) == {"study": "own", "data": "my.csv"}


@pytest.mark.parametrize(
    ("pool", "sizes"),
    [(35, [32]), (124, [41, 112]), (398, [44, 133, 358]), (70_000, [1235, 3704, 10_000])],
)
def test_sizes_leave_rows_to_choose_from(pool: int, sizes: list[int]) -> None:
    assert own_study.sizes_of(pool) == sizes


def test_settings_follow_rows_and_columns(tmp_path: Path) -> None:
    few, many = resolved(tmp_path, 60, 3), resolved(tmp_path, 3000, 20)
    small, large = (study["experiments"]["table"] for study in (few, many))
    assert small["n_train"] == [38] and large["n_train"] == [233, 700, 1890]
    assert small["network"]["width"] == 64 and large["network"]["width"] == 128
    assert large["training"]["evaluations"] > small["training"]["evaluations"]
    default = yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"]
    assert small["tuned"]["ndsm_cv"] == default["breast_cancer"]["tuned"]["ndsm_cv"]
    assert large["tuned"]["ndsm_cv"] == default["clusters16"]["tuned"]["ndsm_cv"]
    assert small["drifts"]["mixture"]["covariance"] == "full"
    wide = resolved(tmp_path, 60, 10)["experiments"]["table"]
    assert wide["drifts"]["mixture"]["covariance"] == "diag"
    assert few["seeds"] == 5 and list(few["primary"]) == list(few["claims"]) == ["D1", "D2", "D3"]
    assert [few["primary"][k]["baseline"] for k in few["primary"]] == ["dsm", "gmm", "dsm_mixture"]
    assert {claim["metric"] for claim in few["primary"].values()} == {"nll"}
    assert "mode_tv" in small["metrics"]
    plain = configuration.resolve({"study": "own", "data": table(tmp_path, 60, 3)})
    assert "mode_tv" not in plain["experiments"]["table"]["metrics"]
    said = " ".join(own_study.choices(few))
    assert "60 rows, 3 columns; 42 rows to train on, 18 held out" in said


def test_what_the_owner_says_is_laid_on_the_choices(tmp_path: Path) -> None:
    own = {"seeds": 7, "experiments": {"table": {"training": {"evaluations": 9}}}}
    study = resolved(tmp_path, **own)
    assert study["seeds"] == 7 and study["experiments"]["table"]["training"]["evaluations"] == 9
    assert study["experiments"]["table"]["training"]["batch"] == 128
    given = job_settings.spec(study, "verdict")
    assert given["seeds"] == 7 and given["columns"] == ["c0", "c1", "c2"]
    assert len(plan.jobs(study, "train")) == 4


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    path = table(tmp_path, 120, 3)
    raw = {"study": "own", "data": path}
    assert refusal(raw | {"data": "none.csv"})[0].startswith("error: data: none.csv: is not there")
    assert "did you mean 'kind'?" in refusal(raw | {"label": "kid"})[0]
    assert refusal(raw | {"data": 2024})[0].startswith("error: data: 2024 is of the wrong type")
    assert "allowed: study=own" in refusal(raw | {"experiments": {"a": {}}})[0]
    line = "error: claim: 'C1' is unknown; allowed: D1, D2, D3 (did you mean 'D1'?)"
    assert refusal(raw | {"claim": "C1"}) == [line]
    braces = table(tmp_path, 120, 3, "{my}.csv")
    assert re.search(
        "has { }, which Snakemake .* rename the file", refusal(raw | {"data": braces})[0]
    )
    smoke = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    smoke["experiments"]["clusters16"]["dataset"] = {"name": "table"}
    line = "error: experiments.clusters16.dataset.path: is missing; required beside it: name"
    assert line in refusal(smoke)
    smoke["experiments"]["clusters16"]["dataset"]["path"] = "none.csv"
    assert "experiments.clusters16.dataset: none.csv: is not there" in refusal(smoke)[0]


def gains(mean: float, seeds: int = 5, rows: int = 60, spread: float = 1.0) -> np.ndarray:
    """Log-densities of another model that differ by this on average, row by row."""
    return mean + spread * np.random.default_rng(1).standard_normal((1, rows)).repeat(seeds, 0)


def test_two_models_that_are_one_do_not_differ() -> None:
    x = np.random.default_rng(0).standard_normal((5, 60))
    found = row_gaps.gap(x, x, 0.05)
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert row_gaps.verdict_of(found, 0.0, 0.05) == 0


def test_a_gain_that_is_of_the_held_out_rows_alone_is_none() -> None:
    """All seeds agree, since all are asked about the same rows."""
    x = np.random.default_rng(0).standard_normal((5, 60))
    lucky = x + gains(0.05) + 1e-3 * np.random.default_rng(2).standard_normal(x.shape)
    found = row_gaps.gap(lucky, x, 0.05)
    assert found.p_value < 1e-3 and found.low < 0 < found.high
    assert row_gaps.verdict_of(found, found.p_value, 0.05) == 0
    clear = row_gaps.gap(x + gains(1.0), x, 0.05)
    assert clear.low == pytest.approx(1, abs=0.5) and clear.low > 0
    assert row_gaps.verdict_of(clear, 0.001, 0.05) == 1
    assert row_gaps.verdict_of(row_gaps.gap(x, x + gains(1.0), 0.05), 0.001, 0.05) == -1
    assert row_gaps.verdict_of(clear, 0.2, 0.05) == 0


def study_of(levels: dict[str, float], noise: float = 0.02) -> Study:
    """A study whose methods have these mean log-densities on 400 rows, and one Gaussian zero."""
    rng = np.random.default_rng(0)
    base, sizes = rng.standard_normal((1, 400)), [50, 100]
    log_prob, rows = dict[tuple[str, int], np.ndarray](), []
    for method, level in (levels | {GAUSSIAN: 0.0}).items():
        for n in sizes:
            x = base + level + noise * rng.standard_normal((5, 400)) - (n == 50)
            log_prob[method, n] = x
            for name in (method, f"{method}_untrained"):
                rows += [("table", name, n, s, "nll", -v) for s, v in enumerate(x.mean(1))]
                rows += [("table", name, n, s, "energy_distance", 0.01) for s in range(5)]
    rows += [("table", "real", 0, s, "energy_distance", 0.001) for s in range(5)]
    metrics = pd.DataFrame(rows, columns="experiment method n_train seed metric value".split())
    baselines = {"D1": "dsm", "D2": "gmm", "D3": "dsm_mixture"}
    found = {
        k: row_gaps.gap(log_prob["ndsm_cv", 100], log_prob[b, 100], 0.05)
        for k, b in baselines.items()
    }
    adjusted = holm(pd.Series({k: gap.p_value for k, gap in found.items()}))
    claims = pd.DataFrame(
        [(k, "primary", "ndsm_cv", b, adjusted[k]) for k, b in baselines.items()],
        columns="id role method baseline p_adjusted".split(),
    )
    cost = pd.DataFrame(
        {"replicas": [10], "drift_seconds": 1.0, "training_seconds": 2.0, "sampling_seconds": 3.0}
    )
    components = {(d, n): [2] * 5 for d in ("gmm", "mixture") for n in sizes}
    return Study(sizes, list(levels), log_prob, metrics, claims, cost, components, [], 0.05, 3)


def told(study: Study) -> list[str]:
    """The answers to the first four questions."""
    return [answer for _, answer in own_answers.answers(study)][:4]


def test_clear_differences_are_said() -> None:
    levels = {"gmm": 0.5, "dsm": 0.5, "dsm_mixture": 2.0, "ndsm_cv": 1.0}
    first, second, third, best = told(study_of(levels))
    assert first.startswith("**Yes.**") and second.startswith("**Yes.**")
    assert third.startswith("**No, it is worse.**") and "gains -1 (" in third
    assert "The best, `dsm_mixture`, differs from `ndsm_cv`, `gmm`, `dsm`." in re.sub(
        "`dsm`, `gmm`", "`gmm`, `dsm`", best
    )
    headline = own_answers.headline(study_of(levels))
    assert "`dsm_mixture` (linear noise, the mixture known to the network), differs" in headline
    assert "structure **helps**" in headline and "nonlinear noise **hurts**" in headline


def test_methods_that_no_better_than_one_gaussian_do_not_differ() -> None:
    """Though the seeds agree on what each loses by fitting noise."""
    levels = {"gmm": -0.02, "dsm": -0.09, "dsm_mixture": -0.07, "ndsm_cv": -0.04}
    study = study_of(levels)
    assert study.gap("ndsm_cv", "dsm").low > 0  # which would have been said
    assert all(answer.startswith("**No difference was found.**") for answer in told(study)[:3])
    assert "**No difference was found** between the best, `gmm`, and any other" in told(study)[3]
    headline = own_answers.headline(study)
    assert headline.startswith("**No difference was found**")
    assert "Even the best could not be shown to be better than one Gaussian" in headline
    harmful = study_of(levels | {"ndsm_cv": -2.0})
    assert told(harmful)[1].startswith("**No, it is worse.**")
    less_harmful = study_of({"gmm": -3.0, "dsm": -3.0, "dsm_mixture": -3.0, "ndsm_cv": -1.0})
    assert told(less_harmful)[0].startswith("**No difference was found.** The two differ, but")


def test_methods_with_the_same_numbers_do_not_differ() -> None:
    study = study_of({"gmm": 1.0, "dsm": 1.0, "dsm_mixture": 1.0, "ndsm_cv": 1.0})
    same = {key: study.log_prob["dsm", key[1]] for key in study.log_prob if key[0] != GAUSSIAN}
    study = dataclasses.replace(study, log_prob=study.log_prob | same)
    assert all(answer.startswith("**No difference was found.**") for answer in told(study)[:3])
    assert "**No difference was found** between the best" in told(study)[3]


def test_rows_that_no_seed_was_asked_about_do_not_count() -> None:
    study = study_of({"gmm": 0.5, "dsm": 0.5, "dsm_mixture": 0.5, "ndsm_cv": 1.5})
    asked = {key: np.where(np.arange(400) < 100, x, np.nan) for key, x in study.log_prob.items()}
    assert "is likelier in 100% of 400 held-out rows" in told(study)[0]
    few = dataclasses.replace(study, log_prob=asked)
    assert "is likelier in 100% of 100 held-out rows" in told(few)[0]
    assert told(few)[0].startswith("**Yes.**")


def test_enough_rows_are_those_from_which_nothing_is_gained() -> None:
    study = study_of({"gmm": 0.5, "dsm": 0.5, "dsm_mixture": 0.5, "ndsm_cv": 1.0})
    said = dict(own_answers.answers(study))["How many rows would be enough?"]
    assert "More than you have: from the last size but one to the last it still gained +" in said
    flat = {key: study.log_prob[key[0], 100] for key in study.log_prob}
    said = dict(own_answers.answers(dataclasses.replace(study, log_prob=flat)))
    assert "From about 50 rows on no further gain" in said["How many rows would be enough?"]


TINY = """
seeds: 3
verdict: {resamples: 99}
secondary: []
experiments:
  table:
    methods: [gmm, dsm, dsm_mixture, ndsm_cv]
    network: {width: 8, depth: 2}
    training: {evaluations: 30}
    process: {steps: 20}
    sampling: {samples: 60, steps: 8}
    drifts: {gmm: {n_components: 1}, mixture: {n_components: 1}}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in which a tiny study of a table of noise, with a name of two words, has run."""
    tree = copy_tree(tmp_path_factory.mktemp("own") / "tree")
    (tree / "workflow" / "studies" / "own.yaml").write_text(TEMPLATE.read_text() + TINY)
    table(tree, 90, 2, "it's my table.csv")
    snakemake(
        tree, "--cores", "all", "--config", "study=own", "data=it's my table.csv", "label=kind"
    )
    return tree


def test_a_table_of_noise_has_no_difference(ran: Path) -> None:
    text = (ran / "results" / "own" / "verdict.md").read_text()
    assert text.splitlines()[2].startswith("**No difference was found** in any of the three")
    assert text.count("**No difference was found.**") == 3


def test_sentences_have_the_numbers_of_the_tables(ran: Path) -> None:
    results = ran / "results" / "own"
    text = (results / "verdict.md").read_text()
    claims = pd.read_csv(results / "claims.csv").query("role == 'primary'").set_index("id")
    assert (
        list(claims.index) == ["D1", "D2", "D3"] and "C1" not in (results / "claims.md").read_text()
    )
    means = pd.read_csv(results / "tables" / "summary.csv").query("metric == 'nll'")
    means = means[means.n_train == means.n_train.max()].set_index("method")["mean"]
    for id_, question in own_answers.QUESTIONS.items():
        answer = text.partition(f"## {question}\n\n")[2].partition("\n")[0]
        gain, ours, theirs = re.findall(
            r"gains (\S+) \(.*Mean −log p: (\S+) against (\S+)\. Before", answer
        )[0]
        row = claims.loc[id_]
        assert float(gain) == pytest.approx(row.effect, rel=1e-2, abs=1e-4)
        assert float(ours) == pytest.approx(means[row.method], abs=0.006)
        assert float(theirs) == pytest.approx(means[row.baseline], abs=0.006)
    for part in ("figures/pairs.png", "pages/verdict.html"):
        assert (results / part).stat().st_size > 1000
    assert "What was chosen, and why" in (results / "pages" / "verdict.html").read_text()
    assert "asks this of a table" in (results / "report.rst").read_text()


def test_the_command_under_the_table_runs_again(ran: Path) -> None:
    claims = ran / "results" / "own" / "claims.csv"
    command = re.findall("^    (snakemake .*)$", claims.with_suffix(".md").read_text(), re.M)[0]
    before = claims.read_bytes()
    said = snakemake(ran, *shlex.split(command)[1:]).stdout
    assert claims.read_bytes() == before and re.search(r"^claims +1$", said, re.M)
    assert not re.search(r"^(train|data) +1$", said, re.M)


def test_a_table_that_changed_is_studied_again(ran: Path) -> None:
    options = ("--config", "study=own", "data=it's my table.csv", "label=kind")
    assert "Nothing to be done" in snakemake(ran, "--dry-run", *options).stdout
    table(ran, 80, 2, "it's my table.csv")
    said = snakemake(ran, "--dry-run", *options).stdout
    assert re.search(r"^data +1$", said, re.M) and re.search(r"^train +3$", said, re.M)


def test_a_file_of_your_own_names_its_table(tree: Path) -> None:
    """No other study is merged with it; the choices are told once."""
    table(tree, 90, 2)
    (tree / "mine.yaml").write_text("study: mine\ndata: my.csv\ncolumns: [c0, c1]\n")
    data = "results/mine/data/table.safetensors"
    said = snakemake(tree, "--cores", "1", "--configfile", "mine.yaml", "--", data).stdout
    assert (tree / data).exists() and said.count("Training sizes: 21, 56") == 1
    said = snakemake(tree, "--dry-run", "-p", "--configfile", "mine.yaml").stdout
    assert '"options": "--configfile mine.yaml"' in said and "results/own" not in said
    (tree / "my.csv").write_text("a,b\n1,\n")
    said = snakemake(tree, "--dry-run", "--configfile", "mine.yaml", status=1).stdout
    assert said.splitlines()[-1].startswith("error: data: my.csv: columns: no column 'c0'; there")
    assert "Traceback" not in said


def test_a_page_has_the_same_answers_as_html() -> None:
    assert own_page._html("**a** `b*c` <d>") == "<strong>a</strong> <code>b*c</code> &lt;d&gt;"


@pytest.mark.parametrize(
    ("n", "d", "spread", "shrunk"), [(40, 30, 1.0, True), (200, 5, 30.0, False)]
)
def test_one_gaussian_is_not_a_weak_one(n: int, d: int, spread: float, shrunk: bool) -> None:
    """Few rows ask for a shrunk covariance, strongly correlated columns for the plain one."""
    rng = np.random.default_rng(0)
    factor = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.geomspace(1, 1 / spread, d)
    x, new = (rng.normal(size=(rows, d)) @ factor.T for rows in (n, 2000))
    found = verdict.one_gaussian(x).logpdf(new).mean()
    plain, other = (fit().fit(x).score(new) for fit in (EmpiricalCovariance, LedoitWolf))
    assert found == pytest.approx(other if shrunk else plain)
    assert abs(plain - other) > 0.3
