"""Figures that show metrics: against training size, departure from symmetry, step size and cost."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from ndsm.artefacts.reading import read_table
from ndsm.report import style
from ndsm.report.style import Look
from ndsm.vocabulary import FLOOR, UNTRAINED

NULLS = "untrained, in the method's colour"  # one entry of the legend for all of them

Spec = dict[str, Any]


def read_metrics(tables: Path) -> pd.DataFrame:
    """The tidy metrics table."""
    return read_table(tables / "metrics.csv")


def learning_curve(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Each metric, and the error of the score where it is measured, against training size.

    A line is the mean over seeds, its band goes from the worst to the best seed.
    """
    metrics = read_metrics(tables)
    metrics = metrics[metrics.experiment == experiment]
    names = [*spec["experiments"][experiment]["metrics"], "score_error"]
    names = [name for name in names if name in set(metrics.metric)]
    wide = min(len(names), 3) if len(names) != 4 else 2
    deep = -(-len(names) // wide)
    figure, axes = plt.subplots(
        deep, wide, figsize=(style.WIDTH, 2.3 * deep + 0.5), squeeze=False, sharex=True
    )
    for panel, metric in zip(axes.flat, names, strict=False):
        values = metrics[metrics.metric == metric]
        floor = values.loc[values.method == FLOOR, "value"].to_numpy()
        style.value_axis(panel, metric, values.value.to_numpy(), floor)
        style.draw_floor(panel, floor)
        for method in spec["experiments"][experiment]["methods"]:
            curve(panel, values[values.method == method], "n_train", "value", look[method], method)
        sizes = sorted(int(n) for n in values.n_train.dropna().unique())
        panel.set_xscale("log")
        style.plain_ticks(panel.xaxis, FixedLocator(sizes))
        panel.set_title(style.titled(metric))
        panel.tick_params(labelbottom=True)
    for panel in axes.flat[max(0, len(names) - wide) : len(names)]:
        panel.set_xlabel("training points")
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    style.legend(figure, axes.flat, columns=4)
    return figure


def seeds(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Each metric at the one training size: a dot per seed, a bar at the mean, beside the floor."""
    metrics = read_metrics(tables)
    metrics = metrics[metrics.experiment == experiment]
    names, methods = (spec["experiments"][experiment][key] for key in ("metrics", "methods"))
    wide = min(len(names), 3) if len(names) != 4 else 2
    deep = -(-len(names) // wide)
    figure, axes = plt.subplots(
        deep,
        wide,
        figsize=(style.WIDTH, deep * (0.19 * len(methods) + 0.75)),
        squeeze=False,
        sharey=True,
    )
    for panel, metric in zip(axes.flat, names, strict=False):
        values = metrics[metrics.metric == metric]
        floor = values.loc[values.method == FLOOR, "value"].to_numpy()
        style.value_axis(panel, metric, values.value.to_numpy(), floor, axis="x")
        style.draw_floor(panel, floor, axis="x")
        for row, method in enumerate(methods):
            of_method = values.loc[values.method == method, "value"]
            at = np.full(len(of_method), row)
            marker = look[method].marker or "."
            panel.plot(of_method, at, marker, color=look[method].color, alpha=0.7)
            panel.plot(of_method.mean(), row, "|", color="black", ms=11)
        panel.set_title(style.titled(metric))
        panel.set(yticks=range(len(methods)), yticklabels=methods, ylim=(len(methods) - 0.5, -0.5))
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    return figure


def shares(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """The proportions of the classes among samples, bars, against the true ones, black lines."""
    metrics, prefix = read_metrics(tables), "class_share_"
    rows = metrics[(metrics.experiment == experiment) & metrics.metric.str.startswith(prefix)]
    rows = rows.assign(digit=rows.metric.str.removeprefix(prefix).astype(int))
    truth = np.array(spec["experiments"][experiment]["dataset"]["shares"])
    rows = rows[rows.digit < len(truth)]
    methods = spec["experiments"][experiment]["methods"]
    wide = 4
    deep = -(-len(methods) // wide)
    figure, axes = plt.subplots(
        deep, wide, figsize=(style.WIDTH, 1.35 * deep), squeeze=False, sharex=True, sharey=True
    )
    for panel, method in zip(axes.flat, methods, strict=False):
        over = rows[rows.method == method].groupby("digit").value.agg(["mean", "min", "max"])
        bars = [over["mean"] - over["min"], over["max"] - over["mean"]]
        ink = {"elinewidth": 0.7, "ecolor": "0.25"}
        panel.bar(over.index, over["mean"], color=look[method].color, yerr=bars, error_kw=ink)
        at = np.arange(len(truth))
        panel.hlines(truth, at - 0.45, at + 0.45, color="black", lw=1.4)
        panel.set_title(method)
        panel.set(xticks=at)
        panel.tick_params(labelbottom=True)
    for panel in axes.flat[len(methods) :]:
        panel.set_axis_off()
    for panel in axes[:, 0]:
        panel.set_ylabel("share")
    return figure


def departure(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Each metric against the size of the departure from symmetry, over all such experiments.

    At the largest training size of each; variants differ in something else, and are left out.
    """
    shown = {
        name: settings
        for name, settings in spec["experiments"].items()
        if "symmetry" in settings["dataset"] and "variant_of" not in settings
    }
    sizes = {name: own["dataset"]["symmetry"]["departure"] for name, own in shown.items()}
    largest = {name: max(own["n_train"]) for name, own in shown.items()}
    first = next(iter(shown.values()))
    metrics = read_metrics(tables)
    metrics = metrics.assign(departure=metrics.experiment.map(sizes)).dropna(subset="departure")
    whole = metrics.n_train == metrics.experiment.map(largest)
    metrics = metrics[whole | (metrics.method == FLOOR)]
    figure, axes = plt.subplots(2, 2, figsize=(style.WIDTH, 5.0), sharex=True)
    for panel, metric in zip(axes.flat, first["metrics"], strict=False):
        values = metrics[metrics.metric == metric]
        floor = values[values.method == FLOOR]
        style.value_axis(panel, metric, values.value.to_numpy(), floor.value.to_numpy())
        over = floor.groupby(["departure", "experiment"]).value.mean().droplevel("experiment")
        panel.plot(over, color=style.FLOOR_COLOUR, lw=1, ls=(0, (1, 1.5)), label="floor")
        for method in first["methods"]:
            rows = values[values.method == method]
            curve(panel, rows, "departure", "value", look[method], method)
        panel.set_title(style.titled(metric))
        panel.set_xticks(sorted(sizes.values()))
        panel.tick_params(labelbottom=True)
    for panel in axes[1]:
        panel.set_xlabel("departure from symmetry")
    style.legend(figure, axes.flat, columns=4)
    return figure


def curve(axes: Axes, rows: pd.DataFrame, x: str, y: str, look: Look, label: str) -> None:
    """Mean over seeds with a band from the lowest to the highest seed; of a null the mean alone.

    Two experiments at the same x are two points: their seeds are never pooled.
    """
    over = rows.groupby([x, "experiment"])[y].agg(["mean", "min", "max"]).sort_index()
    at = over.index.get_level_values(x).to_numpy(dtype=float)
    label = NULLS if label.endswith(UNTRAINED) else label
    axes.plot(
        at, over["mean"], color=look.color, marker=look.marker, ls=look.linestyle, label=label
    )
    if label == NULLS:
        return
    axes.fill_between(at, over["min"], over["max"], color=look.color, alpha=0.1, lw=0)


def variance(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Variance of the objective and of its gradient, against step size and against time."""
    table = read_table(tables / "gradients.csv")
    look = style.looks([[*look, *table.objective.unique()]])
    columns = [
        (sweep, drift, of_drift)
        for sweep, of_sweep in table.groupby("sweep", sort=False)
        for drift, of_drift in of_sweep.groupby("drift", sort=False)
    ]
    rows = {"objective_variance": "objective variance", "gradient_variance": "gradient variance"}
    figure, axes = plt.subplots(
        2, len(columns), figsize=(style.WIDTH, 4.4), squeeze=False, sharex="col", sharey="row"
    )
    for k, (sweep, drift, part) in enumerate(columns):
        x = "h" if sweep == "step" else "t"
        for panel, (quantity, label) in zip(axes[:, k], rows.items(), strict=True):
            for objective, values in part.groupby("objective", sort=False):
                curve(panel, values, x, quantity, look[objective], objective)
            panel.set(xscale="log", yscale="log")
            style.log_ticks(panel.xaxis, part[x].to_numpy())
            style.log_ticks(panel.yaxis, table[quantity].to_numpy())
            if k == 0:
                panel.set_ylabel(label)
        axes[0, k].set_title(f"{drift} drift, against {'step' if x == 'h' else 'time'}")
        axes[1, k].set_xlabel("step size h" if x == "h" else "time t")
    style.legend(figure, axes.flat, columns=6)
    return figure


def cost_quality(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Quality with the most training points against seconds and network evaluations."""
    metrics = read_metrics(tables)
    cost = read_table(tables / "cost.csv").set_index(["experiment", "method"])
    cost["seconds"] = (cost.drift_seconds + cost.training_seconds) / cost.replicas
    names = [e for e, s in spec["experiments"].items() if "variant_of" not in s]
    deep = -(-len(names) // 5)  # at most five experiments beside one another
    wide = -(-len(names) // deep)
    figure, axes = plt.subplots(
        2 * deep, wide, figsize=(style.WIDTH, 3.6 * deep + 0.6), squeeze=False
    )
    pairs = axes.reshape(deep, 2, wide).swapaxes(1, 2).reshape(-1, 2)
    for panel in pairs[len(names) :].ravel():
        panel.set_axis_off()
    for pair, name in zip(pairs, names, strict=False):
        pair[1].sharey(pair[0])
        metric = primary(spec["experiments"][name]["metrics"])
        values = metrics[(metrics.experiment == name) & (metrics.metric == metric)]
        floor = values.loc[values.method == FLOOR, "value"].to_numpy()
        largest = values[values.n_train == values.n_train.max()]
        for panel, x in zip(pair, ["seconds", "training_evaluations"], strict=True):
            drawn = np.concatenate([largest.value, floor])
            style.value_axis(panel, metric, drawn, floor)
            style.draw_floor(panel, floor)
            methods = [m for m in spec["experiments"][name]["methods"] if (name, m) in cost.index]
            for null in {*spec["experiments"][name]["methods"]} - {*methods}:
                y = largest.loc[largest.method == null, "value"].mean()
                style_of = {"color": look[null].color, "ls": look[null].linestyle, "lw": 0.9}
                panel.axhline(y, label=NULLS, **style_of)
            for j, method in enumerate(methods):
                y = largest.loc[largest.method == method, "value"]
                at = cost.loc[(name, method), x]
                if x == "training_evaluations":  # equal by design: spread sideways to be seen
                    at = at * 1.06 ** (j - len(methods) / 2)
                bar = [[y.mean() - y.min()], [y.max() - y.mean()]]
                color, marker = look[method].color, look[method].marker
                panel.errorbar(at, y.mean(), bar, color=color, marker=marker, ls="", label=method)
            costs = cost.loc[(name, methods), x].to_numpy()
            if costs.min() > 0:
                panel.set_xscale("log")
                style.log_ticks(panel.xaxis, costs)
            elif costs.max() > 0:  # zero (no network) stands at the left of a decade's gap
                linear = 10 ** np.floor(np.log10(costs[costs > 0].min()))
                panel.set_xscale("symlog", linthresh=linear, linscale=0.5)
                decades = np.arange(np.log10(linear), np.log10(costs.max()) + 1)
                style.plain_ticks(panel.xaxis, FixedLocator([0, *10**decades]))
        pair[0].set_title(f"{name}\n{style.titled(metric)}")
        for panel, label in zip(pair, ["s per replica", "evaluations"], strict=True):
            panel.set_xlabel(label)
    style.legend(figure, axes.flat, columns=4)
    return figure


def primary(metrics: list[str]) -> str:
    """The metric that stands for quality: FID for images, else the energy distance if measured."""
    return next((m for m in ("fid", "energy_distance") if m in metrics), metrics[0])
