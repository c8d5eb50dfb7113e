"""RESULTS.md and the README's tables: every number is one of the tables that are kept."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from given import judged
from ndsm.artefacts import files, reading
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.report import answers, claim_documents, claim_facts, kept_studies, mean_table
from ndsm.stages import claims

PAGE = "\n".join(
    f"<!-- begin {name}, written by make reference -->\nold\n<!-- end -->"
    for name in ("answer", "tables")
)


@pytest.fixture
def reference(tmp_path):
    """Two studies, one claim each; of the second the rival is level with the method."""
    for study, id_, experiment, metric in (
        ("default", "C2", "weighted_modes", "kl"),
        ("mnist/C9", "C9", "mnist_latent", "nll"),
    ):
        values = {"dsm": 2.0, "ndsm_cv": 1.0, "ndsm_cv_untrained": 3.0, "dsm_mixture": 1.0}
        values["gmm"] = 0.5
        wobble = {
            "gmm": 0.0,
            "dsm": 0.1,
            "ndsm_cv": 0.0,
            "ndsm_cv_untrained": 0.1,
            "dsm_mixture": 0.2,
        }
        signs = [1, -1, 1, -1, 0.5]
        rows = [
            (
                where,
                method,
                100,
                seed,
                metric,
                value + wobble[method] * sign + (where != experiment),
            )
            for where in (experiment, "elsewhere")
            for method, value in values.items()
            for seed, sign in enumerate(signs)
        ]
        metrics = pd.DataFrame(rows, columns=claims.metric_table.COLUMNS).astype(
            {"n_train": "Int64"}
        )
        decides = {"experiment": experiment, "metric": metric, "method": "ndsm_cv", "n_train": 100}
        primary = {id_: decides | {"baseline": "dsm", "rival": "dsm_mixture"}}
        how = {"level": 0.05, "resamples": 99}
        about = {"id": id_, "metric": metric, "method": "ndsm_cv", "n_train": 100}
        secondary = [
            about | {"experiment": "elsewhere", "baseline": "dsm_mixture"},
            about | {"experiment": experiment, "baseline": "gmm"},
        ]
        table = claims.evaluate(judged(primary=primary, secondary=secondary, verdict=how), metrics)
        table.loc[table.role == "primary", "note"] = "a remark"
        spec = {"study": study, "verdict": how, "primary": primary}
        files.write_table(
            tmp_path / study / "claims.csv", table, {"spec": spec, "commit": f"{id_}0123456"}
        )
    shown = metrics[metrics.experiment == experiment].assign(
        experiment="weighted_modes", metric="kl"
    )
    cost = {"experiment": "weighted_modes", "method": ["dsm", "ndsm_cv"], "training_seconds": 100}
    cost |= {"drift_seconds": [1.0, 12.3]}
    files.write_table(tmp_path / "default" / "cost.csv", pd.DataFrame(cost), {"spec": {}})
    files.write_table(tmp_path / "default" / "metrics.csv", shown, {"spec": {}})
    return tmp_path


def test_all_primary_comparisons_are_corrected_together(reference):
    whole, folders = kept_studies.gathered(reference)
    decides = whole[whole.role == "primary"].set_index("id")
    assert list(decides.index) == ["C2", "C9"] == sorted(folders)
    # Holm: the smaller of two p-values counts twice, the other is no less than that.
    smaller = decides.p_value.min()
    assert decides.p_adjusted.min() == pytest.approx(2 * smaller)
    assert folders["C9"].endswith("mnist/C9")


def test_words_have_the_tables_numbers(reference):
    text = answers.results(reference)
    assert "Of 2 claims it does in none and takes away in none." in text
    assert (
        "do not decide in 2 (C2, C9). Of the 2 claims of the abstract themselves 2 (C2, C9)" in text
    )
    assert "are supported, none contradicted, none inconclusive." in text
    whole = kept_studies.gathered(reference)[0]
    for row in whole[whole.role == "primary"].itertuples():
        nats = row.metric == "nll"
        share = f"{row.effect:+.3g}\xa0nats" if nats else f"{100 * row.effect:+.3g}\xa0%"
        assert f"**{row.verdict}.** On 100 points of {row.experiment}, `ndsm_cv` is better" in text
        assert f"better than `dsm` in {row.metric} (effect {share} (" in text
    rest = whole[(whole.role == "secondary") & (whole.method == "ndsm_cv")]
    assert len(rest) == 4
    for row in rest.itertuples():
        line = f"| {row.experiment} | 100 | {row.metric} | {row.baseline} | "
        assert len(found := [each for each in text.splitlines() if each.startswith(line)]) == 1
        assert found[0].endswith(f" | {row.verdict} |") or "(" in found[0]
    assert text.count("- Note: a remark.") == 2
    assert "these commits: default by C201234, mnist/C9 by C901234." in text
    assert text.count("The fit of its mixture takes 12 % of the seconds of its training") == 1
    assert text.count("The trained network adds to its own mixture: +") == 2
    page = answers.readme(PAGE, reference)
    assert "old" not in page and "| nonlinear noise, the paper's (`ndsm_cv`) | 1.00 |" in page
    assert "| the best mixture alone (`gmm`) | **0.500** |" in page
    assert "standard errors over seeds, in 1 of the 7 columns: weighted_modes, KL." in page
    assert answers.readme(page, reference) == page


def test_the_best_mean_is_bold_and_a_mixture_that_has_it_is_named():
    def lines(wobble=0.0, **means):
        rows = [
            ("rings", method, 9, seed, "kl", mean + wobble * sign * (method == "gmm") + seed)
            for method, mean in means.items()
            for seed, sign in enumerate([1, -1, 0])
        ]
        return mean_table.markdown(pd.DataFrame(rows, columns=claims.metric_table.COLUMNS))

    columns = [("rings", "kl", "rings, KL")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mean_table, "SHOWN", columns)
        trained = lines(dsm=1.001, ndsm_cv=0.0004, gmm=0.0006, another=-0.9)
        assert "| linear noise (`dsm`) | 2.00 |" in trained
        assert "| nonlinear noise, the paper's (`ndsm_cv`) | **1.00** |" in trained
        assert trained[-1].endswith("exact jumps (`ndsm_flow_best`) |  |")
        # The differences 0.1 and 0.1 ± 0.2 have a standard error of nought and of 0.12.
        for wobble, gmm, near in ((0.0, 1.9, True), (0.0, 2.1, False), (0.2, 2.1, True)):
            said = lines(wobble, dsm=2.0, gmm=gmm)[-1]
            assert ("in 1 of the 1 columns: rings" in said) == near


@pytest.mark.parametrize(
    "metric, effect, said",
    [
        ("kl", -0.2, "`a` is worse than `b` in kl (effect -20\xa0% ("),
        (
            "points_saved:kl",
            0.5,
            "`a` needs 0.5 times the training points of `b` for the same kl (",
        ),
        ("points_saved:kl", -0.8, "`a` needs 1.8 times the training points of `b` for the same"),
        (
            "seconds_to:kl:dsm",
            0.25,
            "`a` takes 0.75 times the seconds of `b` to the kl that `dsm` ends",
        ),
    ],
)
def test_a_sentence_says_which_way_an_effect_goes(metric, effect, said):
    row = pd.Series({"experiment": "rings", "n_train": 50, "metric": metric, "method": "a"})
    row = pd.concat([row, pd.Series({"baseline": "b", "effect": effect, "seeds": 5})])
    row["ci_low"], row["ci_high"], row["p_adjusted"] = effect - 0.1, effect + 0.1, 0.2
    for verdict in ("supported", "inconclusive"):
        text = answers.sentence(pd.concat([row, pd.Series({"verdict": verdict})]))
        undecided = verdict == "inconclusive"
        assert said.replace("`a` ", "`a` on average " if undecided else "`a` ", 1) in text
        assert text.endswith("decide it.") == undecided


@pytest.mark.parametrize(
    ("metric", "means", "said"),
    [
        ("kl", [4.0, 2.0, 1.0], "has 4, 2, 1: it still improves"),
        ("kl", [4.0, 2.0, 1.95], "has 4, 2, 1.95: it has stopped improving"),
        ("coverage", [0.4, 0.5, 0.8], "has 0.4, 0.5, 0.8: it still improves"),
        ("coverage", [0.4, 0.5, 0.45], "has 0.4, 0.5, 0.45: it has stopped improving"),
        ("nll", [19.0, 18.6, 18.3], "has 19, 18.6, 18.3: it still improves"),
        ("nll", [-1.0, -1.2, -1.3], "has -1, -1.2, -1.3: it still improves"),
        ("nll", [-1.0, -1.2, -1.22], "has -1, -1.2, -1.22: it has stopped improving"),
    ],
)
def test_a_baseline_that_still_improves_is_named(tmp_path, metric, means, said):
    """With the budgets that the study had, in their order; not where there is one alone."""
    budgets = ["digits_375", "digits_1500", "digits"]
    spec = {"frontiers": {"digits": {"budgets": budgets}}}
    row = SimpleNamespace(experiment="digits", metric=metric, baseline="dsm", n_train=100)
    summary = pd.DataFrame({"experiment": budgets, "mean": means})
    summary = summary.assign(method="dsm", metric=metric, n_train=100)
    files.write_table(tmp_path / "summary.csv", summary, {})
    files.write_table(tmp_path / "claims.csv", summary, {"spec": spec})
    (line,) = claim_facts.budgets(row, ["dsm", "another"], tmp_path)
    assert said in line
    files.write_table(tmp_path / "claims.csv", summary, {"spec": {"frontiers": {}}})
    assert not claim_facts.budgets(row, ["dsm"], tmp_path)


def test_secondary_comparisons_are_corrected_over_all_studies_of_a_claim(reference):
    """Two more of C9 from another study: their own correction and the first one's are replaced."""
    before = kept_studies.gathered(reference)[0].query("role == 'secondary' and id == 'C9'")
    more = before.assign(p_value=[1e-9, 0.9], p_adjusted=[2e-9, 0.9])
    record = {"spec": reading.own_record(reference / "default" / "claims.csv")["spec"]}
    files.write_table(reference / "more" / "claims.csv", more, record)
    after = kept_studies.gathered(reference)[0].query("role == 'secondary' and id == 'C9'")
    p = after.p_value.sort_values()
    assert len(p) == 4 and p.iloc[0] == 1e-9
    expected = np.minimum(np.maximum.accumulate(p * [4, 3, 2, 1]), 1)
    np.testing.assert_allclose(after.p_adjusted[p.index], expected)


