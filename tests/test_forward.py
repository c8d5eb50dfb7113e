"""Stage ``forward``: noising from the data to the prior, and the way back by trained networks."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from changed import SMOKE, changed
from conftest import ROOT, job_spec
from ndsm.artefacts import drift_file, files, model_file
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import training_subset
from ndsm.method import samplers
from ndsm.method.random_streams import Streams
from ndsm.stages import drift, forward, train
from ndsm.study import configuration, plan
from test_stages import ring

REPLICAS = [[300, 0], [100, 1]]  # the second is shown
MIXTURE = {"fit": "em", "covariance": "tied", "n_components": 3, "selection": "bic"}
SIDES = {"gmm": ("ndsm_anti", MIXTURE), "ou": ("dsm", {"fit": "ou"})}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with what the stage reads and writes, and the settings of the two methods."""
    folder = tmp_path_factory.mktemp("forward")
    paths = {"data": folder / "data.safetensors", "out": folder / "with.csv"}
    x = ring(400, 0)
    pool = {"pool": x, "pool_labels": torch.zeros(len(x)).long()}
    files.write_tensors(paths["data"], pool, {})
    methods = {}
    for side, (objective, fit) in SIDES.items():
        job = job_spec(objective, replicas=REPLICAS, device="cpu", method=objective)
        job["process"] |= {"tolerance": 9.0}
        fitted, weights = (folder / f"{what}_{side}.safetensors" for what in ("drift", "train"))
        drift.main([paths["data"]], fitted, job | {"fit": fit})
        train.main([paths["data"]], fitted, weights, job)
        methods[side] = job
    told = {"n_train": 100, "seed": 1, "replicas": REPLICAS, "process": methods["ou"]["process"]}
    drifts = [folder / f"drift_{side}.safetensors" for side in SIDES]
    networks = [folder / f"train_{side}.safetensors" for side in SIDES]
    forward.main(paths["data"], *drifts, paths["out"], told | {"methods": methods}, networks)
    forward.main(paths["data"], *drifts, folder / "without.csv", told | {"methods": {}})
    return folder, methods


def points(table: pd.DataFrame, **where: Any) -> np.ndarray:
    """The points of the rows with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    return table[["x0", "x1"]].to_numpy()


def test_noising_starts_at_training_points_and_ends_in_the_prior(run) -> None:
    """Of the replica that is shown; time grows frame by frame from 0 to T."""
    folder, _ = run
    table = pd.read_csv(folder / "with.csv")
    known = training_subset({"pool": ring(400, 0)}, 100, 1).numpy()
    for side in SIDES:
        start = points(table, process=side, shows="noising", frame=0)
        assert len(start) == forward.PATHS
        assert (np.abs(start[:, None] - known).sum(-1).min(1) < 2e-4).all()
        own = table[(table.process == side) & (table.shows == "noising")]
        times = own.groupby("frame").t.first().astype(float)
        assert len(times) == forward.FRAMES and times.is_monotonic_increasing
        assert (times.iloc[0], times.iloc[-1]) == (0, 3)
    spread = points(table, process="ou", shows="noising", frame=forward.FRAMES - 1).std(0)
    rest = points(table, process="ou", t="stationary").std(0)
    np.testing.assert_allclose(spread, rest, rtol=0.12)


def test_generation_ends_where_the_sampler_does(run) -> None:
    """Frame by frame it takes the steps of Heun's method, of the replica that is shown."""
    folder, methods = run
    table = pd.read_csv(folder / "with.csv")
    for side, job in methods.items():
        fit = drift_file.read(Inputs(), folder / f"drift_{side}.safetensors", "cpu", job)
        streams = Streams([("generation", *replica) for replica in REPLICAS])
        net, chain = model_file.read(
            Inputs(), folder / f"train_{side}.safetensors", fit, job, streams
        )
        y = samplers.prior(chain, forward.PATHS, streams)
        with torch.no_grad():
            ends = samplers.generate(net, y, chain, "heun", forward.FRAMES - 1, streams)
        for frame, expected in ((0, y), (forward.FRAMES - 1, ends)):
            found = points(table, process=side, shows="generation", frame=frame)
            np.testing.assert_allclose(found, fit.to_data(expected)[1].numpy(), atol=1e-4)
            assert not np.allclose(found, fit.to_data(expected)[0].numpy(), atol=0.1)
        own = table[(table.process == side) & (table.shows == "generation")]
        assert set(own.method) == {job["method"]}
        times = own.groupby("frame").t.first().astype(float)
        assert times.is_monotonic_decreasing and (times.iloc[0], times.iloc[-1]) == (3, 0)


def test_without_networks_there_is_no_way_back(run) -> None:
    folder, _ = run
    both = [pd.read_csv(folder / f"{name}.csv") for name in ("with", "without")]
    whole, rest = (table[table.shows != "generation"].reset_index(drop=True) for table in both)
    assert len(rest) == len(both[1])
    pd.testing.assert_frame_equal(whole.drop(columns="method"), rest.drop(columns="method"))


def test_the_methods_of_a_primary_comparison_lead_back() -> None:
    """Or the first that learn from the two processes; none if one has none."""
    default = configuration.resolve(yaml.safe_load((ROOT / "config.yaml").read_text()))
    assert plan.forward_methods(default) == {"gmm": "ndsm_cv", "ou": "dsm"}
    # The primary comparisons of the smoke study name ndsm_flow, which has another process.
    smoke = configuration.resolve(SMOKE)
    assert plan.forward_methods(smoke) == {"gmm": "ndsm_cv_learned", "ou": "dsm"}
    raw = changed("forward.drift", "labels")
    assert plan.forward_methods(configuration.resolve(raw)) == {}
