"""The classifier and the evaluation of a part: right values in right rows, bad samples refused."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.random import default_rng

from ndsm.artefacts import files
from ndsm.artefacts.reading import Inputs
from ndsm.data import images, laws
from ndsm.data.training_subset import training_subset
from ndsm.errors import Refused
from ndsm.metrics import classifier, registry
from ndsm.stages import data, evaluate
from ndsm.stages.classifier import main as train_classifier

COLUMNS = ["experiment", "method", "n_train", "seed", "metric", "value"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data of a planar experiment and of digits, with the classifier of the latter."""
    folder = tmp_path_factory.mktemp("study")
    planar = {"name": "weighted_modes", "pool": 500, "held_out": 400}
    for name, dataset in {"planar": planar, "digits": {"name": "digits"}}.items():
        spec = {"experiment": name, "dataset": dataset, "samples": 300, "split": "test"}
        data.main(folder / f"{name}.safetensors", spec)
    train_classifier(folder / "eye.safetensors", {"dataset": {"name": "digits"}})
    return folder


def run(folder, name, metric_names, samples=None, replicas=(), eye=None, coders=(), **more):
    """Evaluates samples (R, n, d) of the method m, or real data where there are none.

    ``more`` are further tensors of their file, ``coders`` the files of the autoencoders.
    """
    data_path, path = folder / f"{name}.safetensors", None
    spec = Inputs().record(data_path)["spec"] | {"method": "real", "metrics": metric_names}
    if samples is not None:
        path = folder / "samples.safetensors"
        arrays = {"samples": samples, **more}
        tensors = {key: torch.tensor(x, dtype=torch.float32) for key, x in arrays.items()}
        files.write_tensors(path, tensors, {})
        spec |= {"method": "m", "replicas": replicas}
    told = [data_path, folder / "out.csv", spec, path, eye]
    evaluate.main(*told, list(coders))
    return pd.read_csv(folder / "out.csv", dtype={"n_train": "Int64"})


def test_rows_belong_to_their_replicas(folder):
    """Three replicas, the second spoiled: it stands out in its own row and in no other."""
    held_out = Inputs().tensors(folder / "planar.safetensors")["held_out"].numpy()
    samples = np.stack([laws.weighted_modes().sample(300, default_rng(i))[0] for i in range(3)])
    samples[1] += 2
    replicas = [[50, 0], [50, 1], [200, 0]]
    names = ["energy_distance", "sliced_wasserstein", "mode_tv", "log_density_gap"]
    table = run(folder, "planar", names, samples, replicas)
    assert list(table) == COLUMNS and len(table) == 12
    assert table.experiment.eq("planar").all() and table.method.eq("m").all()
    wide = table.pivot(index=["n_train", "seed"], columns="metric", values="value")
    assert list(wide.index) == [tuple(pair) for pair in replicas]
    assert (wide.idxmax() == (50, 1)).all()
    expected = registry.energy_distance(samples[2].astype(np.float32), held_out)
    assert wide.energy_distance[200, 0] == pytest.approx(expected, rel=1e-6)
    log_density = laws.weighted_modes().log_density
    gap = abs(log_density(held_out).mean() - log_density(samples[1]).mean())
    assert wide.log_density_gap[50, 1] == pytest.approx(gap, rel=1e-4)
    assert Inputs().record(folder / "out.csv")["measured"]["seconds"] > 0


def test_floor(folder):
    table = run(folder, "planar", ["energy_distance", "mode_tv"])
    assert table.method.eq("real").all() and table.n_train.isna().all()
    assert sorted(set(table.seed)) == [0, 1, 2, 3, 4] and len(table) == 10
    floor = table[table.metric == "energy_distance"].value
    assert floor.abs().max() < 0.02  # 300 against 400 points of one law


def test_likelihoods_of_models_and_of_real_data(folder):
    """A model whose density is the true one times 0.8 is off by log 1.25; real data are not.

    Each seed has a block of held-out points of its own, 1,000 of 2,500; the third begins anew.
    """
    dataset = {"name": "weighted_modes", "pool": 500, "held_out": 2500}
    spec = {"experiment": "many", "dataset": dataset, "samples": 300, "split": "test"}
    data.main(folder / "many.safetensors", spec)
    held_out = Inputs().tensors(folder / "many.safetensors")["held_out"].numpy()
    truth = laws.weighted_modes().log_density(held_out)
    own = np.stack([truth[:1000], truth[1000:2000], np.roll(truth, 500)[:1000]])
    log_prob = own + np.log([[1.0], [0.8], [1.0]])
    names, replicas = ["kl", "nll", "mode_shape"], [[50, seed] for seed in range(3)]
    table = run(folder, "many", names, np.stack([held_out] * 3), replicas, log_prob=log_prob)
    wide = table.pivot(index="seed", columns="metric", values="value")
    np.testing.assert_allclose(wide.kl, [0, np.log(1.25), 0], atol=1e-5)
    np.testing.assert_allclose(wide.nll, -own.mean(1) + wide.kl, atol=1e-5)
    assert np.ptp(own.mean(1)) > 1e-3 and (wide.mode_shape < 1e-5).all()
    floor = run(folder, "many", names).pivot(index="seed", columns="metric", values="value")
    assert "kl" not in floor  # the true density has no divergence from itself
    assert len(floor) == 5 and (floor.mode_shape > 0.05).all()
    np.testing.assert_allclose(floor.nll[:3], -own.mean(1), rtol=1e-6)


