"""Figures of unequal classes and of an approximate symmetry: the numbers of the tables."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conftest import lines
from given import pictured
from ndsm.artefacts import files
from ndsm.report import metric_figures


def test_shares_are_the_mean_of_the_seeds_beside_the_truth(tmp_path, looks):
    rows = [
        ("e", "dsm", 9, s, f"class_share_{k}", 0.1 * k + 0.01 * s)
        for s in range(3)
        for k in (0, 1, 2)
    ]
    names = "experiment method n_train seed metric value".split()
    files.write_table(tmp_path / "metrics.csv", pd.DataFrame(rows, columns=names), {})
    own = {"dataset": {"name": "digits", "shares": [0.7, 0.3]}, "methods": ["dsm"]}
    panel = metric_figures.shares(tmp_path, pictured({"e": own}), looks, "e").axes[0]
    assert [bar.get_height() for bar in panel.patches] == pytest.approx([0.01, 0.11])
    truth = [segment[0, 1] for segment in panel.collections[-1].get_segments()]
    assert truth == pytest.approx([0.7, 0.3])


def test_departure_orders_experiments_by_its_size(tmp_path, looks):
    """Not those of another training size, of a variant, or of two experiments as one."""
    sizes, metrics = {"far": 1.0, "near": 0.2, "again": 0.2}, ["branch_tv", "departure_gap"]
    rows = [
        (e, m, n, s, metric, size + 0.1 * s + (9 - (n or 9)) + (e == "again"))
        for e, size in [*sizes.items(), ("far_few", 7.0)]
        for m in ("dsm", "real")
        for n in ((5, 9) if m == "dsm" else (None,))
        for s in range(3)
        for metric in metrics
    ]
    names = "experiment method n_train seed metric value".split()
    files.write_table(tmp_path / "metrics.csv", pd.DataFrame(rows, columns=names), {})
    experiments = {
        e: {
            "dataset": {"name": "digits", "symmetry": {"share": 0.3, "departure": size}},
            "metrics": metrics,
            "n_train": [5, 9],
        }
        for e, size in sizes.items()
    }
    experiments["far_few"] = experiments["far"] | {"variant_of": "far"}
    drawn = lines(metric_figures.departure(tmp_path, pictured(experiments), looks, "").axes[0])
    for name in ("dsm", "floor"):
        np.testing.assert_allclose(drawn[name].get_xdata(), [0.2, 0.2, 1.0])
        means = [stats.gmean(first + 0.1 * np.arange(3)) for first in (1.2, 0.2, 1.0)]
        np.testing.assert_allclose(drawn[name].get_ydata(), means)