def test_a_baseline_that_still_improves_is_in_the_answer(reference, monkeypatch):
    monkeypatch.setattr(answers.claim_facts, "by_budget", lambda row, name, folder: None)
    assert "still improve" not in answers.parts(reference)["answer"]
    found = {"C2": ([2.0, 1.0], True), "C9": ([1.0, 1.0], False)}
    monkeypatch.setattr(answers.claim_facts, "by_budget", lambda row, name, folder: found[row.id])
    assert " those of C2 still improve, so" in answers.parts(reference)["answer"]


def test_what_cannot_be_written_is_refused(reference):
    with pytest.raises(Refused, match="part 'tabels' is unknown; allowed: answer, tables"):
        answers.readme(PAGE.replace("begin tables", "begin tabels"), reference)
    twin = reference / "again"
    twin.mkdir()
    for suffix in ("csv", "json"):
        data = (reference / "default" / f"claims.{suffix}").read_bytes()
        (twin / f"claims.{suffix}").write_bytes(data)
    with pytest.raises(Refused, match="C2 is decided in .* as well"):
        kept_studies.gathered(reference)
    with pytest.raises(Refused, match="no claims.csv"):
        kept_studies.gathered(twin / "nowhere")


def test_what_is_kept_is_read_after_its_study_ran_again(reference):
    """A job would refuse it, since what it was made from is there in another version."""
    path, source = reference / "default" / "claims.csv", reference / "metrics.csv"
    table = Inputs().table(path)
    files.write_table(source, table, {})
    record = Inputs().record(path) | {"inputs": {str(source): "of the earlier run"}}
    files.write_record(path, record)
    with pytest.raises(Refused, match="made from another"):
        Inputs().table(path)
    pd.testing.assert_frame_equal(kept_studies.kept(path), table)
    assert answers.results(reference)
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(Refused, match="its bytes are not those of its record"):
        kept_studies.gathered(reference)


