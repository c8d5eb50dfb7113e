"""The data: log-densities are normalised and belong to the draws, splits are disjoint, nested."""

import json
import subprocess
import sys

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats
from sklearn.datasets import load_breast_cancer

from ndsm.artefacts.reading import Inputs
from ndsm.data import datasets
from ndsm.data.images import stream
from ndsm.data.training_subset import training_subset
from ndsm.errors import Refused
from ndsm.stages import data
from ndsm.vocabulary import SEED

PLANAR = {"weighted_modes": 8.0, "heavy_tails": 400.0, "rings": 5.0}  # half width of the plane
KNOWN = [name for name, dataset in datasets.DATASETS.items() if dataset.has_density]
SYNTHETIC = [name for name, dataset in datasets.DATASETS.items() if dataset.law]


def law(name):
    return datasets.DATASETS[name].law()


@pytest.mark.parametrize("name", PLANAR)
def test_density_integrates_to_one(name):
    """By the trapezoidal rule in u with x = sinh(u), so that heavy tails are covered as well."""
    edge = np.arcsinh(PLANAR[name])
    u = np.linspace(-edge, edge, 801)
    x, jacobian = np.sinh(u), np.cosh(u)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(law(name).log_density(grid)).reshape(len(u), -1)
    integral = jacobian @ density @ jacobian * (u[1] - u[0]) ** 2
    assert integral == pytest.approx(1, abs=2e-5)


def test_density_of_clusters_against_scipy():
    points, _ = law("clusters16").sample(50, default_rng(0))
    generator = default_rng([SEED, 0, 3])
    means = generator.standard_normal((10, 16))
    low_rank = 0.4 * generator.standard_normal((10, 16, 4))
    expected = np.log(
        sum(
            (k + 1) / 55 * stats.multivariate_normal(m, a @ a.T + 0.09 * np.eye(16)).pdf(points)
            for k, (m, a) in enumerate(zip(means, low_rank, strict=True))
        )
    )
    np.testing.assert_allclose(law("clusters16").log_density(points), expected, rtol=1e-9)


@pytest.mark.parametrize("name", KNOWN)
def test_draws_follow_the_density(name):
    """The mean derivative of log p in a scale of space is zero for draws from p, 20,000 of them.

    At five standard errors: by chance one run in about two million fails. A density that is 5 %
    too wide is noticed.
    """
    log_density = law(name).log_density
    x, _ = law(name).sample(20_000, default_rng(1))

    def deviations(scale):
        up, down = scale * 1.001, scale / 1.001
        score = log_density(x / up) - log_density(x / down) - x.shape[1] * np.log(up / down)
        return abs(score.mean()) / (score.std() / len(x) ** 0.5)

    assert deviations(1) < 5
    assert deviations(1.05) > 8


@pytest.mark.parametrize(("name", "dof"), [("weighted_modes", np.inf), ("heavy_tails", 3)])
def test_modes_have_their_marginals(name, dof):
    """The heaviest mode, round and known, by a Kolmogorov–Smirnov test at level 1e-6."""
    points, labels = law(name).sample(20_000, default_rng(2))
    centre, scale = {"weighted_modes": (0.0, 0.6), "heavy_tails": (3.0, 0.5)}[name]
    x = (points[labels == 0, 0] - centre) / scale
    marginal = stats.norm() if dof == np.inf else stats.t(dof)
    assert stats.kstest(x, marginal.cdf).pvalue > 1e-6
    assert stats.kstest(1.1 * x, marginal.cdf).pvalue < 1e-2  # a scale 10 % off shows


@pytest.mark.parametrize("name", SYNTHETIC)
def test_weights(name):
    """Shares of the modes by a χ² test at level 1e-6; equal weights would not pass."""
    weights = {
        "weighted_modes": [0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.04, 0.01],
        "heavy_tails": [0.4, 0.3, 0.2, 0.1],
        "pinwheel": [0.2] * 5,
        "rings": [1 / 3] * 3,
        "clusters16": np.arange(1, 11) / 55,
    }[name]
    _, labels = law(name).sample(20_000, default_rng(3))
    counts = np.bincount(labels, minlength=len(weights))
    assert stats.chisquare(counts, 20_000 * np.array(weights)).pvalue > 1e-6
    if len(set(np.round(weights, 9))) > 1:
        assert stats.chisquare(counts).pvalue < 1e-6


def test_pinwheel_arms():
    """Turned back by its angle, an arm is the Gaussian that it was made from."""
    points, labels = law("pinwheel").sample(20_000, default_rng(4))
    # The five arms are one arm turned by multiples of 72 degrees.
    z = (points[:, 0] + 1j * points[:, 1]) * np.exp(-2j * np.pi * labels / 5)
    # |z|² = u² + v² of u ~ N(1, 0.3²), v ~ N(0, 0.1²): mean 1 + 0.09 + 0.01.
    square = np.abs(z) ** 2
    assert abs(square.mean() - 1.1) < 5 * square.std() / len(z) ** 0.5
    assert stats.ks_2samp(z[labels == 0].real, z[labels == 3].real).pvalue > 1e-6


