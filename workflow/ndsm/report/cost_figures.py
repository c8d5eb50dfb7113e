"""Figures of cost: of runs that differ in budget, sampler steps or components, and of all."""

from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.report import style
from ndsm.report.method_looks import Look
from ndsm.report.metric_figures import (
    averaged,
    bars,
    curves,
    fit_axis,
    floor_of,
    mean_on,
    read_metrics,
)
from ndsm.vocabulary import CEILING, FLOOR, UNTRAINED

VARIED = {"budgets": "network evaluations", "components": "components of the drift's mixture"}
SAMPLING = "sampling_evaluations"
RUNS = ["method", "n_train", "run"]
COSTS = {
    "seconds": "seconds of training and fit",
    "network_evaluations": "network evaluations",
    SAMPLING: "evaluations per sample",
}


def frontier(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Quality against training time, network evaluations, and, if they vary, those of sampling.

    At the largest training size with several budgets. A dot is the mean over seeds of a training of
    its own, with its interval. A method without a network is a line.
    """
    runs, own = Inputs().table(tables / "frontier.csv"), study.frontiers[experiment]
    runs = runs[runs.experiment == experiment]
    runs = runs[runs.n_train == runs[runs.run != experiment].n_train.max()]
    real = read_metrics(tables).query("experiment == @experiment")
    shown = [m for m in (*own.thresholds, "inception_score") if m in set(runs.metric)]
    costs = {k: v for k, v in COSTS.items() if k != SAMPLING or len(own.steps) > 1}
    size = style.WIDTH, 2.1 * len(shown) + 0.8
    figure, axes = plt.subplots(
        len(shown), len(costs), figsize=size, squeeze=False, sharey="row", sharex="col"
    )
    for row, metric in zip(axes, shown, strict=True):
        of = runs[runs.metric == metric]
        measured = real[real.metric == metric]
        drawn = pd.concat([of, measured[measured.method == FLOOR]])
        fit_axis(row[0], metric, drawn, floor_of(measured), RUNS)
        at_size = measured[(measured.method == CEILING) & (measured.n_train == of.n_train.iloc[0])]
        for panel, cost in zip(row, costs, strict=True):
            names = own.steps if cost == SAMPLING else own.budgets
            style.draw_floor(panel, floor_of(measured))
            if len(at_size):
                height = mean_on(panel, at_size["value"])
                panel.axhline(height, color="black", lw=1, ls=(0, (4, 2)), label=CEILING)
            for method in study.experiments[experiment].methods:
                mine = of[(of.method == method) & of.run.isin(names)]
                _line(panel, mine, cost, look[method], method)
            _cost_axis(panel, of[of.run.isin(names) & (of.network_evaluations > 0)], cost)
        row[0].set_ylabel(style.titled(metric))
    for panel, label in zip(axes[-1], costs.values(), strict=True):
        panel.set_xlabel(label)
    points = f"{runs.n_train.iloc[0]} training points"
    figure.suptitle(f"{experiment}, {points}: quality against cost; {style.READING}")
    style.legend(figure, axes.flat)
    return figure


def _cost_axis(panel: Axes, runs: pd.DataFrame, cost: str) -> None:
    panel.set_xscale("log")
    if cost == SAMPLING:
        style.plain_ticks(panel.xaxis, FixedLocator([2, 5, 10, 20, 50, 100]))
    else:
        style.log_ticks(panel.xaxis, runs[cost].to_numpy())


def _line(panel: Axes, rows: pd.DataFrame, cost: str, look: Look, label: str) -> None:
    """One method: its means over seeds, joined; a level where it has no network."""
    label = style.NULLS if label.endswith(UNTRAINED) else label
    drawn: dict[str, Any] = {"color": look.color, "ls": look.linestyle, "label": label}
    if not rows.network_evaluations.any():
        panel.axhline(mean_on(panel, rows["value"]), lw=0.9, **drawn)
        return
    over = averaged(rows, ["run"], log=panel.get_yscale() == "log")
    over = over.assign(at=rows.groupby("run")[cost].mean()).sort_values("at")
    panel.plot(over["at"], over["mean"], marker=look.marker, **drawn)
    panel.errorbar(
        over["at"], over["mean"], bars(over), fmt="none", ecolor=look.color, elinewidth=0.8
    )


def varied(
    kind: str, tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str
) -> Figure:
    """Quality, and where it is measured the distance to the training images, against a setting.

    A column for each training size with several runs. A dot is the mean over seeds of a training of
    its own, with its interval. Beside budgets stand, as lines, the untrained models.
    """
    runs, own = study.varied[experiment][kind], study.experiments[experiment]
    metrics = read_metrics(tables)
    rows = metrics.assign(at=metrics.experiment.map(runs)).dropna(subset=["at", "n_train"])
    several = rows.groupby("n_train").experiment.nunique()
    sizes = [int(n) for n in several.index[several > 1]]
    shown = [m for m in (own.metrics[0], "nearest_ratio") if m in own.metrics]
    per_method = rows.groupby("method").experiment.nunique()
    varying = set(per_method.index[per_method > 1])
    size = style.WIDTH, 2.1 * len(shown) + 0.8
    figure = plt.figure(figsize=size)
    axes = figure.subfigures(squeeze=False)[0, 0].subplots(
        len(shown), len(sizes), squeeze=False, sharex=True, sharey="row"
    )
    for row, metric in zip(axes, shown, strict=True):
        of = rows[rows.metric == metric]
        real = metrics[(metrics.experiment == experiment) & (metrics.metric == metric)]
        drawn = pd.concat([of[of.method.isin(varying)], real[real.method == FLOOR]])
        fit_axis(row[0], metric, drawn, floor_of(real), ["method", "n_train", "experiment"])
        for panel, n_train in zip(row, sizes, strict=True):
            style.draw_floor(panel, floor_of(real))
            at_size = of[of.n_train == n_train]
            counts = at_size.groupby("method").experiment.nunique()
            curves(panel, at_size, "at", look, [m for m in own.methods if counts.get(m, 0) > 1])
            nulls = [f"{m}{UNTRAINED}" for m in varying] if kind == "budgets" else []
            for method in [m for m in own.methods if m in nulls and m in counts]:
                level = mean_on(panel, at_size.loc[at_size.method == method, "value"])
                ink = {"color": look[method].color, "ls": look[method].linestyle, "lw": 0.9}
                panel.axhline(level, label=style.NULLS, **ink)
            panel.set_xscale("log")
            style.plain_ticks(panel.xaxis, FixedLocator(sorted(runs.values())))
        row[0].set_ylabel(style.titled(metric))
    for panel, n_train in zip(axes[0], sizes, strict=True):
        panel.set_title(f"{n_train} training points")
    figure.suptitle(f"{experiment}: quality against the {VARIED[kind]}; {style.READING}")
    style.name_below(axes, VARIED[kind])
    style.legend(figure, axes.flat)
    return figure


budgets, components = partial(varied, "budgets"), partial(varied, "components")


def cost_quality(
    tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str
) -> Figure:
    """The first metric of each experiment with the most training points, against seconds."""
    metrics = read_metrics(tables)
    cost = Inputs().table(tables / "cost.csv").set_index(["experiment", "method"])
    seconds = (cost.drift_seconds + cost.training_seconds) / cost.replicas
    names = [e for e, own in study.experiments.items() if not own.variant_of]
    figure, axes, place = style.panels(len(names), 2.1)
    for panel, name in zip(axes, names, strict=True):
        metric = study.experiments[name].metrics[0]
        values = metrics[(metrics.experiment == name) & (metrics.metric == metric)]
        largest = values[values.n_train == values.n_train.max()]
        drawn = values[(values.n_train == largest.n_train.max()) | (values.method == FLOOR)]
        fit_axis(panel, metric, drawn, floor_of(values), ["method"])
        style.draw_floor(panel, floor_of(values))
        shown = []
        for method in study.experiments[name].methods:
            own, ink = largest[largest.method == method], look[method]
            if (name, method) not in cost.index:
                null = {"color": ink.color, "ls": ink.linestyle, "lw": 0.9}
                panel.axhline(mean_on(panel, own["value"]), label=style.NULLS, **null)
                continue
            at = seconds[(name, method)]
            shown.append(at)
            dot = {"color": ink.color, "marker": ink.marker, "ls": "", "elinewidth": 0.8}
            over = averaged(own, ["method"], log=panel.get_yscale() == "log")
            panel.errorbar([at], over["mean"], bars(over), label=method, **dot)
        _seconds_axis(panel, np.array(shown))
        panel.set_title(f"{name}\n{style.titled(metric)}")
    figure.suptitle(f"Quality against cost, with the most training points; {style.READING}")
    style.name_below(axes, "seconds of fit and training for each replica")
    style.legend(figure, axes, place)
    return figure


def _seconds_axis(panel: Axes, shown: np.ndarray) -> None:
    """Logarithmic; what costs nothing, as the prior of an autoencoder, stands at the left."""
    costs = shown[shown > 0]
    if not costs.size:
        return
    if costs.size < shown.size:
        linear = 10.0 ** np.floor(np.log10(costs.min()))
        panel.set_xscale("symlog", linthresh=linear, linscale=0.5)
        decades = 10.0 ** np.arange(np.log10(linear), np.log10(costs.max()) + 1)
        style.plain_ticks(panel.xaxis, FixedLocator([0, *decades]))
    else:
        panel.set_xscale("log")
        style.log_ticks(panel.xaxis, costs)
    style.fit(panel, panel.xaxis, shown)