def test_a_study_is_kept_with_the_figures_that_a_page_shows(reference, tmp_path):
    study, folder = tmp_path / "results", tmp_path / "kept" / "default"
    for name in kept_studies.KEPT:
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).write_text(name)
    claims_of_study = (reference / "default" / "claims.csv").read_text()
    (study / "claims.csv").write_text(claims_of_study)
    with pytest.raises(Refused, match="figures: is not there; let make study end first"):
        kept_studies.keep(study, folder, "")
    (study / "figures").mkdir()
    for name in ("frontier_weighted_modes", "forward_process", "variance"):
        (study / "figures" / f"{name}.png").write_text(name)
    (study / "figures" / "forward_process.gif").write_text("moves")
    page = f"![noise]({folder.as_posix()}/forward_process.gif)"
    kept_studies.keep(study, folder, page)
    tables = {name.rpartition("/")[2] for name in kept_studies.KEPT}
    # That of C2, which the study decides, and the README's; not that of C4.
    assert {path.name for path in folder.iterdir()} - tables == {
        "frontier_weighted_modes.png",
        "forward_process.gif",
    }
    assert (folder / "claims.csv").read_text() == claims_of_study
    with pytest.raises(Refused, match="figures: no missing.gif, which the README shows"):
        kept_studies.keep(study, folder, page.replace("forward_process", "missing"))


