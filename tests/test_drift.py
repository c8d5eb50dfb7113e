"""Fitting the drift: EM on mixtures that are known, the number of components, unusable input."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from conftest import lines_of, start
from ndsm.artefacts import drift_file, files
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.method import drift_fits
from ndsm.method.drift_fits import fit_mixture, fit_ou, fit_part, parameters
from ndsm.method.fitted_drift import Fitted
from ndsm.method.mixture import standard_normal
from ndsm.method.settings import FitSettings
from ndsm.stages import drift

COVARIANCES = ("spherical", "tied", "diag", "full")
Z = 6.0  # standard errors; a false alarm has probability 2e-9 a comparison
MEANS = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]]) + 20
WEIGHTS = np.array([0.5, 0.3, 0.2])
WIDTH = 0.5


def three_modes(n: int = 2000, seed: int = 0) -> np.ndarray:
    """Three round modes, twelve deviations apart, (n, 2)."""
    generator = default_rng(seed)
    label = generator.choice(3, n, p=WEIGHTS)
    return MEANS[label] + WIDTH * generator.standard_normal((n, 2))


def in_order(fit: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K,) and means (K, 2) in data units, in the order of MEANS."""
    means = fit.to_data(fit.mixture.means)[0].numpy()
    order = [int(((means - m) ** 2).sum(1).argmin()) for m in MEANS]
    return fit.mixture.log_weights.exp()[0].numpy()[order], means[order]


def spec(**changes) -> FitSettings:
    base = {"fit": "em", "covariance": "tied", "n_components": 3, "selection": "bic"}
    return FitSettings(**base | changes)


def several(covariance: str, selection: str) -> FitSettings:
    return spec(covariance=covariance, selection=selection, n_components=[1, 2, 3, 6])


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_em_recovers_a_known_mixture(covariance):
    """Means, weights and widths, within their sampling errors."""
    fit = fit_mixture(three_modes(), covariance, 3, seed=0)
    weights, means = in_order(fit)
    count = 2000 * WEIGHTS[:, None]
    assert (np.abs(means - MEANS) < Z * WIDTH / np.sqrt(count)).all()
    assert (np.abs(weights - WEIGHTS) < Z * np.sqrt(WEIGHTS * (1 - WEIGHTS) / 2000)).all()
    root = fit.factor[0].numpy()  # of the mean within-component covariance, whatever the type
    covariance = (root @ root.T if len(root) > 1 else root**2) * np.eye(2)
    assert (np.abs(covariance - WIDTH**2 * np.eye(2)) < Z * WIDTH**2 * math.sqrt(2 / 2000)).all()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_working_coordinates(covariance):
    """There and back is the identity; the mean within-component variance is one."""
    x = three_modes(500)
    fit = fit_mixture(x, covariance, 3, seed=0)
    points = torch.as_tensor(x).unsqueeze(0)
    torch.testing.assert_close(fit.to_data(fit.to_working(points)), points)
    if fit.mixture.scale_tril is None:
        r = fit.mixture.responsibilities(fit.to_working(points))[0].numpy()
        offset = fit.to_working(points)[0, :, None].numpy() - fit.mixture.means[0].numpy()
        within = (r[..., None] * offset**2).sum((0, 1)).mean() / len(x)
    else:
        w = fit.mixture.log_weights.exp()[0]
        squares = fit.mixture.scale_tril[0].square().sum((-1, -2)) / 2
        within = (w * squares).sum().item()
    assert within == pytest.approx(1, abs=1e-3)


def test_tied_fit_whitens():
    """Correlated components become N(m_k, I)."""
    root = np.array([[2.0, 0.0], [1.5, 0.3]])
    x = (three_modes() - 20) / WIDTH @ root.T
    fit = fit_mixture(x, "tied", 3, seed=0)
    error = Z * np.sqrt(2 / 2000) * np.abs(root @ root.T).max()
    product = (fit.factor[0] @ fit.factor[0].mT).numpy()
    np.testing.assert_allclose(product, root @ root.T, atol=error)


def test_ou_takes_the_global_mean_and_deviation():
    x = three_modes()
    fit = fit_ou(x)
    y = fit.to_working(torch.as_tensor(x).unsqueeze(0))[0]
    torch.testing.assert_close(y.mean(0), torch.zeros(2).double(), atol=1e-10, rtol=0)
    assert y.var(0, unbiased=False).mean().item() == pytest.approx(1, rel=1e-10)
    assert fit.mixture.means.shape == (1, 1, 2) and not fit.mixture.means.any()


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("how", ["bic", "heldout"])
def test_the_right_number_of_components_is_chosen(covariance, how):
    """For modes far apart. Held-out likelihood may take one more, since that costs it little."""
    fit = fit_part(three_modes(600), several(covariance, how), seed=0)
    k = fit.mixture.means.shape[1]
    assert k == 3 if how == "bic" else k in (3, 6)


