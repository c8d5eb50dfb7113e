"""The claims table and its documents: numbers, families, planted mistakes."""

import io

import jinja2
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts

from given import FAST, JUDGED, judged
from ndsm.artefacts import files
from ndsm.errors import Refused
from ndsm.report import front_page
from ndsm.report.verdict import CONTRADICTED, holm
from ndsm.stages import claims

SIZES = [50, 200, 1000, 2000]


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
    return claims.evaluate(judged(primary=primary or {}, secondary=secondary), metrics)


def test_table_has_the_columns_and_what_was_not_run(metrics):
    table = table_of([claim(n_train=[50, 2000])], metrics)
    assert list(table.columns) == claims.COLUMNS
    assert list(table.id) == ["C1", "C1", *(f"C{k}" for k in range(2, 10))]
    assert list(table.verdict) == ["supported"] * 2 + ["not run"] * 8
    assert list(table.n_train[:2]) == [50, 2000]
    # From the definition, by pandas alone.
    wide = metrics[metrics.n_train == 50].groupby("method")["value"].mean()
    assert table.effect[0] == pytest.approx(1 - wide["ndsm_cv"] / wide["dsm"])


def test_one_comparison_decides_and_families_are_corrected_apart(metrics):
    rival = curve("dsm_mixture", 0.4, seed_noise=0.3).astype({"n_train": "Int64"})
    null = curve("ndsm_cv_untrained", 0.8).astype({"n_train": "Int64"})
    control = curve("ndsm_flow", 0.3, seed_noise=0.1).astype({"n_train": "Int64"})
    whole = pd.concat([metrics, rival, null, control])
    decides = {key: value for key, value in claim().items() if key != "id"}
    primary = {
        "C1": decides | {"rival": "dsm_mixture", "control": "ndsm_flow"},
        "C4": decides | {"baseline": "dsm_mixture"},
    }
    table = table_of([claim(n_train=[50, 200])], whole, primary)
    table = table[table.verdict != "not run"].reset_index(drop=True)
    # The primary one again, at 200, is left out.
    assert list(zip(table.id, table.role, table.baseline, table.n_train, strict=True)) == [
        ("C1", "primary", "dsm", 200),
        ("C1", "untrained", "ndsm_cv_untrained", 200),
        ("C1", "rival", "dsm_mixture", 200),
        ("C1", "control", "ndsm_flow", 200),
        ("C1", "secondary", "dsm", 50),
        ("C1", "secondary untrained", "ndsm_cv_untrained", 50),
        ("C4", "primary", "dsm_mixture", 200),  # the untrained model once for all claims
    ]
    roles = ("primary", "untrained", "rival", "control", "secondary")
    families = [table.role == role for role in roles]  # secondary ones are of C1 alone
    for rows in families:
        assert list(table.p_adjusted[rows]) == pytest.approx(list(holm(table.p_value[rows])))
    assert table.p_adjusted[6] == pytest.approx(table.p_value[6]) and table.p_value[6] > 0.05
    assert table.effect[3] < 0  # the control is better, and the claim's verdict does not say so
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
    assert found.note.eq("").all()
    # Ahead with the most points, behind with the fewest.
    late = metrics.n_train.map({50: 4.0, 200: 1.0, 1000: 1.0, 2000: 1.0}).astype(float)
    crossing = metrics.assign(value=metrics.value * late.where(metrics.method == "ndsm_cv", 1))
    note = table_of([row], crossing).query("id == 'C5'").iloc[0].note
    assert note == "the learning curves cross: the method is ahead at n = 200, 1000, 2000 only"
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
    with pytest.raises(Refused):
        table_of([claim(**bad)], metrics)


def test_missing_seed_is_refused(metrics):
    lacking = metrics[~((metrics.method == "dsm") & (metrics.seed == 3))]
    with pytest.raises(Refused, match="different seeds"):
        table_of([claim()], lacking)


def test_documents(metrics, tmp_path):
    files.write_table(tmp_path / "metrics.csv", metrics, {})
    spec = JUDGED | {
        "study": "smoke",
        "options": "--config study=smoke",
        "primary": {"C1": {key: value for key, value in claim().items() if key != "id"}},
        "secondary": [claim(id="C5", method="dsm", baseline="ndsm_cv")],
    }
    claims.main(tables=tmp_path, out=tmp_path / "claims.csv", spec=spec)
    table = pd.read_csv(tmp_path / "claims.csv")
    assert list(table.columns) == claims.COLUMNS
    text = (tmp_path / "claims.md").read_text()
    assert "**supported**" in text and "**contradicted**" in text
    command = f"snakemake --cores all --config study=smoke --force -- {tmp_path / 'claims.csv'}"
    assert command in text
    assert "**supported**" in text and "**contradicted**" in text
    (tmp_path / "forest.png").write_bytes(b"a picture")
    front = front_page.front_page(table, "smoke", tmp_path / "forest.png")
    # As Snakemake renders it: Jinja2, then docutils, where nothing but its own links is missing.
    links = "\n".join(f".. _{name}: javascript:x()" for name in ("Claims", "Figures", "Tables"))
    source = jinja2.Template(f"{front}\n\n{links}").render()
    complaints = io.StringIO()
    settings = {"warning_stream": complaints, "report_level": 1}
    page = publish_parts(source, writer="html", settings_overrides=settings)["body"]
    assert not complaints.getvalue()
    row = table[(table.id == "C1") & (table.role == "primary")].iloc[0]
    assert f"<td><strong>supported</strong></td><td>{100 * row.effect:+.3g}\xa0%" in page
    assert page.count("<td>not run</td>") == 8
    without = front_page.front_page(table[table.role != "primary"], "smoke", tmp_path / "none.png")
    assert "It decides no claim" in without and "<img" not in without
    behind = front_page.claims_page(table, "smoke", FAST["level"])
    for word in ("supported</td>", "contradicted</td>", "ndsm_cv", "How to read it", "C5: less"):
        assert word in behind