def test_a_table_kept_as_another_is_refused(reference):
    default = reference / "default"
    for suffix in ("csv", "json"):
        (default / f"metrics.{suffix}").write_bytes((default / f"cost.{suffix}").read_bytes())
    with pytest.raises(Refused, match="it is cost.csv of a study, kept as another"):
        answers.readme(PAGE, reference)


def test_who_is_there_untrained_is_counted(tmp_path):
    """With no evaluations; not who never is, nor who is with the smallest budget."""
    evaluations = {"ndsm_cv": [0, 0, 900], "dsm": [None, 500, 500], "dsm_mixture": [0, 375, None]}
    evaluations["gmm"] = [0, 0, 0]
    rows = [
        ("rings", method, n_train, seed, "kl", "dsm", found if n_train == 50 else 0, 1.0 + seed)
        for method, each in evaluations.items()
        for n_train in (50, 60)
        for seed, found in enumerate(each)
    ]
    columns = ["experiment", "method", "n_train", "seed", "metric", "quality"]
    table = pd.DataFrame(rows, columns=[*columns, "network_evaluations", "seconds"])
    files.write_table(tmp_path / "time_to_quality.csv", table, {"spec": {}})
    row = SimpleNamespace(
        experiment="rings",
        metric="seconds_to:kl:dsm",
        n_train=50,
        method="ndsm_cv",
        baseline="dsm",
        seeds=3.0,
    )
    said = claim_facts.untrained(row, ["dsm_mixture"], tmp_path)
    words = "is there untrained: its time is that of the fit."
    assert said == [
        f"- In 2 of 3 seeds `ndsm_cv` {words}",
        f"- In 1 of 3 seeds `dsm_mixture` {words}",
        "- The best mixture alone, `gmm`, is there in all seeds, on average after 2 s; `ndsm_cv` "
        "needs 2 s.",
    ]
    row.metric = "kl"
    assert claim_facts.untrained(row, [], tmp_path) == []


@pytest.mark.parametrize(
    ("metric", "effect", "words"),
    [
        ("kl", 0.12345, "+12.3 %"),
        ("kl", -19.68, "-1,970 %"),
        ("kl", 9.996, "+1,000 %"),
        ("fid", 1e-6, "+0.0001 %"),
        ("nll", -1.3151, "-1.32 nats"),
        ("kl", -math.inf, "-inf"),
        ("kl", None, ""),
    ],
)
def test_effects_have_three_digits_and_no_powers_of_ten(metric, effect, words):
    assert claim_documents.amount(metric, effect).replace("\xa0", " ") == words
