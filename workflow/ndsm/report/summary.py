"""The summary of a study, mean and deviation over seeds: for people (Markdown), papers (LaTeX)."""

import numpy as np
import pandas as pd

from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.metrics.registry import DIAGNOSTIC, MAXIMISED
from ndsm.report.markdown_table import markdown_table
from ndsm.vocabulary import CEILING, FLOOR

# Root mean square errors of the autoencoder per pixel, where there is one.
RECONSTRUCTION = ["rmse_held_out", "rmse_seen"]


def summarise(metrics: pd.DataFrame, study: GatheredStudy) -> pd.DataFrame:
    """Mean and standard deviation over seeds, and the best method of each column.

    Columns: experiment, metric, n_train, method, mean, std (n - 1; empty for one seed), seeds,
    best. The best mean among the methods counts, per (experiment, metric, n_train), and not the
    floor or the ceiling, which are no methods. A diagnostic metric has none.
    """
    order = {
        (experiment, metric): k
        for k, (experiment, metric) in enumerate(
            (e, m)
            for e, settings in study.experiments.items()
            for m in [*settings.metrics, *RECONSTRUCTION]
        )
    }
    methods = [*study.methods, CEILING, FLOOR]
    shown = metrics[pd.MultiIndex.from_frame(metrics[["experiment", "metric"]]).isin(order)]
    keys = ["experiment", "metric", "n_train", "method"]
    grouped = shown.groupby(keys, dropna=False, sort=False)["value"]
    summary = grouped.agg(["mean", "std", "count"]).rename(columns={"count": "seeds"}).reset_index()
    sign = np.where(summary.metric.isin(MAXIMISED), -1.0, 1.0)
    ranked = ~summary.method.isin([FLOOR, CEILING]) & ~summary.metric.isin([*DIAGNOSTIC])
    loss = (sign * summary["mean"]).where(ranked)
    best = loss.groupby([summary[k] for k in keys[:3]], dropna=False).transform("min")
    summary["best"] = loss == best
    pairs = zip(summary.experiment, summary.metric, strict=True)
    rank = pd.DataFrame(
        {
            "block": [order[pair] for pair in pairs],
            "n_train": summary.n_train,
            "method": summary.method.map({m: k for k, m in enumerate(methods)}),
        }
    )
    return summary.loc[rank.sort_values(["block", "n_train", "method"]).index].reset_index(
        drop=True
    )


def cell(mean: float, std: float, scale: float = 1.0, pm: str = "±") -> str:
    """``mean ± std`` times scale, both to the second figure of the deviation."""
    mean, std = scale * mean, scale * std
    if not np.isfinite(std) or std == 0:
        return f"{mean:.3g}"
    decimals = max(0, 1 - int(f"{std:.1e}".split("e")[1]))
    return f"{mean:.{decimals}f} {pm} {std:.{decimals}f}"


def _scale(block: pd.DataFrame) -> tuple[float, int]:
    """A power of ten that spares a block of small numbers their leading zeros, and its exponent."""
    exponent = 3 if block["mean"].abs().median() < 0.05 else 0
    return 10.0**exponent, exponent


def _grid(block: pd.DataFrame, bold: str, pm: str) -> tuple[list[int], list[list[str]], int]:
    """One metric's block as text.

    Args:
        block: summary rows of one (experiment, metric).
        bold: format of the best cell, e.g. ``**{}**``.
        pm: the sign between mean and deviation.

    Returns:
        The training sizes, rows [method, cell per size] with the floor last, the scale's exponent.
    """
    scale, exponent = _scale(block)
    sizes = sorted(int(n) for n in block.n_train.dropna().unique())
    rows = []
    for method, of_method in block.groupby("method", sort=False):
        texts = {}
        for row in of_method.itertuples():
            text = cell(row.mean, row.std, scale, pm)
            texts[row.n_train] = bold.format(text) if row.best else text
        if method == FLOOR:  # the floor does not depend on the training size
            texts = dict.fromkeys(sizes, next(iter(texts.values())))
        rows.append([method, *(texts.get(n, "") for n in sizes)])
    rows.sort(key=lambda row: row[0] == FLOOR)
    return sizes, rows, exponent


EXPLANATION = (
    "Mean ± standard deviation over seeds; the best mean of each column in bold (which says "
    "nothing of significance: see the claims). The last row is the floor: real held-out data "
    "against other real held-out data. In latent space *decoded*, the training images through the "
    "autoencoder, is the ceiling of every method."
)


def _blocks(summary: pd.DataFrame) -> dict[str, dict[str, pd.DataFrame]]:
    """The summary by experiment and metric, in its own order."""
    return {
        experiment: dict(list(of_experiment.groupby("metric", sort=False)))
        for experiment, of_experiment in summary.groupby("experiment", sort=False)
    }


def markdown(summary: pd.DataFrame, study: str, accuracies: dict[str, float]) -> str:
    """summary.md: a section per experiment, a table per metric.

    Args:
        summary: see ``summarise``.
        study: its name.
        accuracies: of the evaluation classifiers on held-out images, by the name of the images.
    """
    lines = [f"# Summary: study {study}", "", EXPLANATION, ""]
    for images, accuracy in accuracies.items():
        recognised = f"recognises {accuracy:.2%} of the held-out images"
        lines += [f"The evaluation classifier of {images} {recognised}.", ""]
    for experiment, blocks in _blocks(summary).items():
        lines += [f"## {experiment}", ""]
        for metric, block in blocks.items():
            sizes, rows, exponent = _grid(block, "**{}**", "±")
            title = f"{metric} × 10^{exponent}" if exponent else metric
            if metric in MAXIMISED:
                title += " (higher is better)"
            if metric in DIAGNOSTIC:
                title += f" ({DIAGNOSTIC[metric]})"
            header = [title, *(f"n = {n}" for n in sizes)]
            lines += [*markdown_table(header, rows, numbers=True), ""]
    return "\n".join(lines)


def latex(summary: pd.DataFrame) -> str:
    """summary.tex: a booktabs table per experiment, to be input in a document with booktabs."""

    def text(words: str) -> str:
        return words.replace("_", r"\_")

    lines = [r"% needs \usepackage{booktabs}"]
    for experiment, blocks in _blocks(summary).items():
        columns = max(block.n_train.nunique() for block in blocks.values())
        caption = text(EXPLANATION).replace("±", r"$\pm$")
        lines += [r"\begin{table}", r"\centering", r"\small"]
        lines += [rf"\caption{{{text(experiment)}. {caption}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * columns}}}", r"\toprule"]
        for k, (metric, block) in enumerate(blocks.items()):
            sizes, rows, exponent = _grid(block, r"\textbf{{{}}}", r"$\pm$")
            title = text(metric) + (rf" $\times 10^{exponent}$" if exponent else "")
            header = [title, *(f"$n = {n}$" for n in sizes)]
            lines += ([r"\midrule"] if k else []) + [" & ".join(header) + r" \\", r"\midrule"]
            lines += [
                " & ".join([text(row[0]), *(c.replace("-", "$-$") for c in row[1:])]) + r" \\"
                for row in rows
            ]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)