def test_real_data_have_no_density_that_is_not_known(folder):
    dataset = {"name": "pinwheel", "pool": 50, "held_out": 50}
    spec = {"experiment": "arms", "dataset": dataset, "samples": 40, "split": "test"}
    data.main(folder / "arms.safetensors", spec)
    assert set(run(folder, "arms", ["nll", "mode_tv"]).metric) == {"mode_tv"}
    drawn = {"samples": np.zeros((1, 40, 2)), "replicas": [[9, 0]]}
    table = run(folder, "arms", ["nll", "mode_tv"], **drawn, log_prob=np.full((1, 50), -2.0))
    assert table.set_index("metric").value["nll"] == 2


def test_codes_are_compared_with_those_of_the_replicas_own_autoencoder(folder):
    """Two autoencoders whose codes differ by a shift: taken for each other they are far off."""
    rng, paths = default_rng(0), []
    for k in range(2):
        paths.append(folder / f"codes{k}.safetensors")
        held_out = torch.tensor(rng.standard_normal((397, 3)) + 5 * k).float()
        files.write_tensors(paths[-1], {"held_out": held_out}, {})
    codes = rng.standard_normal((2, 300, 3)) + 5 * np.arange(2)[:, None, None]
    blank, replicas = np.zeros((2, 300, 64)), [[9, 0], [9, 1]]
    eye, names = folder / "eye.safetensors", ["codes_energy_distance", "nearest_ratio"]
    drawn = "digits", names[:1], blank, replicas, eye, paths
    assert (run(folder, *drawn, codes=codes).value.abs() < 0.03).all()
    assert (run(folder, *drawn, codes=codes[::-1].copy()).value > 1).all()
    assert run(folder, "digits", names, eye=eye).empty  # real data have neither


def test_classifier_and_image_metrics(folder):
    eye = folder / "eye.safetensors"
    accuracy = Inputs().record(eye)["measured"]["accuracy"]
    assert accuracy > 0.95  # 0.985 on 397 images, whose own standard error is 0.006
    tensors = Inputs().tensors(folder / "digits.safetensors")
    seen = classifier.see(classifier.load(Inputs(), eye), tensors["held_out"].numpy())
    assert seen.features.shape == (397, 64)
    np.testing.assert_allclose(seen.probabilities.sum(1), 1, rtol=1e-5)
    guessed = seen.probabilities.argmax(1)
    assert (guessed == tensors["held_out_labels"].numpy()).mean() == pytest.approx(accuracy)

    names = ["fid", "inception_score", "class_tv", "memorisation"]
    floor = run(folder, "digits", names, eye=eye).groupby("metric").value.mean()
    assert floor.inception_score > 7 and floor.class_tv < 0.1 and floor.memorisation < 0.02

    copies = training_subset(tensors, 100, seed=2).numpy()
    noise = default_rng(0).uniform(size=(100, 64))
    sevens = tensors["pool"][tensors["pool_labels"] == 7][:100].numpy()
    sevens = np.concatenate([sevens, sevens])[:100]
    samples = np.stack([copies + 1e-4, noise, sevens])
    table = run(folder, "digits", names, samples, [[100, 2], [90, 2], [100, 3]], eye)
    wide = table.pivot(index=["n_train", "seed"], columns="metric", values="value")
    copied, noisy, one = (wide.loc[replica] for replica in ((100, 2), (90, 2), (100, 3)))
    assert copied["memorisation"] == 1 and noisy["memorisation"] == 0
    assert noisy["fid"] > 5 * copied["fid"] > floor.fid
    assert one["class_tv"] > 0.8 and one["inception_score"] < 2


def test_classes_in_unequal_shares(folder):
    """Samples with the true shares are near the floor; with equal ones they are not."""
    dataset = {"name": "digits", "shares": [0.7, 0.2, 0.1]}
    spec = {"experiment": "rare", "dataset": dataset, "samples": 100, "split": "test"}
    data.main(folder / "rare.safetensors", spec)
    tensors = Inputs().tensors(folder / "rare.safetensors")
    pool, labels = tensors["pool"].numpy(), tensors["pool_labels"].numpy()
    equal = np.concatenate([pool[labels == c][:10] for c in range(3)])
    true = np.concatenate([pool[labels == c][:n] for c, n in enumerate((21, 6, 3))])
    names, eye = ["class_tv", "rare_gap", "rare_fid"], folder / "eye.safetensors"
    table = run(folder, "rare", names, np.stack([equal, true]), [[9, 0], [9, 1]], eye)
    wide = table.pivot(index="seed", columns="metric", values="value")
    assert wide.class_tv[0] > 0.3 and wide.class_tv[1] < 0.1
    assert wide.rare_gap[0] > 2 and wide.rare_gap[1] < 0.3
    shares = [wide[f"class_share_{c}"][0] for c in range(3)]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)  # but for a mistake of the classifier
    np.testing.assert_allclose(wide[[f"class_share_{c}" for c in range(10)]].sum(axis=1), 1)