def test_bic_without_its_penalty_is_noticed(monkeypatch):
    monkeypatch.setattr(drift_fits, "parameters", lambda *_: 0)
    fit = fit_part(three_modes(600), several("full", "bic"), seed=0)
    assert fit.mixture.means.shape[1] == 6


@pytest.mark.parametrize("covariance", ["tied", "diag", "full"])
def test_parameters_as_sklearn_counts_them(covariance):
    from sklearn.mixture import GaussianMixture

    x = default_rng(0).standard_normal((100, 4))
    model = GaussianMixture(3, covariance_type=covariance, random_state=0).fit(x)
    assert parameters(covariance, 3, 4) == model._n_parameters()


def test_spherical_parameters():
    """K − 1 weights, K means, and the one variance that all components share."""
    assert parameters("spherical", 3, 4) == 2 + 12 + 1


# Unusable and awkward input.


def test_fewer_than_two_points_a_component_is_refused_in_one_line():
    with pytest.raises(Refused) as refusal:
        fit_part(three_modes(9), spec(n_components=5), seed=0)
    message = str(refusal.value)
    assert "n_components" in message and "9 training points" in message
    assert "at most 4" in message and "\n" not in message


def test_candidates_with_too_few_points_are_left_out(caplog):
    caplog.set_level("INFO")
    fit = fit_part(three_modes(12), spec(n_components=[2, 5, 50]), seed=0)
    assert fit.mixture.means.shape[1] in (2, 5)
    assert "above 6 left out" in caplog.text


def test_equal_points_are_refused_in_one_line():
    with pytest.raises(Refused) as refusal:
        drift.describe_columns(np.ones((10, 2)), "rings")
    message = str(refusal.value)
    assert "rings" in message and "equal" in message and "\n" not in message


def awkward(kind: str) -> np.ndarray:
    """Three dimensions of data with a singular covariance, (300, 3)."""
    x = np.concatenate([three_modes(300), default_rng(1).standard_normal((300, 1))], 1)
    if kind == "constant column":
        x[:, 2] = 4
    elif kind == "copied column":
        x[:, 2] = x[:, 0] - 2 * x[:, 1]
    elif kind == "repeated points":
        x = np.repeat(x[:6], 50, 0)
    return x


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("kind", ["constant column", "copied column", "repeated points"])
def test_singular_data_give_a_finite_fit(covariance, kind):
    x = awkward(kind)
    fit = fit_part(x, spec(covariance=covariance), seed=0)
    points = torch.as_tensor(x).unsqueeze(0)
    y = fit.to_working(points)
    for tensor in (y, fit.log_prob(points), fit.mixture.score(y), fit.to_data(y)):
        assert tensor.isfinite().all()
    single = fit.to("cpu", torch.float32)
    y = single.to_working(points.float())
    assert y.isfinite().all() and single.mixture.score(y).isfinite().all()


@pytest.mark.parametrize(
    "covariance",
    [
        "spherical",
        "tied",
        "diag",
        "full",
    ],
)
def test_as_many_components_as_different_points_leaves_a_width(covariance):
    """EM's floor under the variances keeps working coordinates within single precision."""
    x = np.repeat(three_modes(6), 50, 0)
    fit = fit_part(x, spec(covariance=covariance, n_components=6), seed=0)
    assert fit.to_working(torch.as_tensor(x).unsqueeze(0)).abs().max() < 1e5


def test_warnings_of_em_become_log_lines(capsys):
    """scikit-learn's, of a fit to six different points, do not escape and are not lost."""
    x = np.repeat(three_modes(4), 50, 0)
    drift.fit_logged(x, spec(n_components=8), seed=0, labels=np.zeros(len(x)))
    assert "warning: " in capsys.readouterr().out


def test_constant_column_is_logged(capsys):
    drift.describe_columns(awkward("constant column"), "rings")
    assert "1 of 3 columns" in capsys.readouterr().out


def process(kernel: str) -> drift.Noising:
    """One with a tolerance of 0.01."""
    return drift.Noising(kernel=kernel, steps=20, t_min=1e-3, T=2.0, tolerance=0.01)


