"""Figures: what they draw are the numbers of the tables; names, files, looks."""

import json
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from PIL import Image
from scipy import stats

from conftest import ROOT, lines
from given import pictured
from ndsm.artefacts import files
from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.report import (
    animations,
    claim_figures,
    cost_figures,
    metric_figures,
    sample_figures,
    style,
)
from ndsm.stages import figures
from ndsm.study import figure_list

pytestmark = pytest.mark.usefixtures("looks")
METHODS = ["gmm", "dsm", "ndsm_cv"]
STUDY = pictured(
    {
        "rings": {
            "dataset": {"name": "rings"},
            "methods": METHODS,
            "metrics": ["energy_distance", "mode_tv"],
        },
        "digits": {
            "dataset": {"name": "digits"},
            "methods": METHODS,
            "metrics": ["fid", "memorisation"],
        },
    }
)
CAPTIONS = ROOT / "workflow" / "report"
CLAIMS = pd.DataFrame(
    [
        ("C1", "primary", "kl", 0.3, 0.2, 0.45, "supported"),
        ("C1", "rival", "kl", -0.1, -0.2, 0.1, "inconclusive"),
        ("C9", "primary", "nll", -1.2, -1.4, -1.1, "contradicted"),
    ],
    columns="id role metric effect ci_low ci_high verdict".split(),
).assign(experiment="rings", method="ndsm_cv", baseline="dsm", n_train=50, note="", claim="")
CLAIMS["p_value"] = 0.01
KINDS = figure_list.KINDS | figure_list.SINGLE
FIGURES = {
    f"{kind}_{e}": {"draw": KINDS[kind].draw, "experiment": e, "caption": kind, "title": kind}
    for kind in ("samples", "learning_curve")
    for e in STUDY.experiments
} | {
    name: {"draw": KINDS[name].draw, "experiment": "all", "caption": name, "title": name}
    for name in ("forest", "forward_process", "variance", "cost_quality")
}
FIGURES["forward_process"]["moves"] = KINDS["forward_process"].moves


def spec_of(*names):
    shown = {name: FIGURES[name] for name in ("forest", *names)}
    told = {"pages": {"cost": "What it costs"}, "figures": shown, "kinds": [*KINDS]}
    return STUDY.as_dict() | told


