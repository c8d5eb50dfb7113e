"""Figures of runs that differ in one setting: budget, steps of the sampler, components."""

from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from ndsm.artefacts.reading import read_table
from ndsm.report import style
from ndsm.report.metric_figures import NULLS, curve, read_metrics
from ndsm.report.style import Look
from ndsm.vocabulary import CEILING, FLOOR, UNTRAINED

Spec = dict[str, Any]

VARIED = {"budgets": "network evaluations", "components": "components of the drift's mixture"}
SAMPLING = "sampling_evaluations"
COSTS = {
    "seconds": "s of training and fit",
    "network_evaluations": "network evaluations",
    SAMPLING: "evaluations per sample",
}


def frontier(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Quality against training time, network evaluations, and, if they vary, those of sampling.

    At the largest training size with several budgets. A dot is the mean over seeds of a training of
    its own; the band goes from the best to the worst seed. A method without a network is a line.
    """
    runs, own = read_table(tables / "frontier.csv"), spec["frontiers"][experiment]
    runs = runs[runs.experiment == experiment]
    runs = runs[runs.n_train == runs[runs.run != experiment].n_train.max()]
    real = read_metrics(tables).query("experiment == @experiment")
    shown = [m for m in (*own["thresholds"], "inception_score") if m in set(runs.metric)]
    costs = {k: v for k, v in COSTS.items() if k != SAMPLING or len(own["steps"]) > 1}
    size = style.WIDTH, 2.4 * len(shown) + 0.6
    figure, axes = plt.subplots(len(shown), len(costs), figsize=size, squeeze=False, sharey="row")
    for row, metric in zip(axes, shown, strict=True):
        of = runs[runs.metric == metric]
        measured = real[real.metric == metric]
        floor = measured.loc[measured.method == FLOOR, "value"].to_numpy()
        at_size = measured[(measured.method == CEILING) & (measured.n_train == of.n_train.iloc[0])]
        for panel, (cost, label) in zip(row, costs.items(), strict=True):
            names = own["steps" if cost == SAMPLING else "budgets"]
            style.draw_floor(panel, floor)
            if len(at_size):
                height = at_size.value.mean()
                panel.axhline(height, color="black", lw=1, ls=(0, (4, 2)), label=CEILING)
            for method in spec["experiments"][experiment]["methods"]:
                mine = of[(of.method == method) & of.run.isin(names)]
                _line(panel, mine, cost, look[method], method)
            panel.set_xscale("log")
            trained = of[of.run.isin(names) & (of.network_evaluations > 0)]
            if cost == SAMPLING:
                style.plain_ticks(panel.xaxis, FixedLocator([2, 5, 10, 20, 50, 100]))
            else:
                style.log_ticks(panel.xaxis, trained[cost].to_numpy())
            panel.set_xlabel(label)
        style.value_axis(row[0], metric, of.value.to_numpy(), floor)
        row[0].set_ylabel(style.LABELS[metric])
    figure.suptitle(f"{experiment}, {runs.n_train.iloc[0]} training points", fontsize=8.5)
    style.legend(figure, axes.flat, columns=4)
    return figure


def _line(panel: Axes, rows: pd.DataFrame, cost: str, look: Look, label: str) -> None:
    """One method: its means over seeds, joined, with a band; a level where it has no network."""
    label = NULLS if label.endswith(UNTRAINED) else label
    drawn: dict[str, Any] = {"color": look.color, "ls": look.linestyle, "label": label}
    if not rows.network_evaluations.any():
        panel.axhline(rows.value.mean(), lw=0.9, **drawn)
        return
    over = rows.groupby("run").agg(
        at=(cost, "mean"), mean=("value", "mean"), low=("value", "min"), high=("value", "max")
    )
    over = over.sort_values("at")
    panel.plot(over["at"], over["mean"], marker=look.marker, **drawn)
    panel.fill_between(over["at"], over.low, over.high, color=look.color, alpha=0.1, lw=0)


def varied(kind: str, tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Quality, and where it is measured the distance to the training images, against a setting.

    A column for each training size with several runs. A dot is the mean over seeds of a training of
    its own; the band goes from the best to the worst seed. Beside budgets stand, as lines, the
    untrained models.
    """
    runs, settings = spec["varied"][experiment][kind], spec["experiments"]
    metrics = read_metrics(tables)
    rows = metrics.assign(at=metrics.experiment.map(runs)).dropna(subset=["at", "n_train"])
    several = rows.groupby("n_train").experiment.nunique()
    sizes = [int(n) for n in several.index[several > 1]]
    measured = settings[experiment]["metrics"]
    shown = [m for m in (measured[0], "nearest_ratio") if m in measured]
    per_method = rows.groupby("method").experiment.nunique()
    trained = set(per_method.index[per_method > 1]) if kind == "budgets" else set()
    figure, axes = plt.subplots(
        len(shown),
        len(sizes),
        figsize=(style.WIDTH, 2.2 * len(shown) + 0.6),
        squeeze=False,
        sharex=True,
        sharey="row",
    )
    for row, metric in zip(axes, shown, strict=True):
        of = rows[rows.metric == metric]
        real = metrics[(metrics.experiment == experiment) & (metrics.metric == metric)]
        floor = real.loc[real.method == FLOOR, "value"].to_numpy()
        for panel, n_train in zip(row, sizes, strict=True):
            style.draw_floor(panel, floor)
            for method in settings[experiment]["methods"]:
                mine = of[(of.method == method) & (of.n_train == n_train)]
                if mine.experiment.nunique() > 1:
                    curve(panel, mine, "at", "value", look[method], method)
                elif len(mine) and method.removesuffix(UNTRAINED) in trained:
                    ink = {"color": look[method].color, "ls": look[method].linestyle, "lw": 0.9}
                    panel.axhline(mine.value.mean(), label=NULLS, **ink)
            panel.set_xscale("log")
            style.plain_ticks(panel.xaxis, FixedLocator(sorted(runs.values())))
        style.value_axis(row[0], metric, of.value.to_numpy(), floor)
        row[0].set_ylabel(style.titled(metric))
    for panel, n_train in zip(axes[0], sizes, strict=True):
        panel.set_title(f"{n_train} training points")
    for panel in axes[-1]:
        panel.set_xlabel(VARIED[kind])
    style.legend(figure, axes.flat, columns=4)
    return figure


budgets, components = partial(varied, "budgets"), partial(varied, "components")