@pytest.mark.parametrize(
    ("kernel", "remedy"),
    [("exponential", "; a larger process.T"), ("euler", "; more process.steps or")],
)
def test_mismatch_beyond_the_tolerance_is_logged_with_the_remedy(capsys, kernel, remedy):
    drift.report_mismatch([0.001, 0.5], process(kernel))
    assert (
        f"warning: y_N is further from π than process.tolerance{remedy}" in capsys.readouterr().out
    )
    drift.report_mismatch([0.001, 0.005], process(kernel))
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("distance", [[0.001, np.nan], [np.nan, 0.001], [np.inf, 0.001]])
def test_a_mismatch_that_is_no_number_is_refused(distance):
    with pytest.raises(Refused, match="^y_N is not finite at T = 2, kernel euler: raise"):
        drift.report_mismatch(distance, process("euler"))


# The stage as it runs.


def job(folder: Path, x: np.ndarray, replicas: list[list[int]], **changes) -> list[str]:
    """The stage's command line; the data lie in ``folder``."""
    pool = torch.as_tensor(x).float()
    labels = torch.zeros(len(x), dtype=torch.long)
    files.write_tensors(folder / "data.safetensors", {"pool": pool, "pool_labels": labels}, {})
    process = {"kernel": "exponential", "steps": 20, "t_min": 1e-3, "T": 4.0, "tolerance": 0.02}
    whole = {"experiment": "modes", "fit": spec(**changes).model_dump(), "process": process}
    whole["replicas"] = replicas
    options = {"data": folder / "data.safetensors", "out": folder / "drift.safetensors"}
    flags = [part for name, path in options.items() for part in (f"--{name}", str(path))]
    return ["drift", *flags, "--spec", json.dumps(whole)]


def test_stage_writes_a_stack_and_its_record(tmp_path):
    replicas = [[200, 0], [50, 0], [200, 1]]
    command = job(tmp_path, three_modes(400), replicas, n_components=[2, 3, 40])
    drift.main([Path(command[2])], Path(command[4]), json.loads(command[-1]))
    fit = drift_file.read(Inputs(), tmp_path / "drift.safetensors", "cpu", {"replicas": replicas})
    measured = Inputs().record(tmp_path / "drift.safetensors")["measured"]
    assert fit.mixture.means.dtype == torch.float32 and len(fit.mixture.means) == 3
    assert measured["n_components"] == [3, 3, 3]
    assert len(measured["times"]) == 21 and measured["T"] == 4.0
    assert max(measured["mismatch"]) < 0.02 and max(measured["mismatch_floor"]) < 0.01
    assert len(measured["fit_seconds"]) == 3


def test_a_drift_that_nothing_is_noised_with_is_fitted_alike_and_not_simulated(tmp_path):
    fits_of, measured_of = [], []
    command = job(tmp_path, three_modes(400), [[200, 0]])
    for left_out in ({}, {"process"}):
        told = {k: v for k, v in json.loads(command[-1]).items() if k not in left_out}
        drift.main([Path(command[2])], Path(command[4]), told)
        fits_of.append(
            drift_file.read(
                Inputs(), tmp_path / "drift.safetensors", "cpu", {"replicas": [[200, 0]]}
            )
        )
        measured_of.append(Inputs().record(tmp_path / "drift.safetensors")["measured"])
    assert torch.equal(fits_of[0].mixture.means, fits_of[1].mixture.means)
    end = {"T", "times", "mismatch", "mismatch_floor"}
    assert measured_of[0].keys() - measured_of[1].keys() == end


def test_stage_refuses_equal_points_with_one_line(tmp_path):
    _, *options = job(tmp_path, np.ones((100, 2)), [[50, 0]])
    process = start("python", "-m", "ndsm.stages.drift", *options)
    (line,) = lines_of(process)
    assert process.returncode == 1
    assert line.startswith("error: modes: all training points are equal")
    assert not (tmp_path / "drift.safetensors").exists()


def test_the_search_for_components_goes_past_one_number_that_is_no_better():
    """Scores by number: 5 is worse than 3, 10 the best; after 20 and 30 the 50 is not tried."""
    scores, tried = {1: -3.0, 3: -2.0, 5: -2.5, 10: -1.0, 20: -1.5, 30: -1.6, 50: 0.0}, []

    def fit(x, k):
        tried.append(k)
        return Fitted(standard_normal(1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1, 1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drift_fits, "mean_log_prob", lambda fit, x: scores[tried[-1]])
        patch.setattr(drift_fits, "parameters", lambda *of: 0)
        drift_fits.select(fit, np.zeros((200, 1)), "tied", [*scores], "heldout")
    assert tried == [1, 3, 5, 10, 20, 30, 10]  # the best once more, with all points
