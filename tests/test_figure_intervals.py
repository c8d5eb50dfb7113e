"""Axes of figures that are logarithmic, and what means and intervals are on them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from scipy import stats

from conftest import lines
from given import pictured
from ndsm.artefacts import files
from ndsm.report import metric_figures, style


def test_axis_is_logarithmic_only_where_that_is_possible(looks):
    for values, metric, scale in [
        ([0.1, 1.0], "mode_tv", "log"),
        ([-1e-4, 1.0], "energy_distance", "symlog"),
        ([0.0, 0.3], "memorisation", "linear"),
        ([0.0, 0.0], "mode_tv", "symlog"),
    ]:
        axes = plt.figure().subplots()
        log = style.logarithmic(metric, np.array(values))
        style.value_axis(axes, metric, np.array(values), np.array([]), log)
        assert axes.get_yscale() == scale
        axes.figure.draw_without_rendering()


def interval_of(values):
    """The t interval of the logarithms, by another library, back on the scale of the values."""
    return np.exp(stats.ttest_1samp(np.log(values), 0).confidence_interval(0.95))


def test_the_interval_of_known_numbers_is_that_of_their_logarithms():
    """exp(mean ± 4.3027 s / √3) of ln 1, ln 10, ln 100; the arithmetic one would reach below 0."""
    rows = pd.DataFrame({"method": "a", "value": [1.0, 10.0, 100.0]})
    log, plain = (metric_figures.averaged(rows, ["method"], log=log).loc["a"] for log in (1, 0))
    half = np.log(10) * 4.302653 / 3**0.5
    assert list(log[["low", "mean", "high"]]) == pytest.approx(10 * np.exp([-half, 0, half]))
    assert plain["mean"] == 37 and plain.low < 0 < log.low


LOGS = {"fid": "log", "energy_distance": "symlog", "memorisation": "linear"}


def uneven(tmp_path):
    """Seeds that spread over two decades, at two sizes, and a floor; one distance is below zero."""
    seeds = {"fid": [1, 10, 100], "energy_distance": [-1, 10, 100], "memorisation": [0.1, 0.2, 0.9]}
    rows = [
        ("e", "dsm", n, seed, metric, value)
        for metric, values in seeds.items()
        for n in (50, 200)
        for seed, value in enumerate(values)
    ]
    rows += [("e", "real", None, s, metric, 0.5 + s) for metric in seeds for s in range(3)]
    names = "experiment method n_train seed metric value".split()
    files.write_table(tmp_path / "metrics.csv", pd.DataFrame(rows, columns=names), {})
    own = {"methods": ["dsm"], "metrics": list(seeds), "dataset": {"name": "digits"}}
    return pictured({"e": own}), seeds


def test_means_and_intervals_are_of_logarithms_where_the_axis_is_logarithmic(tmp_path, looks):
    """And of the values themselves elsewhere; so are the mean of the floor and its band."""
    study, seeds = uneven(tmp_path)
    panels = metric_figures.learning_curve(tmp_path, study, looks, "e").axes
    for panel, (metric, scale) in zip(panels, LOGS.items(), strict=False):
        values, floor = np.array(seeds[metric], dtype=float), np.array([0.5, 1.5, 2.5])
        assert panel.get_yscale() == scale
        ends = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        mean, middle = values.mean(), floor.mean()
        if scale == "log":
            ends, mean, middle = interval_of(values), stats.gmean(values), stats.gmean(floor)
        bars = next(c for c in panel.collections if isinstance(c, LineCollection))
        np.testing.assert_allclose(bars.get_segments()[0][:, 1], ends)
        np.testing.assert_allclose(lines(panel)["dsm"].get_ydata(), mean)
        np.testing.assert_allclose(lines(panel)["floor"].get_ydata(), middle)
        band = panel.patches[0].get_extents().transformed(panel.transData.inverted())
        assert scale != "log" or band.y0 == pytest.approx(
            middle * np.exp(-np.log(floor).std(ddof=1))
        )


def test_no_interval_of_the_variances_reaches_the_foot_of_its_axis(tmp_path, looks):
    """Five seeds over two decades: an arithmetic interval of theirs is below zero."""
    seeds = np.array([1.0, 2.0, 5.0, 20.0, 150.0])
    assert stats.ttest_1samp(seeds, 0).confidence_interval(0.95)[0] < 0
    rows = [
        ("modes", "ndsm", drift, sweep, h, h, seed, value / h, value)
        for drift in ("ou", "gmm")
        for sweep in ("step", "time")
        for h in (0.01, 0.1)
        for seed, value in enumerate(seeds)
    ]
    names = "experiment objective drift sweep h t seed objective_variance gradient_variance"
    files.write_table(tmp_path / "gradients.csv", pd.DataFrame(rows, columns=names.split()), {})
    panels = metric_figures.variance(tmp_path, pictured({}), looks, "").axes
    for panel in panels:
        bars = next(c for c in panel.collections if isinstance(c, LineCollection))
        assert min(segment[0, 1] for segment in bars.get_segments()) > panel.get_ylim()[0] > 0
    ends = panels[0].collections[0].get_segments()[1][:, 1]
    np.testing.assert_allclose(ends, interval_of(seeds / 0.1))
