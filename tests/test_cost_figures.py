"""Figures of runs that differ in one setting: budget, components, cost."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conftest import lines
from given import pictured
from ndsm.artefacts import files
from ndsm.report import cost_figures, style
from ndsm.report.method_looks import looks

pytestmark = pytest.mark.usefixtures("looks")


def test_runs_at_several_components_are_drawn_at_their_numbers(tmp_path, looks):
    """But not a size or a method with one run only; the floor is the experiment's."""
    runs = {"e_20": 20, "e_100": 100}
    rows = [
        (e, m, n, s, metric, k + n + s if metric == "fid" else 1 / k)
        for e, k in {"e": 50, **runs}.items()
        for m in ("dsm", "gmm")
        for n in ((9, 99) if e != "e_20" else (99,))
        for s in range(3)
        for metric in ("fid", "nearest_ratio")
        if (m, e) != ("gmm", "e_20")
    ]
    rows += [("e", "real", None, 0, "fid", 7.0)]
    names = "experiment method n_train seed metric value".split()
    files.write_table(tmp_path / "metrics.csv", pd.DataFrame(rows, columns=names), {})
    shown = {"methods": ["dsm", "gmm"], "metrics": ["fid", "kid", "nearest_ratio"]}
    study = pictured({"e": shown}, varied={"e": {"components": runs}})
    figure = cost_figures.components(tmp_path, study, looks, "e")
    fid, ratio = figure.axes
    assert fid.get_title() == "99 training points"
    assert figure.subfigs[0].get_supxlabel().startswith("components")
    drawn = lines(fid)
    assert set(drawn) == {"dsm", "floor"}
    np.testing.assert_allclose(drawn["dsm"].get_xdata(), [20, 100])
    means = [stats.gmean(k + 99 + np.arange(3)) for k in (20, 100)]  # of a logarithmic axis
    np.testing.assert_allclose(drawn["dsm"].get_ydata(), means)
    np.testing.assert_allclose(drawn["floor"].get_ydata(), 7)
    np.testing.assert_allclose(lines(ratio)["dsm"].get_ydata(), [1 / 20, 1 / 100])


def test_budgets_stand_beside_the_untrained_model(tmp_path):
    """A line at its mean, of each size; of a method with one budget there is nothing."""
    values = {("e", "dsm"): 3, ("e_20", "dsm"): 5, ("e", "dsm_untrained"): 9, ("e", "edm"): 1}
    values[("e", "edm_untrained")] = 8
    rows = [
        (e, method, n, seed, "kl", value + seed + n)
        for (e, method), value in values.items()
        for n in (10, 100)
        for seed in range(3)
    ]
    names = "experiment method n_train seed metric value".split()
    files.write_table(tmp_path / "metrics.csv", pd.DataFrame(rows, columns=names), {})
    methods = ["dsm", "dsm_untrained", "edm", "edm_untrained"]
    varied = {"e": {"budgets": {"e_20": 20, "e": 40}}}
    study = pictured({"e": {"methods": methods}}, varied=varied)
    figure = cost_figures.budgets(tmp_path, study, looks(methods), "e")
    for panel, n in zip(figure.axes, (10, 100), strict=True):
        drawn = lines(panel)
        assert set(drawn) == {"dsm", style.NULLS}
        means = [stats.gmean(value + n + np.arange(3)) for value in (5, 3, 9)]
        np.testing.assert_allclose(drawn["dsm"].get_ydata(), means[:2])
        np.testing.assert_allclose(drawn[style.NULLS].get_ydata(), means[2])


def test_a_frontier_shows_the_metric_of_its_thresholds(tmp_path, looks):
    """Whatever that is; each budget's mean stands over its cost."""
    budgets, names = {"e": 40, "e_20": 20}, "experiment run method n_train seed metric value"
    costs = "seconds network_evaluations sampling_steps sampling_evaluations autoencoder_seconds"
    rows = [
        ("e", run, "dsm", 9, seed, "kl", 1 / size + seed, size / 10, size, 8, 8, 0.0)
        for run, size in budgets.items()
        for seed in range(3)
    ]
    table = pd.DataFrame(rows, columns=[*names.split(), *costs.split()])
    files.write_table(tmp_path / "frontier.csv", table, {})
    own = table[table.run == "e"][["experiment", "method", "n_train", "seed", "metric", "value"]]
    files.write_table(tmp_path / "metrics.csv", own, {})
    told = {"budgets": ["e_20", "e"], "steps": ["e"], "thresholds": {"kl": ["dsm"]}}
    figure = cost_figures.frontier(tmp_path, pictured({"e": {}}, frontiers={"e": told}), looks, "e")
    seconds, evaluations = figure.axes  # the sampler's steps do not vary
    for panel, at in ((seconds, [2, 4]), (evaluations, [20, 40])):
        np.testing.assert_allclose(lines(panel)["dsm"].get_xdata(), at)
        means = [stats.gmean(1 / size + np.arange(3)) for size in (20, 40)]
        np.testing.assert_allclose(lines(panel)["dsm"].get_ydata(), means)