def main(tables, out, *names):
    """As the rule runs the stage, into a study's folder."""
    figures.main(tables, CAPTIONS, out / "figures", spec_of(*names))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables of the layout of the aggregate stage."""
    study, rng = tmp_path_factory.mktemp("study"), np.random.default_rng(0)
    folder = study / "tables"
    files.write_table(study / "claims.csv", CLAIMS, {})
    rows = []
    for e, settings in STUDY.experiments.items():
        for metric in settings.metrics:
            for k, method in enumerate(METHODS):
                for n in (50, 200, 1000):
                    # Unbiased distances of the best method end at zero or below.
                    low = 0.02 if metric == "energy_distance" and method == "ndsm_cv" else 0.0
                    values = (3 - k) / n * rng.uniform(0.9, 1.1, 3) - low * (n == 1000)
                    rows += [(e, method, n, seed, metric, v) for seed, v in enumerate(values)]
            rows += [(e, "real", None, s, metric, 1e-4 * rng.normal()) for s in range(5)]
    metrics = pd.DataFrame(rows, columns="experiment method n_train seed metric value".split())
    files.write_table(folder / "metrics.csv", metrics.astype({"n_train": "Int64"}), {})

    cost = [
        (e, m, 9, 1.0, 90.0 * k, 1000 * k) for e in STUDY.experiments for k, m in enumerate(METHODS)
    ]
    names = "experiment method replicas drift_seconds training_seconds training_evaluations"
    files.write_table(folder / "cost.csv", pd.DataFrame(cost, columns=names.split()), {})

    (folder / "samples").mkdir()
    for e, d in (("rings", 2), ("digits", 64)):
        sizes = [("data", None), *((m, n) for m in METHODS for n in (50, 200, 1000))]
        frames = [
            pd.DataFrame(rng.normal(size=(40, d)), columns=[f"x{k}" for k in range(d)]).assign(
                method=m, n_train=n
            )
            for m, n in sizes
        ]
        files.write_table(folder / f"samples/{e}.csv", pd.concat(frames), {})

    rows = [
        ("modes", o, drift, sweep, h, h, seed, 1 / h, 2 / h)
        for o in ("dsm", "ndsm")
        for drift in ("ou", "gmm")
        for sweep in ("step", "time")
        for h in (0.01, 0.1, 1.0)
        for seed in range(2)
    ]
    names = "experiment objective drift sweep h t seed objective_variance gradient_variance".split()
    files.write_table(folder / "gradients.csv", pd.DataFrame(rows, columns=names), {})
    moments = {"snapshot": (0.0, 0.5, "stationary"), "noising": (0.0, 0.5, 4.0)}
    frames = [
        pd.DataFrame(rng.normal(size=(100, 2)), columns=["x0", "x1"]).assign(
            process=p, shows=shows, method="", frame=frame, t=t
        )
        for p in ("ou", "gmm")
        for shows, times in (moments | {"generation": (4.0, 0.2, 0.0)}).items()
        for frame, t in enumerate(times)
    ]
    files.write_table(folder / "forward.csv", pd.concat(frames), {})
    return folder


def test_every_figure_is_written_in_both_formats(tables, tmp_path):
    main(tables, tmp_path, *FIGURES)
    for name in FIGURES:
        assert (tmp_path / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert (tmp_path / "figures" / f"{name}.pdf").read_bytes()[:4] == b"%PDF"
        wide, _ = plt.imread(tmp_path / "figures" / f"{name}.png").shape[1::-1]
        assert wide == 200 * (claim_figures.WIDTH if name == "forest" else 7)  # two columns
        assert "<figcaption>" in (tmp_path / "figures" / f"{name}.html").read_text()
    moving = [name for name, own in FIGURES.items() if "moves" in own]
    for name in moving:
        page = (tmp_path / "figures" / f"{name}.html").read_text()
        assert 'src="data:image/gif;base64,R0lGODlh' in page.replace("\n", "")
    assert len(list((tmp_path / "figures").iterdir())) == 3 * len(FIGURES) + len(moving)
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"claims.html", "cost.html"}


HOSTILE = """
text.usetex: True
savefig.bbox: tight
figure.facecolor: red
lines.antialiased: False
"""


def test_a_notebook_and_a_matplotlibrc_of_the_user_change_nothing(tables, tmp_path):
    """As the job runs it, where Jupyter names a module that this Python does not have."""
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    spec = spec_of("variance")
    command = [sys.executable, "-m", "ndsm.stages.figures", "--tables", str(tables)]
    command += ["--captions", str(CAPTIONS), "--out", str(tmp_path / "theirs" / "figures")]
    command += ["--spec", json.dumps(spec)]
    env = {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    env["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    env["MATPLOTLIBRC"] = str(tmp_path)
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures.draw(tables, tmp_path / "ours", PicturedStudy.of(spec), "variance")
    for suffix in ("png", "pdf"):
        ours = tmp_path / "ours" / f"variance.{suffix}"
        theirs = tmp_path / "theirs" / "figures" / f"variance.{suffix}"
        assert ours.read_bytes() == theirs.read_bytes()


def test_where_processes_can_have_no_locks_one_draws(tables, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(figures, "ProcessPoolExecutor", fail)
    main(tables, tmp_path, "variance")
    assert (tmp_path / "figures" / "variance.pdf").exists()
    assert capsys.readouterr().out.startswith("drawing in one process: ")


def test_figures_that_a_study_no_longer_has_are_removed(tables, tmp_path):
    folder = tmp_path / "figures"
    folder.mkdir()
    old = [folder / name for name in ("seeds_rings.png", "departure.html", "my_own.png")]
    for path in old:
        path.write_text("")
    main(tables, tmp_path, "variance")
    drawn = {f"{name}.{end}" for name in ("forest", "variance") for end in ("png", "pdf", "html")}
    assert {path.name for path in folder.iterdir()} == {"my_own.png", *drawn}


def test_what_draws_each_kind_of_figure_is_there():
    for kind in KINDS.values():
        for drawn in [name for name in (kind.draw, kind.moves) if name]:
            module, _, function = drawn.partition(".")
            assert callable(getattr(figures.MODULES[module], function))


def test_learning_curve_shows_the_means_and_the_floor(tables, looks):
    figure = metric_figures.learning_curve(tables, STUDY, looks, "rings")
    metrics = metric_figures.read_metrics(tables).query("experiment == 'rings'")
    for panel, metric in zip(figure.axes, ["energy_distance", "mode_tv"], strict=True):
        of_metric, drawn = metrics[metrics.metric == metric], lines(panel)
        for method in METHODS:
            means = of_metric[of_metric.method == method].groupby("n_train")["value"].mean()
            np.testing.assert_allclose(drawn[method].get_ydata(), means.to_numpy())
            assert list(drawn[method].get_xdata()) == [50, 200, 1000]
        floor = of_metric.loc[of_metric.method == "real", "value"].mean()
        assert drawn["floor"].get_ydata()[0] == pytest.approx(floor)
        low, high = panel.get_ylim()
        assert low < min(floor, of_metric.value.min()) and of_metric.value.max() < high


def test_bars_are_the_t_interval_of_the_mean(tables, looks):
    panel = metric_figures.learning_curve(tables, STUDY, looks, "digits").axes[0]
    values = metric_figures.read_metrics(tables).query("metric == 'fid' and method == 'gmm'")
    at = values[values.n_train == 50].value
    low, high = stats.ttest_1samp(at, 0).confidence_interval(0.95)
    bars = next(c for c in panel.collections if isinstance(c, LineCollection))
    assert tuple(bars.get_segments()[0][:, 1]) == pytest.approx((low, high))


def test_variance_shows_the_table(tables, looks):
    figure = metric_figures.variance(tables, STUDY, looks, "")
    assert len(figure.axes) == 8  # two quantities; step and time, each under two drifts
    for panel in [panel for half in figure.subfigs for panel in half.axes[2:]]:
        np.testing.assert_allclose(lines(panel)["ndsm"].get_ydata(), [200, 20, 2])
    assert lines(figure.axes[0])["dsm"].get_color() == looks["dsm"].color


def test_cost_is_that_of_a_replica(tables, looks):
    figure = cost_figures.cost_quality(tables, STUDY, looks, "")
    seconds, metrics = figure.axes[0], metric_figures.read_metrics(tables)
    points = {c.get_label(): c.lines[0].get_xydata()[0] for c in seconds.containers}
    of = metrics.query("experiment == 'rings' and metric == 'energy_distance' and n_train == 1000")
    for k, method in enumerate(METHODS):
        mean = of.loc[of.method == method, "value"].mean()
        np.testing.assert_allclose(points[method], [(1.0 + 90 * k) / 9, mean])


def test_the_forest_shows_effects_and_verdicts(looks):
    """In percent, what has no zero in nats below; what was not asked says so."""
    figure = claim_figures.forest_of(CLAIMS)
    percent, nats = figure.axes[0], figure.axes[3]
    for panel, effect, ends in ((percent, 30, [20, 45]), (nats, -1.2, [-1.4, -1.1])):
        _, interval, dot = panel.get_lines()  # after the line at zero
        np.testing.assert_allclose(interval.get_xdata(), ends)
        np.testing.assert_allclose(dot.get_xdata(), effect)
    said = [[text.get_text() for text in panel.texts] for panel in figure.axes]
    assert said[0] == ["+30\xa0%, supported"] and said[3] == ["-1.2\xa0nats, contradicted"]
    assert said[2] == ["-10\xa0%, inconclusive"] and said[1] == said[4] == said[5] == ["not asked"]


def test_forward_process_has_a_row_for_each_process(tables, looks):
    figure = sample_figures.forward_process(tables, STUDY, looks, "")
    assert [panel.get_title() for panel in figure.axes[:3]] == ["t = 0", "t = 0.5", "stationary"]
    assert all(len(panel.images) == 1 for panel in figure.axes)


def test_the_animation_goes_to_noise_and_back(tables, tmp_path, looks):
    """Each moment shows the table's points; ends rest by lasting longer, not by more frames."""
    moving = animations.forward_process(tables, STUDY, looks, "")
    table = pd.read_csv(tables / "forward.csv")
    distinct = list(dict.fromkeys(moving.moments))
    assert distinct == [(w, k) for w in ("noising", "generation") for k in range(3)]
    assert len(moving.moments) == 2 * (3 - 2) + 4 * animations.HOLD
    for moment in distinct:
        moving.draw(moment)
        for panel, process in zip(moving.figure.axes, ("ou", "gmm"), strict=True):
            rows = table[(table.process == process) & (table.shows == moment[0])]
            rows = rows[rows.frame == moment[1]]
            np.testing.assert_allclose(panel.collections[1].get_offsets(), rows[["x0", "x1"]])
            assert panel.get_title().endswith(f"t = {float(rows.t.iloc[0]):.2f}")
    style.save_moving(moving, tmp_path / "process")
    with Image.open(tmp_path / "process.gif") as gif:
        assert gif.n_frames == len(distinct) and gif.size == (700, 395)
        gif.seek(0)
        assert gif.info["duration"] == 100 * animations.HOLD


