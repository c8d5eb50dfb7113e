"""The stage gradients: how the variances of the objectives depend on the step, and what is kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.random import default_rng

from ndsm.method.drift_fits import fit_mixture, fit_ou
from ndsm.stages.gradients import Laboratory, at_both_ends


@pytest.mark.parametrize("drift", ["linear", "nonlinear"])
def test_gradient_variance_grows_with_smaller_steps_only_for_plain_ndsm(drift):
    """Slope of log gradient variance against log h, by the instrument of the study."""
    generator = default_rng(0)
    x = generator.standard_normal((400, 2)) + 3 * generator.integers(2, size=(400, 1))
    fit = fit_ou(x) if drift == "linear" else fit_mixture(x, "tied", 2, seed=0)
    t, ratios = 0.1, [0.001, 0.01, 0.1]
    slopes = {}
    for name in ("ndsm", "ndsm_cv", "ndsm_anti"):
        laboratory = Laboratory(fit.to("cpu", torch.float32), torch.as_tensor(x).float(), seed=0)
        found = [laboratory.measure(name, t, t * r, 6144).gradient_variance for r in ratios]
        slopes[name] = np.polyfit(np.log(ratios), np.log(found), 1)[0]
    assert slopes["ndsm"] == pytest.approx(-1, abs=0.15)
    assert slopes["ndsm_cv"] > -0.15 and slopes["ndsm_anti"] > -0.15


def test_the_metrics_are_those_of_the_shortest_step_and_the_latest_time():
    """For an evaluation of the network: a draw of ndsm_cv takes two."""
    rows = [
        (name, sweep, h, t, 10.0 * k + v, 100.0 * k + v)
        for k, name in enumerate(("ndsm", "ndsm_cv"), start=1)
        for v, (sweep, h, t) in enumerate(
            [("step", 0.01, 0.1), ("step", 0.001, 0.1), ("time", 0.3, 3.0), ("time", 1e-4, 1e-3)]
        )
    ]
    names = ["objective", "sweep", "h", "t", "objective_variance", "gradient_variance"]
    found = at_both_ends(pd.DataFrame(rows, columns=names)).set_index(["method", "metric"]).value
    assert found.to_dict() == {
        ("ndsm", "objective_variance"): 11.0,
        ("ndsm", "gradient_variance"): 101.0,
        ("ndsm", "objective_variance_late"): 12.0,
        ("ndsm", "gradient_variance_late"): 102.0,
        ("ndsm_cv", "objective_variance"): 42.0,
        ("ndsm_cv", "gradient_variance"): 402.0,
        ("ndsm_cv", "objective_variance_late"): 44.0,
        ("ndsm_cv", "gradient_variance_late"): 404.0,
    }