@pytest.mark.parametrize("shares", [[0.6, 0.202, 0.198], [0.198, 0.6, 0.202]])
def test_the_rarest_class_is_that_of_the_settings(folder, shares):
    """Two classes as good as equal: of the held-out images the other one is the rarer."""
    dataset = {"name": "digits", "shares": shares}
    spec = {"experiment": "near", "dataset": dataset, "samples": 100, "split": "test"}
    data.main(folder / "near.safetensors", spec)
    counts = Inputs().tensors(folder / "near.safetensors")["held_out_labels"].bincount()
    assert len(set(counts.tolist())) < 3 or counts.argmin() != np.argmin(shares)
    floor = run(folder, "near", ["rare_fid", "rare_gap"], eye=folder / "eye.safetensors")
    wide = floor.pivot(index="seed", columns="metric", values="value")
    assert (wide.rare_fid < 200).all() and (wide.rare_gap < 0.5).all()  # the wrong class: 700


def test_branches_of_a_symmetry(folder):
    """The classifier sees upright images; a model that makes one branch alone is found out."""
    dataset = {"name": "digits", "symmetry": {"share": 0.4, "departure": 0.4}}
    spec = {"experiment": "mirror", "dataset": dataset, "samples": 300, "split": "test"}
    data.main(folder / "mirror.safetensors", spec)
    pool = Inputs().tensors(folder / "mirror.safetensors")["pool"].numpy()
    upright = pool[~images.is_inverted(pool)][:300]
    names, eye = ["fid_upright", "fid_inverted", "branch_tv", "departure_gap"], "eye.safetensors"
    samples = np.stack([pool[:300], upright])
    table = run(folder, "mirror", names, samples, [[9, 0], [9, 1]], folder / eye)
    wide = table.pivot(index="seed", columns="metric", values="value")
    floor = run(folder, "mirror", names, eye=folder / eye).groupby("metric").value.mean()
    assert (wide.loc[0] < 3 * floor + 0.05).all()
    assert wide.branch_tv[1] > 0.3 and wide.departure_gap[1] > 0.2
    assert wide.fid_inverted[1] > 2 * wide.fid_inverted[0]


def test_images_are_clipped(folder):
    """Values outside the range of pixels cost nothing: white is white."""
    held_out = Inputs().tensors(folder / "digits.safetensors")["held_out"].numpy()
    beyond = held_out + (held_out == 1) - (held_out == 0)
    table = run(folder, "digits", ["energy_distance"], np.stack([held_out, beyond]), [[9, 0]] * 2)
    assert table.value[0] == table.value[1]


def test_classifier_takes_images_of_other_sizes():
    for side in (8, 14, 28):
        seen = classifier.see(classifier.build(3).eval(), default_rng(0).uniform(size=(5, side**2)))
        assert seen.features.shape == (5, 64) and seen.probabilities.shape == (5, 3)


def test_unusable_input_is_refused(folder):
    with pytest.raises(Refused, match=r"\(2, 30, 2\), not \(R n d\) with R = 1, d = 2"):
        run(folder, "planar", ["energy_distance"], np.zeros((2, 30, 2)), [[50, 0]])
    with pytest.raises(Refused, match="--classifier"):
        run(folder, "digits", ["fid"], np.zeros((1, 30, 64)), [[50, 0]])
    spec = Inputs().record(folder / "planar.safetensors")["spec"] | {
        "method": "m",
        "metrics": [],
    }
    with pytest.raises(Refused, match="--samples"):
        evaluate.main(folder / "planar.safetensors", folder / "out.csv", spec)


def test_command_starts_only_what_it_uses(folder):
    """One process for each method: for vectors it loads neither torch nor SciPy."""
    spec = Inputs().record(folder / "planar.safetensors")["spec"]
    spec |= {"method": "real", "metrics": ["energy_distance", "mode_tv"]}
    out = folder / "command.csv"
    code = (
        "import sys, json; from pathlib import Path; from ndsm.stages import evaluate;"
        "evaluate.main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]));"
        "print(json.dumps(list(sys.modules)))"
    )
    arguments = [str(folder / "planar.safetensors"), str(out), json.dumps(spec)]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, check=True, text=True
    )
    modules = json.loads(result.stdout.splitlines()[-1])
    assert not {"torch", "sklearn", "scipy", "ot"} & set(modules)
    assert list(pd.read_csv(out)) == COLUMNS


def test_samples_that_ran_away_are_refused_by_name(folder):
    """Finite, but their squares are not in single precision: no NaN may reach a table."""
    samples = np.zeros((1, 50, 2), np.float32)
    samples[0, 3] = 1e30
    with pytest.raises(Refused, match=r"energy_distance of n_train=50, seed=2.*learning_rate"):
        run(folder, "planar", ["energy_distance"], samples, [[50, 2]])