def test_without_trained_networks_the_animation_ends_in_noise(tables, tmp_path, looks):
    table = pd.read_csv(tables / "forward.csv")
    files.write_table(tmp_path / "forward.csv", table[table.shows != "generation"], {})
    moving = animations.forward_process(tmp_path, STUDY, looks, "")
    assert {shows for shows, _ in moving.moments} == {"noising"}


def test_seeds_are_where_the_table_says(tables, looks):
    panel = metric_figures.seeds(tables, STUDY, looks, "rings").axes[0]
    metrics = metric_figures.read_metrics(tables)
    of = metrics.query("experiment == 'rings' and metric == 'energy_distance' and method == 'dsm'")
    drawn = [line for line in panel.get_lines() if line.get_color() == looks["dsm"].color]
    np.testing.assert_allclose(np.sort(drawn[0].get_xdata()), np.sort(of.value))
    assert set(drawn[0].get_ydata()) == {METHODS.index("dsm")}


def test_projection_keeps_the_plane_of_the_data(tables, looks):
    figure = sample_figures.scatter(tables, STUDY, looks, "rings")
    shown = figure.subfigs[0].axes[0].collections[0].get_offsets()
    data = pd.read_csv(tables / "samples/rings.csv").query("method == 'data'")
    np.testing.assert_allclose(shown, data[["x0", "x1"]])
    assert figure.subfigs[0].axes[1].get_title() == "gmm"
