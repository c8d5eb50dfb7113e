"""Aggregate stage: the results of every job -> the tables of the study.

``metrics.csv`` is the whole study, tidy: one row per (experiment, method, n_train, seed, metric);
everything printed is computed from it. Rows of the floor (real held-out data against other real
held-out data) have the method ``real`` and no n_train.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from safetensors import safe_open

from ndsm import store
from ndsm.datasets import DATASETS
from ndsm.summary import FLOOR, Spec, latex, markdown, summarise

KEYS = ["experiment", "method", "n_train", "seed", "metric"]
POINTS, IMAGES = 2000, 100  # how much of each sample the figures get


def main(
    results: Annotated[Path, typer.Option(help="the study's folder, results/<study>")],
    out: Annotated[Path, typer.Option(help="folder of the tables")],
    spec: Annotated[
        dict,
        typer.Option(
            parser=json.loads,
            help="study; methods {M: {drift}}; classifiers [I]; gradients [E]; forward [E]; "
            "experiments {E: {dataset, methods, parts, metrics}}",
        ),
    ],
) -> None:
    """Writes metrics, summary, cost, gradients, forward and samples tables."""
    record = store.provenance(spec)
    metrics = collect_metrics(results, spec)
    store.write_table(out / "metrics.csv", metrics, record)

    summary = summarise(metrics, spec)
    store.write_table(out / "summary.csv", summary, record)
    eyes = {name: _accuracy(results, name) for name in spec.get("classifiers", [])}
    store.write_text(out / "summary.md", markdown(summary, spec["study"], eyes))
    store.write_text(out / "summary.tex", latex(summary))

    store.write_table(out / "cost.csv", collect_cost(results, spec), record)
    for name in ("gradients", "forward"):
        if experiments := spec.get(name):
            tables = {e: pd.read_csv(results / name / f"{e}.csv") for e in experiments}
            table = pd.concat(tables, names=["experiment"]).reset_index("experiment")
            store.write_table(out / f"{name}.csv", table, record)
    for experiment in spec["experiments"]:
        samples = collect_samples(results, experiment, spec)
        store.write_table(out / "samples" / f"{experiment}.csv", samples, record)
    print(f"{len(metrics)} metric values, {len(summary)} summary rows in {out}", flush=True)


def _accuracy(results: Path, images: str) -> float:
    """The accuracy of an evaluation classifier on held-out images."""
    path = results / "classifier" / f"{images}.safetensors"
    return store.read_record(path)["measured"]["accuracy"]


def _parts(spec: Spec, experiment: str, method: str) -> list[str]:
    """Paths of a method's parts below a stage's folder, without ending."""
    return [f"{experiment}/{method}/{p}" for p in range(spec["experiments"][experiment]["parts"])]


def collect_metrics(results: Path, spec: Spec) -> pd.DataFrame:
    """Every metric value of the study, tidy (columns ``KEYS`` and value), n_train nullable.

    Raises:
        Refused: a value that is not finite, a value twice, a method without one of the metrics.
    """
    paths, derived = [], []
    for experiment, settings in spec["experiments"].items():
        for method in settings["methods"]:
            parts = _parts(spec, experiment, method)
            paths += [results / "evaluate" / f"{part}.csv" for part in parts]
            derived += [row for part in parts for row in _drift_share(results, part, spec)]
        paths.append(results / "evaluate" / experiment / FLOOR / "0.csv")
    paths += [results / "score" / f"{part}.csv" for part in spec.get("score", [])]
    paths += [results / "gradients" / f"{e}.metrics.csv" for e in spec.get("gradients", [])]
    tables = [pd.read_csv(path, dtype={"n_train": "Int64"}) for path in paths]
    if derived:
        tables.append(pd.DataFrame(derived, columns=[*KEYS, "value"]).astype({"n_train": "Int64"}))
    metrics = pd.concat(tables, ignore_index=True)[[*KEYS, "value"]]

    bad = metrics[~np.isfinite(metrics.value.astype(float)) | metrics.duplicated(KEYS)]
    if len(bad):
        raise store.Refused(f"not finite, or given twice: {bad.iloc[0].to_dict()}")
    present = set(metrics[["experiment", "method", "metric"]].itertuples(index=False, name=None))
    for experiment, settings in spec["experiments"].items():
        for method in [*settings["methods"], FLOOR]:
            for metric in settings["metrics"]:
                # A density gap and the like compare with the truth: the data have no floor there.
                if method != FLOOR and (experiment, method, metric) not in present:
                    raise store.Refused(f"{experiment}: no values of {metric} for {method}")
    return metrics


def _drift_share(results: Path, part: str, spec: Spec) -> list[tuple]:
    """Rows of ``drift_over_training``: a replica's drift fit over its training, in seconds.

    The replicas of a stack train together, so each is charged an equal share of the stack's time.
    Alone it would train for longer; the ratio errs against the drift.
    """
    experiment, method, number = part.split("/")
    train = results / "train" / f"{part}.safetensors"
    if not store.record_path(train).exists():  # a method without a network
        return []
    fit = results / "drift" / experiment / _drift(spec, method) / f"{number}.safetensors"
    record = store.read_record(train)
    replicas = record["spec"]["replicas"]
    share = record["measured"]["seconds"] / len(replicas)
    seconds = store.read_record(fit)["measured"]["fit_seconds"]
    return [
        (experiment, method, n_train, seed, "drift_over_training", fit_seconds / share)
        for (n_train, seed), fit_seconds in zip(replicas, seconds, strict=True)
    ]


def _drift(spec: Spec, method: str) -> str:
    return spec["methods"][method]["drift"]


def collect_cost(results: Path, spec: Spec) -> pd.DataFrame:
    """Cost per (experiment, method), over all its replicas unless said otherwise.

    Columns: replicas; drift_seconds, training_seconds, sampling_seconds (sums); peak_memory_mb (the
    largest of training and sampling jobs); parameters and training_evaluations (per replica);
    sampling_evaluations (per sample). What a method does not have (a network) is 0.
    """
    rows = []
    for experiment, settings in spec["experiments"].items():
        for method in settings["methods"]:
            drift_name, parts = _drift(spec, method), _parts(spec, experiment, method)
            drift = _measured(results / "drift", _parts(spec, experiment, drift_name))
            train, sample = (
                _measured(results / "train", parts),
                _measured(results / "sample", parts),
            )
            rows.append(
                {
                    "experiment": experiment,
                    "method": method,
                    "replicas": sum(len(part["fit_seconds"]) for part in drift),
                    "drift_seconds": sum(sum(part["fit_seconds"]) for part in drift),
                    "training_seconds": sum(part["seconds"] for part in train),
                    "sampling_seconds": sum(part["seconds"] for part in sample),
                    "peak_memory_mb": max(part["peak_memory_mb"] for part in train + sample),
                    "parameters": train[0]["parameters"] if train else 0,
                    "training_evaluations": train[0]["network_evaluations"] if train else 0,
                    "sampling_evaluations": sample[0].get("network_evaluations", 0),
                }
            )
    return pd.DataFrame(rows).round(3)


def _measured(stage: Path, parts: list[str]) -> list[dict[str, Any]]:
    """What the jobs of a stage measured, for those parts that have such a job."""
    paths = [stage / f"{part}.safetensors" for part in parts]
    return [store.read_record(p)["measured"] for p in paths if store.record_path(p).exists()]


def collect_samples(results: Path, experiment: str, spec: Spec) -> pd.DataFrame:
    """Points for the figures: method (``data``: held out), n_train, seed and x0, x1 and so on.

    The first points of the smallest seed of each training size: not chosen by how they look.
    """
    dataset = DATASETS[spec["experiments"][experiment]["dataset"]["name"]]
    count = IMAGES if dataset.image else POINTS
    with safe_open(results / "data" / f"{experiment}.safetensors", "numpy") as data:
        held_out = data.get_slice("held_out")
        shown = min(count, held_out.get_shape()[0])
        frames = [_points(held_out[:shown], "data", None, None)]
    for method in spec["experiments"][experiment]["methods"]:
        first: dict[int, tuple[int, np.ndarray]] = {}
        for part in _parts(spec, experiment, method):
            path = results / "sample" / f"{part}.safetensors"
            with safe_open(path, "numpy") as tensors:
                samples = tensors.get_slice("samples")
                shown = min(count, samples.get_shape()[1])
                for r, (n_train, seed) in enumerate(store.read_record(path)["spec"]["replicas"]):
                    if n_train not in first or seed < first[n_train][0]:
                        first[n_train] = (seed, samples[r, :shown])
        frames += [_points(x, method, n_train, seed) for n_train, (seed, x) in first.items()]
    return pd.concat(frames, ignore_index=True)


def _points(x: np.ndarray, method: str, n_train: int | None, seed: int | None) -> pd.DataFrame:
    x = x.reshape(len(x), -1).astype(float).round(4)
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(x.shape[1])])
    for k, (name, value) in enumerate([("n_train", n_train), ("seed", seed)]):
        frame.insert(k, name, pd.array([value] * len(x), dtype="Int64"))
    frame.insert(0, "method", method)
    return frame


if __name__ == "__main__":
    store.run(main)
