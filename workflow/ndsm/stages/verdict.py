"""Verdict stage: a study of one's own table -> verdict.md, the same as a page, its figures.

The answers are ``own_answers``; the page names the choices of the study and how to read it.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from matplotlib.figure import Figure
from scipy.stats import multivariate_normal
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from ndsm.artefacts import files
from ndsm.artefacts.answered_study import AnsweredStudy
from ndsm.artefacts.metric_table import COLUMNS
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import training_subset
from ndsm.report import own_answers, own_images_figure, own_page, pairs_figure, style
from ndsm.report.own_answers import MIXTURES
from ndsm.report.own_numbers import GAUSSIAN, Study
from ndsm.vocabulary import likelihood_points


def main(
    results: Annotated[Path, typer.Option(help="the study's folder, results/<study>")],
    shown: Annotated[Path, typer.Option(help="folder of claims.csv and tables/")],
    out: Annotated[Path, typer.Option(help="verdict.md")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads, help="see ``AnsweredStudy``")],
) -> None:
    """Answers the questions of who has a table, and draws its columns beside samples."""
    given, inputs = AnsweredStudy.of(spec), Inputs()
    data = results / "data" / f"{given.experiment}.safetensors"
    arrays = inputs.arrays(data, {"held_out": "m d", "pool": "n d", "mean": "d"}, spec)
    study = Study(
        sizes=given.n_train,
        methods=given.methods,
        log_prob=log_densities(inputs, results, given, arrays["held_out"].shape)
        | gaussian(arrays, given),
        metrics=inputs.table(shown / "tables" / "metrics.csv", COLUMNS),
        claims=inputs.table(shown / "claims.csv", ["role", "p_adjusted"]),
        cost=inputs.table(shown / "tables" / "cost.csv", ["drift_seconds"]),
        components=components(inputs, results, given),
        notes=given.notes,
        level=given.verdict.level,
        columns=len(given.columns),
    )
    samples = inputs.table(shown / "tables" / "samples" / f"{given.experiment}.csv")
    pictures = draw(samples, own_page.drawn(study), study.most, arrays, given.columns, out.parent)
    page = own_page.page(study, given, pictures)
    files.write_text(out.parent / "pages" / "verdict.html", page)
    files.write_text(out, own_page.markdown(study, given, pictures))
    print(own_answers.headline(study), flush=True)


def draw(
    samples: pd.DataFrame,
    methods: list[str],
    n_train: int,
    arrays: dict[str, np.ndarray],
    columns: list[str],
    folder: Path,
) -> list[Path]:
    """Draws the columns, and before them the images if there are any; gives the PNG files."""
    style.use()
    figures, place = dict[str, Figure](), folder / "figures"
    if "pixels" in arrays:
        figures["images"] = own_images_figure.images(samples, methods, n_train, arrays)
    else:
        (place / "images.png").unlink(missing_ok=True)  # of another table
    scale = arrays["mean"], arrays["deviation"]
    figures["pairs"] = pairs_figure.pairs(samples, methods, n_train, *scale, columns)
    for name, figure in figures.items():
        style.save(figure, place / name, print_too=False)
    return [place / f"{name}.png" for name in figures]


def log_densities(
    inputs: Inputs, results: Path, given: AnsweredStudy, held_out: tuple[int, ...]
) -> dict[tuple[str, int], np.ndarray]:
    """By method and training size those of all held-out rows (seeds, rows), as ``Study`` has them.

    Args:
        inputs: what the job reads.
        results: the study's folder.
        given: what the job is given.
        held_out: the shape of the held-out rows.
    """
    found: dict[tuple[str, int], dict[int, np.ndarray]] = {}
    for method in given.methods:
        for path in _parts(results / "sample", given, method):
            replicas = inputs.record(path)["spec"]["replicas"]
            own = inputs.arrays(path, {"log_prob": "R m"}, R=len(replicas))["log_prob"]
            for (n_train, seed), values in zip(replicas, own, strict=True):
                row = np.full(held_out[0], np.nan)
                row[likelihood_points(seed, *held_out)] = values
                found.setdefault((method, n_train), {})[seed] = row
    return {key: np.stack([by[seed] for seed in sorted(by)]) for key, by in found.items()}


def gaussian(
    arrays: dict[str, np.ndarray], given: AnsweredStudy
) -> dict[tuple[str, int], np.ndarray]:
    """The same of one Gaussian fitted to each replica's rows, at the largest size."""
    n_train, held_out, rows = given.n_train[-1], arrays["held_out"], list[np.ndarray]()
    for seed in range(given.seeds):
        x = training_subset(arrays, n_train, seed).astype(float)
        law = one_gaussian(x)
        asked = likelihood_points(seed, *held_out.shape)
        rows.append(np.full(len(held_out), np.nan))
        rows[-1][asked] = law.logpdf(held_out[asked])
    return {(GAUSSIAN, n_train): np.stack(rows)}


def one_gaussian(x: np.ndarray) -> Any:
    """A Gaussian fitted to rows x (n, d), with the plain or with Ledoit and Wolf's covariance.

    The one under which the last fifth of the rows, left out, is likelier: shrinking helps where
    rows are few, and hurts where columns are strongly correlated.
    """
    kept, left_out = np.split(x, [len(x) - len(x) // 5])
    fits = EmpiricalCovariance(), LedoitWolf()
    scores = [np.nan_to_num(fit.fit(kept).score(left_out), nan=-np.inf) for fit in fits]
    best = fits[int(np.argmax(scores))].fit(x)
    return multivariate_normal(best.location_, best.covariance_)


def components(
    inputs: Inputs, results: Path, given: AnsweredStudy
) -> dict[tuple[str, int], list[int]]:
    """By drift and training size the numbers of components, one for each seed."""
    found: dict[tuple[str, int], list[int]] = {}
    for drift in MIXTURES:
        for path in filter(Path.exists, _parts(results / "drift", given, drift)):
            record = inputs.record(path)
            for (n_train, _), count in zip(
                record["spec"]["replicas"], record["measured"]["n_components"], strict=True
            ):
                found.setdefault((drift, n_train), []).append(count)
    return found


def _parts(folder: Path, given: AnsweredStudy, name: str) -> list[Path]:
    """The results of a method or drift, one for each part."""
    return [folder / given.experiment / name / f"{p}.safetensors" for p in range(given.parts)]


if __name__ == "__main__":
    files.run(main)