def test_training_subsets_are_nested():
    arrays = datasets.prepare({"name": "rings", "pool": 500, "held_out": 10}, samples=5)
    small, large = (training_subset(arrays, n, seed=3) for n in (20, 200))
    np.testing.assert_array_equal(small, large[:20])
    assert len(np.unique(large, axis=0)) == 200
    other = training_subset(arrays, 20, seed=4)
    assert not np.array_equal(small, other)
    labels = training_subset(arrays, 200, 3, of="pool_labels")
    np.testing.assert_array_equal(labels, np.rint(np.hypot(*large.T)) - 1)


def test_random_streams_are_different():
    """A permutation drawn from the bits that made the pool would choose by the points' labels."""
    arrays = {"pool": np.arange(1000)}
    subsets = [tuple(training_subset(arrays, 1000, seed)) for seed in range(20)]
    subsets += [tuple(stream(number).permutation(1000)) for number in range(1, 9)]
    assert len(set(subsets)) == 28
    assert tuple(stream(0).permutation(1000)) in subsets  # what to keep clear of


def test_held_out_does_not_depend_on_the_other_sizes():
    one, two = (
        datasets.prepare({"name": "pinwheel", "pool": pool, "held_out": 50}, samples)
        for pool, samples in [(10, 10), (30, 20)]
    )
    np.testing.assert_array_equal(one["held_out"], two["held_out"])
    assert two["real"].shape == (5, 20, 2)


def test_unusable_input_is_refused():
    with pytest.raises(Refused, match=r"dataset.name: 'pinwhel' .* pinwheel"):
        datasets.prepare({"name": "pinwhel"}, 10)
    with pytest.raises(Refused, match=r"dataset.heldout: .* pool, held_out"):
        datasets.prepare({"name": "pinwheel", "heldout": 10}, 10)
    with pytest.raises(Refused, match=r"dataset.pool: digits .* shares, symmetry"):
        datasets.prepare({"name": "digits", "pool": 10}, 10)
    arrays = datasets.prepare({"name": "pinwheel", "pool": 30, "held_out": 10}, 10)
    with pytest.raises(Refused, match=r"n_train: 31 .* up to 30"):
        training_subset(arrays, 31, 0)


def test_pool_size():
    assert datasets.pool_size({"name": "breast_cancer"}, "validation") == 267
    assert datasets.pool_size({"name": "digits"}) == 1000
    assert datasets.pool_size({"name": "pinwheel"}) == 20_000
    assert datasets.pool_size({"name": "pinwheel", "pool": 70}) == 70
    assert datasets.pool_size({"name": "pinwheel", "pool": 70}, "validation") == 47
    assert datasets.pool_size({"name": "digits", "shares": [0.7, 0.2, 0.1]}) == 137
    assert datasets.pool_size({"name": "digits", "shares": [0.7, 0.2, 0.1]}, "validation") == 92


def shared(x: np.ndarray, y: np.ndarray) -> float:
    """The share of the points x (n, d) that are among y (m, d)."""
    there = {row.tobytes() for row in y}
    return float(np.mean([row.tobytes() in there for row in x]))


PLANE = {"name": "rings", "pool": 70, "held_out": 60}


@pytest.mark.parametrize(
    "dataset, sizes",
    [
        (PLANE, (47, 23)),
        ({"name": "breast_cancer"}, (267, 133)),
        ({"name": "digits"}, (667, 333)),
        ({"name": "digits", "shares": [0.7, 0.2, 0.1]}, (94, 47)),
        ({"name": "digits", "symmetry": {"share": 0.4, "departure": 0.4}}, (667, 333)),
    ],
)
def test_validation_sees_neither_the_test_set_nor_what_is_trained_on(dataset, sizes):
    """It is a third of the pool, in its place: trained on by the test split, and there alone."""
    test, search = (datasets.prepare(dataset, 50, split=name) for name in ("test", "validation"))
    assert (len(search["pool"]), len(search["held_out"])) == sizes
    assert sizes[0] >= datasets.pool_size(dataset, "validation")
    assert shared(search["held_out"], search["pool"]) == 0
    assert shared(test["held_out"], search["held_out"]) == 0
    assert shared(test["held_out"], search["pool"]) == 0
    assert shared(search["held_out"], test["pool"]) == 1  # a pool that is not cut is noticed
    for name in ("", "_labels"):
        whole = np.concatenate([search[f"pool{name}"], search[f"held_out{name}"]])
        np.testing.assert_array_equal(whole, test[f"pool{name}"])


