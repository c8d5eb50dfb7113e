"""Aggregate stage: the results of every job -> the tables of the study.

``metrics.csv`` is the whole study, tidy: one row per (experiment, method, n_train, seed, metric);
everything printed is computed from it. Rows of the floor (real held-out data against other real
held-out data) have the method ``real`` and no n_train.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ndsm.artefacts import files
from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.artefacts.reading import Inputs
from ndsm.report.experiment_tables import reached_table, variant_tables
from ndsm.report.frontier import frontier, time_to_quality
from ndsm.report.job_results import collect_cost, collect_metrics, collect_samples, of_study
from ndsm.report.summary import latex, markdown, summarise


def main(
    results: Annotated[Path, typer.Option(help="the study's folder, results/<study>")],
    out: Annotated[Path, typer.Option(help="folder of the tables")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads, help="see ``GatheredStudy``")],
) -> None:
    """Writes metrics, summary, cost, gradients, forward and samples tables."""
    study = GatheredStudy.model_validate(spec)
    inputs = Inputs()
    metrics = collect_metrics(inputs, results, study)
    summary = summarise(metrics, study)
    tables = {"metrics": metrics, "summary": summary, "cost": collect_cost(inputs, results, study)}
    for name, experiments in (("gradients", study.gradients), ("forward", study.forward)):
        if experiments:
            tables[name] = _side_study(inputs, results / name, experiments)
    if study.frontiers:
        tables["frontier"] = frontier(inputs, results, metrics, study)
        tables["time_to_quality"] = time_to_quality(tables["frontier"], study)
    variants = [e for e, settings in study.experiments.items() if settings.variant_of]
    for experiment, settings in study.experiments.items():
        for what in ("samples", "codes") if settings.latent else ("samples",):
            if experiment not in variants:
                drawn = collect_samples(inputs, results, experiment, study, what)
                tables[f"{what}/{experiment}"] = drawn
    accuracies = {name: _accuracy(inputs, results, name) for name in study.classifiers}

    whole = summary[~summary.experiment.isin(variants)]
    lines = [markdown(whole, study.study, accuracies), *variant_tables(metrics, study)]
    if "time_to_quality" in tables:
        lines += reached_table(tables["time_to_quality"], study)
    record = files.provenance(spec, inputs.digests)  # when all is read
    for name, table in tables.items():
        files.write_table(out / f"{name}.csv", table, record)
    files.write_text(out / "summary.tex", latex(whole))
    files.write_text(out / "summary.md", "\n".join(lines))
    remove_others(out, record)
    print(f"{len(metrics)} metric values, {len(summary)} summary rows in {out}", flush=True)


def _side_study(inputs: Inputs, folder: Path, experiments: dict[str, str]) -> pd.DataFrame:
    """The tables of a side study together; of each experiment the digest of its settings."""
    tables = {
        name: inputs.table(of_study(inputs, folder / f"{name}.csv", made))
        for name, made in experiments.items()
    }
    return pd.concat(tables, names=["experiment"]).reset_index("experiment")


def remove_others(tables: Path, record: dict[str, Any]) -> None:
    """Removes tables that an earlier run wrote, with their records, and this one did not.

    Args:
        tables: their folder.
        record: what the tables of this run have in their records.
    """
    for path in sorted(tables.rglob("*.csv")):
        own = files.record_path(path)
        if own.exists() and json.loads(own.read_text("utf-8")).get("spec") != record["spec"]:
            path.unlink()
            own.unlink()
            print(f"{path} is no longer of the study: removed", flush=True)


def _accuracy(inputs: Inputs, results: Path, images: str) -> float:
    """The accuracy of an evaluation classifier on held-out images."""
    path = results / "classifier" / f"{images}.safetensors"
    return inputs.record(path)["measured"]["accuracy"]


if __name__ == "__main__":
    files.run(main)
