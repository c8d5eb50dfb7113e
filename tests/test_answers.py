"""RESULTS.md and the README's tables: every number is one of the tables that are kept."""

import pandas as pd
import pytest

from ndsm import answers, claims, store

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
        wobble = {"dsm": 0.1, "ndsm_cv": 0.0, "ndsm_cv_untrained": 0.1, "dsm_mixture": 0.2}
        signs = [1, -1, 1, -1, 0.5]
        rows = [
            (experiment, method, 100, seed, metric, value + wobble[method] * sign)
            for method, value in values.items()
            for seed, sign in enumerate(signs)
        ]
        metrics = pd.DataFrame(rows, columns=claims.cells.COLUMNS).astype({"n_train": "Int64"})
        decides = {"experiment": experiment, "metric": metric, "method": "ndsm_cv", "n_train": 100}
        primary = {id_: decides | {"baseline": "dsm", "rival": "dsm_mixture"}}
        how = {"level": 0.05, "resamples": 99}
        table = claims.evaluate(primary, [], metrics, **how).drop(columns="note")
        spec = {"study": study, "verdict": how, "primary": primary}
        store.write_table(
            tmp_path / study / "claims.csv", table, {"spec": spec, "commit": f"{id_}0123456"}
        )
    summary = metrics.groupby(["experiment", "metric", "n_train", "method"]).value.mean()
    summary = summary.rename("mean").reset_index().assign(experiment="weighted_modes", metric="kl")
    fit = summary.assign(metric="drift_over_training", mean=0.123)
    summary = pd.concat([summary, fit])
    store.write_table(tmp_path / "default" / "summary.csv", summary, {"spec": {}})
    return tmp_path


def test_all_primary_comparisons_are_corrected_together(reference):
    whole, folders = answers.gathered(reference)
    decides = whole[whole.role == "primary"].set_index("id")
    assert list(decides.index) == ["C2", "C9"] == sorted(folders)
    # Holm: the smaller of two p-values counts twice, the other is no less than that.
    smaller = decides.p_value.min()
    assert decides.p_adjusted.min() == pytest.approx(2 * smaller)
    assert folders["C9"].endswith("mnist/C9")


def test_words_have_the_tables_numbers(reference):
    text = answers.results(reference)
    assert "Asked of 2 claims: 0 supported, 0 contradicted, 2 inconclusive." in text
    assert "Of the 2 claims themselves: 2 supported, 0 contradicted, 0 inconclusive." in text
    whole = answers.gathered(reference)[0]
    for row in whole[whole.role == "primary"].itertuples():
        nats = row.metric == "nll"
        share = f"{row.effect:+.3g}\xa0nats" if nats else f"{100 * row.effect:+.3g}\xa0%"
        assert f"`ndsm_cv` is better in {row.metric} by {share} (" in text
        assert f"**{row.verdict}.** On 100 points of {row.experiment}" in text
    assert "these commits: default by C201234, mnist/C9 by C901234." in text
    assert text.count("The fit of its mixture takes 12 % of the seconds of its training") == 1
    assert text.count("The trained network adds to its own mixture: supported.") == 2
    page = answers.readme(PAGE, reference)
    assert "old" not in page and "| nonlinear noise, the paper's (`ndsm_cv`) | 1.00 |" in page
    assert answers.readme(page, reference) == page


def test_what_cannot_be_written_is_refused(reference):
    with pytest.raises(store.Refused, match="part 'tabels' is unknown; allowed: answer, tables"):
        answers.readme(PAGE.replace("begin tables", "begin tabels"), reference)
    twin = reference / "again"
    twin.mkdir()
    for suffix in ("csv", "json"):
        data = (reference / "default" / f"claims.{suffix}").read_bytes()
        (twin / f"claims.{suffix}").write_bytes(data)
    with pytest.raises(store.Refused, match="C2 is decided in .* as well"):
        answers.gathered(reference)
    with pytest.raises(store.Refused, match="no claims.csv"):
        answers.gathered(twin / "nowhere")
