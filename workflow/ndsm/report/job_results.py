"""What the jobs of a study measured, drew and cost, gathered into tables."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from ndsm.artefacts import files
from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.artefacts.metric_table import COLUMNS, Cell, read_cells, refuse_gaps
from ndsm.artefacts.reading import Inputs, unusable
from ndsm.artefacts.result_paths import autoencoder, fit_seconds, place
from ndsm.data.datasets import DATASETS
from ndsm.metrics.registry import METRICS
from ndsm.report.summary import RECONSTRUCTION
from ndsm.vocabulary import CEILING, FIT_SHARE, FLOOR, JOB_ALONE, UNTRAINED

POINTS, IMAGES = 2000, 100  # how much of each sample the figures get


def of_study(inputs: Inputs, path: Path, made: str) -> Path:
    """A result's path, if it was made with the settings of the study, whose digest is ``made``.

    Raises:
        Refused: it was made with others, as where the settings changed and its job did not run.
    """
    spec = inputs.record(path)["spec"]
    if files.digest({key: value for key, value in spec.items() if key not in JOB_ALONE}) != made:
        raise unusable(path, "it was made with other settings than the study has")
    return path


def _cells(inputs: Inputs, path: Path, made: str) -> pd.DataFrame:
    """The values that one job measured, with the settings of the study."""
    return read_cells(inputs, of_study(inputs, path, made))


def _parts(study: GatheredStudy, stage: str, experiment: str, name: str) -> list[Path]:
    """The results of a stage for the parts of a method or drift, below the study's folder."""
    numbers = range(study.experiments[experiment].parts)
    return [place(study, stage, experiment, name, p) for p in numbers]


def _methods(study: GatheredStudy, experiment: str) -> list[str]:
    """The methods of an experiment, and in latent space the ceiling."""
    settings = study.experiments[experiment]
    return [*settings.methods, *[CEILING] * settings.latent]


def collect_metrics(inputs: Inputs, results: Path, study: GatheredStudy) -> pd.DataFrame:
    """Every metric value of the study, tidy (``COLUMNS``), n_train nullable.

    Raises:
        Refused: a value that is not finite, a value twice, a method without one of the metrics.
    """
    tables: list[pd.DataFrame] = []
    derived: list[tuple] = []
    for experiment, settings in study.experiments.items():
        # A result may be another experiment's or method's, which it shares.
        paths = [(FLOOR, place(study, "evaluate", experiment, FLOOR, 0))]
        for method in _methods(study, experiment):
            paths += [(method, path) for path in _parts(study, "evaluate", experiment, method)]
            for part in range(settings.parts):
                derived += _drift_share(inputs, results, experiment, method, part, study)
        derived += _reconstruction(inputs, results, experiment, study)
        tables += [
            _cells(inputs, results / path.with_suffix(".csv"), settings.made[method]).assign(
                experiment=experiment, method=method
            )
            for method, path in paths
        ]
    tables += _scores(inputs, results, study)
    tables += [
        _cells(inputs, results / "gradients" / f"{e}.metrics.csv", made)
        for e, made in study.gradients.items()
    ]
    if derived:
        tables.append(pd.DataFrame(derived, columns=COLUMNS).astype({"n_train": "Int64"}))
    metrics = pd.concat(tables, ignore_index=True)[COLUMNS]
    refuse_gaps(metrics, _planned(study))
    return metrics


def _planned(study: GatheredStudy) -> set[Cell]:
    """The cells that the evaluation fills, the floor aside."""
    return {
        (experiment, method, n_train, seed, metric)
        for experiment, settings in study.experiments.items()
        for method in _methods(study, experiment)
        for n_train in settings.n_train
        for seed in range(settings.seeds)
        for metric in settings.metrics
        if method != CEILING or METRICS[metric].of != "model"
    }


def _scores(inputs: Inputs, results: Path, study: GatheredStudy) -> list[pd.DataFrame]:
    """The errors of the trained scores, where they are studied."""
    if not (score := study.score):
        return []
    experiment = score.experiment
    parts = range(study.experiments[experiment].parts)
    return [
        _cells(inputs, results / "score" / experiment / method / f"{part}.csv", made).assign(
            experiment=experiment
        )
        for method, made in score.methods.items()
        for part in parts
    ]


def _reconstruction(
    inputs: Inputs, results: Path, experiment: str, study: GatheredStudy
) -> list[tuple]:
    """Rows of the errors of an experiment's autoencoders, per pixel of held-out and seen images."""
    settings = study.experiments[experiment]
    if not settings.autoencoders:
        return []
    rows = []
    seeds = range(1 if settings.autoencoders == "all" else settings.seeds)
    for n_train, seed in itertools.product(settings.n_train, seeds):
        path = results / autoencoder(study, experiment, n_train, seed)
        measured = inputs.record(path)["measured"]
        rows += [
            (experiment, CEILING, n_train, seed, metric, measured[metric])
            for metric in RECONSTRUCTION
        ]
    return rows


