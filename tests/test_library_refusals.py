"""``NDSM`` refuses what it cannot use in one line, which names the parameter and the remedy."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array

from ndsm import NDSM
from ndsm.errors import Refused
from test_library import MOONS, SMALL, Wells

LINES = [
    ({"objective": "ndsm_vc"}, r"objective: 'ndsm_vc' is unknown; .* \(did you mean 'ndsm_cv'\?\)"),
    ({"sampler": "adam"}, r"sampler: 'adam' is unknown; .* \(did you mean 'adams'\?\)"),
    ({"covariance": "tide"}, r"covariance: 'tide' is unknown; .* \(did you mean 'tied'\?\)"),
    ({"device": "gpu"}, "device: 'gpu' is unknown; allowed: auto, cpu, cuda"),
    ({"drift": "gmn"}, r"drift: 'gmn' is unknown; .* \(did you mean 'gmm'\?\)"),
    (
        {"drift": 3},
        "drift: 3 has no score; give 'gmm', 'ou' or an object with score, log_prob, sample",
    ),
    (
        {"drift": "gmm", "objective": "dsm"},
        "drift: 'gmm' is not linear.*drift='ou', and known='gmm'",
    ),
    (
        {"drift": Wells(), "objective": "ndsm_flow"},
        "objective: 'ndsm_flow' with a drift of your own",
    ),
    ({"drift": Wells(), "objective": "ndsm", "stride": 5}, "stride: 5 with a drift of your own"),
    (
        {"drift": Wells(), "objective": "ndsm", "sampler": "exponential"},
        "sampler: 'exponential' needs",
    ),
    (
        {"drift": Wells(), "objective": "ndsm", "T": 200.0},
        "T: 200.0 makes Euler steps of 8.7; give a smaller one",
    ),
    ({"known": "gmm"}, "known: 'gmm' with objective 'ndsm_flow'; give objective='dsm'"),
    ({"known": "x", "objective": "dsm"}, "known: 'x' is unknown; allowed: gmm"),
    ({"covariance": "full", "objective": "ndsm_cv"}, "covariance: 'full' with objective 'ndsm_cv'"),
    (
        {"sampler": "euler"},
        "sampler: 'euler' with objective 'ndsm_flow'; allowed: adams, edm, heun",
    ),
    ({"n_components": 400}, "n_components: 400 with 300 points; give at most 150"),
    ({"n_components": [0, 2]}, "n_components: 0 is out of range; give a whole number above zero"),
    ({"n_components": "five"}, "n_components: 'five' is not a whole number"),
    ({"batch": -3}, "batch: -3 is out of range"),
    ({"steps": 0}, "steps: 0 is out of range"),
    ({"width": 2.5}, "width: 2.5 is not a whole number"),
    ({"learning_rate": float("nan")}, "learning_rate: nan is out of range"),
    ({"learning_rate": "fast"}, "learning_rate: 'fast' is not a number"),
    ({"stride": 5}, "stride: 5 with objective 'ndsm_flow'; give 1 or None"),
    (
        {"stride": 101, "objective": "ndsm"},
        "stride: 101 is more than the grid has; give at most 100",
    ),
    ({"t_min": 5}, "t_min: 5.0 is not below T; give less than 4"),
    (
        {"evaluations": 60, "objective": "ndsm_cv"},
        "evaluations: 60 make no step with batch 50; give 100",
    ),
    ({"random_state": "a"}, "random_state: 'a' is no seed"),
    ({"random_state": -1}, "random_state: -1 is no seed"),
]


@pytest.mark.parametrize(("wrong", "line"), LINES, ids=[line for _, line in LINES])
def test_a_wrong_parameter_is_one_line(wrong: dict[str, Any], line: str) -> None:
    with pytest.raises(Refused, match=f"^{line}") as refusal:
        NDSM(**SMALL | wrong).fit(MOONS)
    assert "\n" not in str(refusal.value)


holes = MOONS.copy()
holes[7, 1] = np.nan
infinite = np.where(np.isnan(holes), np.inf, holes)
FRAME = pd.DataFrame(MOONS, columns=["a", "b"])
POINTS = [
    (holes, "x: contains NaN in row 7, column 1; leave out or fill such rows"),
    (infinite, r"x: contains infinity \(inf\) in row 7, column 1"),
    (MOONS[:, 0], r"x: Expected 2D array, got 1D array instead, shape \(300,\); give \(n, d\)"),
    (MOONS[None], "x: Expected 2D array, got 3D array"),
    (MOONS[:1], r"x: Found array with 1 sample\(s\)"),
    (MOONS[:0], r"x: Found array with 0 sample\(s\)"),
    (MOONS[:, :0], r"x: Found array with 0 feature\(s\)"),
    (MOONS + 1j, "x: Complex data not supported"),
    (torch.as_tensor(MOONS + 1j), "x: Complex data not supported"),
    (csr_array(MOONS), "Sparse data was passed"),
    (torch.as_tensor(MOONS).to_sparse(), "x: is a sparse tensor"),
    (0 * MOONS + 3, "x: all 300 points are equal; give points that differ"),
    ([["a", "b"]] * 5, "x: could not convert string to float"),
    (FRAME.assign(kind="red"), "x: could not convert.*; leave out or encode column 'kind'"),
]


@pytest.mark.parametrize(("x", "line"), POINTS, ids=[line for _, line in POINTS])
def test_wrong_points_are_one_line(x: Any, line: str) -> None:
    with pytest.raises((Refused, TypeError), match=f"^{line}") as refusal:
        NDSM(**SMALL).fit(x)
    assert "\n" not in str(refusal.value)


def test_a_fitted_model_refuses_what_does_not_fit_it() -> None:
    model = NDSM(**SMALL).fit(MOONS)
    with pytest.raises(Refused, match="^x: X has 3 features, but NDSM is expecting 2 features"):
        model.log_prob(np.ones((4, 3)))
    named = NDSM(**SMALL).fit(FRAME)
    with pytest.raises(Refused, match=r"^x: The feature names.*; give the columns of the fit"):
        named.log_prob(FRAME[["b", "a"]])
    for number in (0, -2, 1.5, "many"):
        with pytest.raises(Refused, match=f"^n_samples: {number!r} is "):
            model.sample(number)
    with pytest.raises(Refused, match="^sampler: 'euler' with objective 'ndsm_flow'"):
        model.set_params(sampler="euler").sample(3)


def test_a_drift_that_gives_nonsense_is_refused() -> None:
    for name, wrong, line in [
        (
            "score",
            lambda x: x[:, :1],
            r"its score gives the shape \(300, 1\); let it give \(300, 2\)",
        ),
        ("score", lambda x: np.nan * x, "its score is not finite"),
        ("score", lambda x: 0 * x, "its score is zero at all points"),
        ("sample", lambda n, random_state: np.ones(n), "its sample gives the shape"),
    ]:
        wells = Wells()
        setattr(wells, name, wrong)
        with pytest.raises(Refused, match=f"^drift: {line}"):
            NDSM(wells, "ndsm", **SMALL).fit(MOONS)
