"""The stage gradients: how the variances of the objectives depend on the step, and what is kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.random import default_rng

from ndsm.fits import fit_mixture, fit_ou
from ndsm.gradients import Laboratory, at_both_ends


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


def test_the_metrics_are_the_ends_of_the_sweep_over_steps():
    steps = {"sweep": "step", "t": 0.1, "h": [0.01, 0.1, 0.001]}
    curves = pd.concat(
        pd.DataFrame(steps | {"objective": name, "objective_variance": v, "gradient_variance": g})
        for name, v, g in (("ndsm", [2.0, 3.0, 1.0], [5.0, 6.0, 4.0]), ("cv", 7.0, 8.0))
    )
    other = curves.assign(sweep="time", h=5.0, objective_variance=9.0)
    found = at_both_ends(pd.concat([curves, other])).set_index(["method", "metric"]).value
    assert found.to_dict() == {
        ("ndsm", "objective_variance"): 1.0,
        ("ndsm", "gradient_variance"): 4.0,
        ("ndsm", "objective_variance_long_step"): 3.0,
        ("ndsm", "gradient_variance_long_step"): 6.0,
        ("cv", "objective_variance"): 7.0,
        ("cv", "gradient_variance"): 8.0,
        ("cv", "objective_variance_long_step"): 7.0,
        ("cv", "gradient_variance_long_step"): 8.0,
    }