def _drift_share(
    inputs: Inputs,
    results: Path,
    experiment: str,
    method: str,
    part: int,
    study: GatheredStudy,
) -> list[tuple]:
    """Rows of ``FIT_SHARE``: a replica's drift fit over its training, in seconds.

    The replicas of a stack train together, so each is charged an equal share of the stack's time.
    Alone it would train for longer; the ratio errs against the drift.
    """
    train = results / place(study, "train", experiment, method, part)
    if not study.is_trained(method):
        return []
    record = inputs.record(train)
    replicas = record["spec"]["replicas"]
    share = record["measured"]["seconds"] / len(replicas)
    seconds = fit_seconds(inputs, results, study, experiment, method, part)
    return [
        (experiment, method, n_train, seed, FIT_SHARE, fit / share)
        for (n_train, seed), fit in zip(replicas, seconds, strict=True)
    ]


def collect_cost(inputs: Inputs, results: Path, study: GatheredStudy) -> pd.DataFrame:
    """Cost per (experiment, method), over all its replicas unless said otherwise.

    Columns: replicas; drift_seconds, training_seconds, sampling_seconds (sums); peak_memory_mb (the
    largest of training and sampling jobs); parameters and training_evaluations (per replica);
    sampling_evaluations (per sample); sampling_seconds_per_10000 (samples, decoding included). What
    a method does not have (a network) is 0. runaways: samples beyond 100 deviations of the data.
    """
    rows = []
    for experiment, settings in study.experiments.items():
        for method in [m for m in settings.methods if not m.endswith(UNTRAINED)]:
            fits = [
                seconds
                for part in range(settings.parts)
                for seconds in fit_seconds(inputs, results, study, experiment, method, part)
            ]
            sample = _measured(inputs, results, _parts(study, "sample", experiment, method))
            train = []
            if study.is_trained(method):
                train = _measured(inputs, results, _parts(study, "train", experiment, method))
            first = results / place(study, "sample", experiment, method, 0)
            drawn = len(fits) * inputs.record(first)["spec"]["sampling"]["samples"]
            seconds = sum(part["seconds"] for part in sample)
            rows.append(
                {
                    "experiment": experiment,
                    "method": method,
                    "replicas": len(fits),
                    "drift_seconds": sum(fits),
                    "training_seconds": sum(part["seconds"] for part in train),
                    "sampling_seconds": seconds,
                    "peak_memory_mb": max(part["peak_memory_mb"] for part in train + sample),
                    "parameters": train[0]["parameters"] if train else 0,
                    "training_evaluations": train[0]["network_evaluations"] if train else 0,
                    "sampling_evaluations": sample[0].get("network_evaluations", 0),
                    "sampling_seconds_per_10000": seconds / drawn * 10_000,
                    "runaways": sum(sum(part["runaways"]) for part in sample),
                }
            )
    return pd.DataFrame(rows).round(3)


def _measured(inputs: Inputs, results: Path, parts: list[Path]) -> list[dict[str, Any]]:
    """What the jobs of a stage measured."""
    return [inputs.record(results / part)["measured"] for part in parts]


def collect_samples(
    inputs: Inputs, results: Path, experiment: str, study: GatheredStudy, name: str = "samples"
) -> pd.DataFrame:
    """Points for the figures: method (``data``: held out), n_train, seed and x0, x1 and so on.

    The first points of seed 0 of each training size: not chosen by how they look. Of
    ``codes``, the data are those of the training images (``decoded``): each replica has its own.
    """
    dataset = DATASETS[study.experiments[experiment].dataset["name"]]
    count = IMAGES if dataset.image and name == "samples" else POINTS
    frames = []
    if name == "samples":
        with safe_open(inputs.whole(results / place(study, "data", experiment)), "numpy") as data:
            held_out = data.get_slice("held_out")
            shown = min(count, held_out.get_shape()[0])
            frames.append(_points(held_out[:shown], "data", None, None))
    for method in _methods(study, experiment):
        for part in _parts(study, "sample", experiment, method):
            replicas = inputs.record(path := results / part)["spec"]["replicas"]
            firsts = {r: n_train for r, (n_train, seed) in enumerate(replicas) if seed == 0}
            if not firsts:
                continue
            with safe_open(inputs.whole(path), "numpy") as tensors:
                samples = tensors.get_slice(name)
                shown = min(count, samples.get_shape()[1])
                points = {n_train: samples[r, :shown] for r, n_train in firsts.items()}
            frames += [_points(x, method, n_train, 0) for n_train, x in points.items()]
    return pd.concat(frames, ignore_index=True)


def _points(x: np.ndarray, method: str, n_train: int | None, seed: int | None) -> pd.DataFrame:
    x = x.reshape(len(x), -1).astype(float).round(4)
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(x.shape[1])])
    for k, (name, value) in enumerate([("n_train", n_train), ("seed", seed)]):
        frame.insert(k, name, pd.array([value] * len(x), dtype="Int64"))
    frame.insert(0, "method", method)
    return frame