def test_table_is_split_disjointly_and_by_class():
    arrays = datasets.prepare({"name": "breast_cancer"}, samples=2000)
    every = [row.tobytes() for name in ("pool", "held_out") for row in arrays[name]]
    assert len(set(every)) == len(every) == 569
    benign = {name: arrays[f"{name}_labels"].sum() for name in ("pool", "held_out")}
    assert benign == {"pool": 251, "held_out": 106}  # 357 of 569
    assert arrays["real"].shape == (5, 320, 12)
    assert shared(arrays["real"].reshape(-1, 12), arrays["pool"]) == 1
    assert all(len(np.unique(rows, axis=0)) == 320 for rows in arrays["real"])
    assert datasets.prepare({"name": "breast_cancer"}, samples=30)["real"].shape == (5, 30, 12)


def test_table_is_standardised_by_its_pool():
    """Undone by the moments of the pool's own rows, the columns are those of the raw table."""
    arrays = datasets.prepare({"name": "breast_cancer"}, samples=30)
    pool, held_out = arrays["pool"], arrays["held_out"]
    np.testing.assert_allclose(pool.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(pool.std(0), 1, rtol=1e-12)
    off = np.abs(held_out.mean(0)).max(), np.abs(held_out.std(0) - 1).max()
    assert off[0] > 0.05 and off[1] > 0.05  # moments of all rows, or its own, would be noticed
    raw = load_breast_cancer().data
    # Radius, texture, smoothness, compactness, symmetry, fractal dimension: means, then worst.
    raw = raw[:, [0, 1, 4, 5, 8, 9, 20, 21, 24, 25, 28, 29]]
    z = np.concatenate([pool, held_out])
    for ours, theirs in zip(z.T, raw.T, strict=True):
        slope, offset = np.polyfit(np.sort(ours), np.sort(theirs), 1)
        np.testing.assert_allclose(slope * np.sort(ours) + offset, np.sort(theirs), rtol=1e-9)
    np.testing.assert_allclose(np.corrcoef(z.T), np.corrcoef(raw.T), rtol=1e-9)


def test_table_has_a_density_worth_measuring():
    """No direction is nearly degenerate, no value an atom; the columns left out have both."""
    arrays = datasets.prepare({"name": "breast_cancer"}, samples=30)
    z = np.concatenate([arrays["pool"], arrays["held_out"]])
    assert np.linalg.eigvalsh(np.corrcoef(z.T))[0] == pytest.approx(0.0173, abs=0.001)
    raw = load_breast_cancer().data
    assert np.linalg.eigvalsh(np.corrcoef(raw.T))[0] < 2e-4

    def most(column):
        return np.unique(column, return_counts=True)[1].max()

    assert max(map(most, z.T)) < 6
    assert most(raw[:, 6]) == most(raw[:, 7]) == 13  # concavity and concave points, zero


def test_table_is_the_same_each_time():
    one, two = (datasets.prepare({"name": "breast_cancer"}, samples=30) for _ in range(2))
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name])
    np.testing.assert_allclose(
        one["held_out"][0, :3], [-0.6655711, -1.1067650, -1.0803354], atol=1e-6
    )


def test_labels_and_the_rarest_class_are_those_of_validation():
    plane = datasets.prepare(PLANE, 50, split="validation")
    radius = np.hypot(*plane["held_out"].T)
    np.testing.assert_array_equal(plane["held_out_labels"], np.rint(radius) - 1)
    dataset = {"name": "digits", "shares": [0.7, 0.1, 0.2]}
    test, search = (datasets.prepare(dataset, 50, split=name) for name in ("test", "validation"))
    assert len(search["rarest"]) == (search["held_out_labels"] == 1).sum() > 0
    assert shared(search["rarest"], search["held_out"]) == 1
    assert shared(search["rarest"], test["rarest"]) == 0


def test_stage_writes_what_was_prepared(tmp_path):
    dataset = {"name": "rings", "pool": 70, "held_out": 60}
    spec = {"experiment": "e", "dataset": dataset, "samples": 50, "split": "validation"}
    data.main(tmp_path / "e.safetensors", spec)
    tensors = Inputs().tensors(tmp_path / "e.safetensors")
    arrays = datasets.prepare(dataset, 50, split="validation")
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_allclose(tensors[name].numpy(), array, rtol=1e-6)
    assert str(tensors["pool"].dtype) == "torch.float32"
    assert str(tensors["pool_labels"].dtype) == "torch.int64"
    assert Inputs().record(tmp_path / "e.safetensors")["spec"] == spec
    subset = training_subset(tensors, 20, seed=1)  # tensors do as well as arrays
    np.testing.assert_allclose(subset, training_subset(arrays, 20, seed=1), rtol=1e-6)


def test_registry_imports_nothing_heavy():
    """The configuration is checked before any job: neither torch nor scikit-learn may start."""
    code = "import sys, json, ndsm.metrics.registry; print(json.dumps(list(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert not {"torch", "sklearn", "scipy", "pandas", "ot"} & set(json.loads(result.stdout))
