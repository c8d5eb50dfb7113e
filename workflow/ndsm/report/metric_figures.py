"""Figures that show metrics: against training size, by seed, departure from symmetry, step size."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import ScaledTranslation
from scipy import stats

from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.report import style
from ndsm.report.method_looks import Look, looks
from ndsm.vocabulary import FLOOR, UNTRAINED

CONFIDENCE = 0.95  # of the intervals
FAR = 8  # times the mean: an end of an interval there is not what decides on an axis
ALONE = "_"  # marks a point of a line without markers, where that has no other point
STEP = 1.1  # points, from the interval of one method to that of the next


def read_metrics(tables: Path) -> pd.DataFrame:
    """The tidy metrics table."""
    return Inputs().table(tables / "metrics.csv")


def half_width(values: pd.Series) -> float:
    """Half the t interval for the mean of ``values`` (seeds,), at ``CONFIDENCE``; nan of one."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.sem())


def averaged(
    rows: pd.DataFrame, by: list[str], value: str = "value", log: bool = False
) -> pd.DataFrame:
    """Mean over seeds and the ends of its t interval: ``mean``, ``low``, ``high``, by groups.

    With ``log`` those of the logarithms: the geometric mean, and an interval that is above zero.
    """
    values = np.log(rows[value]) if log else rows[value]
    over = values.groupby([rows[key] for key in by]).agg(mean="mean", half=half_width)
    half = over.pop("half")
    ends = over.assign(low=over["mean"] - half, high=over["mean"] + half).sort_index()
    return np.exp(ends) if log else ends


def bars(over: pd.DataFrame) -> np.ndarray:
    """How far the intervals of ``averaged`` reach below and above their means, (2, n)."""
    return np.array([over["mean"] - over.low, over.high - over["mean"]])


def fit_axis(
    panel: Axes, metric: str, rows: pd.DataFrame, floor: np.ndarray, by: list[str]
) -> None:
    """Scales the vertical axis of a metric and fits it to the means of trained models.

    And to the ends of their intervals, but for those far from the mean, by a factor of ``FAR``.

    Args:
        panel: where the metric is drawn.
        metric: its name.
        rows: all that is drawn of it, one for each seed, the floor and untrained models as well.
        floor: what is seen of the floor in any case.
        by: columns that tell the means apart.
    """
    log = style.logarithmic(metric, rows["value"].to_numpy())
    over = averaged(trained(rows), by, log=log)
    below = over["mean"] <= 0
    low = over.low.where((over.low > over["mean"] / FAR) | below)
    high = over.high.where((over.high < over["mean"] * FAR) | below)
    style.value_axis(panel, metric, np.concatenate([over["mean"], low, high]), floor, log)


def mean_on(panel: Axes, values: pd.Series) -> float:
    """The mean over seeds as the vertical axis of a panel has it: geometric if logarithmic."""
    is_log = panel.get_yscale() == "log"
    return float(np.exp(np.log(values).mean()) if is_log else values.mean())


def trained(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of models that learned: those of the floor and of untrained ones aside."""
    return rows[(rows.method != FLOOR) & ~rows.method.str.endswith(UNTRAINED)]


def floor_of(rows: pd.DataFrame) -> np.ndarray:
    """Values (draws,) of real data against real data."""
    return rows.loc[rows.method == FLOOR, "value"].to_numpy()


def learning_curve(
    tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str
) -> Figure:
    """Each metric, and the error of the score where it is measured, against training size.

    A line is the mean over seeds; a bar is its interval.
    """
    metrics, own = read_metrics(tables), study.experiments[experiment]
    methods = own.methods
    metrics = metrics[(metrics.experiment == experiment) & metrics.method.isin([*methods, FLOOR])]
    names = [*own.metrics, "score_error"]
    names = [name for name in names if name in set(metrics.metric)]
    figure, axes, place = style.panels(len(names), 2.1)
    for panel, metric in zip(axes, names, strict=True):
        values = metrics[metrics.metric == metric]
        fit_axis(panel, metric, values, floor_of(values), ["method", "n_train"])
        style.draw_floor(panel, floor_of(values))
        curves(panel, values, "n_train", look, methods)
        panel.set_xscale("log")
        sizes = sorted(int(n) for n in values.n_train.dropna().unique())
        style.plain_ticks(panel.xaxis, FixedLocator(sizes))
        panel.set_title(style.titled(metric))
    figure.suptitle(f"{experiment}: quality against training size; {style.READING}")
    style.name_below(axes, "training points")
    style.legend(figure, axes, place)
    return figure


def seeds(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Each metric at the one training size: a dot per seed, a bar at the mean, beside the floor."""
    metrics = read_metrics(tables)
    metrics = metrics[metrics.experiment == experiment]
    own = study.experiments[experiment]
    names, methods = own.metrics, own.methods
    wide = min(len(names), 4)
    deep = -(-len(names) // wide)
    height = deep * (0.17 * len(methods) + 0.7) + 0.3
    figure, axes = plt.subplots(
        deep, wide, figsize=(style.WIDTH, height), squeeze=False, sharey=True
    )
    for panel, metric in zip(axes.flat, names, strict=False):
        values = metrics[metrics.metric == metric]
        drawn = values["value"].to_numpy()
        log = style.logarithmic(metric, drawn)
        style.value_axis(panel, metric, drawn, floor_of(values), log, axis="x")
        style.draw_floor(panel, floor_of(values), axis="x")
        for row, method in enumerate(methods):
            of_method = values.loc[values.method == method, "value"]
            at = np.full(len(of_method), row)
            marker = look[method].marker or "."
            panel.plot(of_method, at, marker, color=look[method].color, alpha=0.7)
            middle = np.exp(np.log(of_method).mean()) if log else of_method.mean()
            panel.plot(middle, row, "|", color="black", ms=9)
        panel.set_title(style.titled(metric, 20))  # the names of the methods take of the width
        panel.set(yticks=range(len(methods)), yticklabels=methods, ylim=(len(methods) - 0.5, -0.5))
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    figure.suptitle(f"{experiment}: every seed and the mean; {style.READING}")
    return figure


def shares(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """The proportions of the classes among samples, bars, against the true ones, black lines."""
    metrics, prefix = read_metrics(tables), "class_share_"
    rows = metrics[(metrics.experiment == experiment) & metrics.metric.str.startswith(prefix)]
    rows = rows.assign(digit=rows.metric.str.removeprefix(prefix).astype(int))
    truth = np.array(study.experiments[experiment].dataset["shares"])
    rows = rows[rows.digit < len(truth)]
    methods = study.experiments[experiment].methods
    wide = min(4, len(methods))
    deep = -(-len(methods) // wide)
    size = style.WIDTH, 1.2 * deep + 0.6
    figure, axes = plt.subplots(deep, wide, figsize=size, squeeze=False, sharex=True, sharey=True)
    for panel, method in zip(axes.flat, methods, strict=False):
        over = averaged(rows[rows.method == method], ["digit"])
        ink = {"elinewidth": 0.7, "ecolor": "0.25"}
        panel.bar(over.index, over["mean"], color=look[method].color, yerr=bars(over), error_kw=ink)
        at = np.arange(len(truth))
        panel.hlines(truth, at - 0.45, at + 0.45, color="black", lw=1.4)
        panel.set_title(method)
        panel.set(xticks=at)
        panel.tick_params(labelbottom=True)
    for panel in axes.flat[len(methods) :]:
        panel.set_axis_off()
    figure.suptitle(f"{experiment}: share of each class among samples; black: the true share")
    figure.supxlabel("class")
    return figure


def departure(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Each metric against the size of the departure from symmetry, over all such experiments.

    At the largest training size of each; variants differ in something else, and are left out.
    """
    shown = {
        name: own
        for name, own in study.experiments.items()
        if "symmetry" in own.dataset and not own.variant_of
    }
    sizes = {name: own.dataset["symmetry"]["departure"] for name, own in shown.items()}
    largest = {name: max(own.n_train) for name, own in shown.items()}
    first = next(iter(shown.values()))
    metrics = read_metrics(tables)
    metrics = metrics.assign(departure=metrics.experiment.map(sizes)).dropna(subset="departure")
    whole = metrics.n_train == metrics.experiment.map(largest)
    metrics = metrics[whole | (metrics.method == FLOOR)]
    figure, axes, place = style.panels(len(first.metrics), 2.2)
    for panel, metric in zip(axes, first.metrics, strict=True):
        values = metrics[metrics.metric == metric]
        fit_axis(panel, metric, values, floor_of(values), ["method", "experiment"])
        real, log = values[values.method == FLOOR], panel.get_yscale() == "log"
        over = averaged(real, ["departure", "experiment"], log=log)["mean"]
        ink = {"color": style.FLOOR_COLOUR, "lw": 1, "ls": (0, (1, 1.5)), "label": "floor"}
        panel.plot(over.droplevel("experiment"), marker=ALONE if len(over) == 1 else "", **ink)
        curves(panel, values, "departure", look, first.methods)
        panel.set_title(style.titled(metric))
        panel.set_xticks(sorted(sizes.values()))
    figure.suptitle(f"Images with an approximate symmetry; {style.READING}")
    style.name_below(axes, "departure from symmetry")
    style.legend(figure, axes, place)
    return figure


def curves(
    axes: Axes, rows: pd.DataFrame, x: str, look: dict[str, Look], methods: list[str]
) -> None:
    """A curve for each method, its intervals beside those of the others, as they are drawn."""
    there = [method for method in methods if method in set(trained(rows).method)]
    axes.margins(x=0.1)  # room for the intervals beside the first and the last point
    for method in methods:
        k = there.index(method) if method in there else 0
        own, shift = rows[rows.method == method], STEP * (k - (len(there) - 1) / 2)
        curve(axes, own, x, "value", look[method], method, shift)


def curve(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    y: str,
    look: Look,
    label: str,
    shift: float = 0.0,
) -> None:
    """Mean over seeds with its interval; of an untrained model the mean alone.

    Two experiments at the same x are two points: their seeds are never pooled. On a logarithmic
    axis both are those of the logarithms (``averaged``).

    Args:
        axes: the panel.
        rows: one for each seed, of one method.
        x: the column that is drawn to the right.
        y: the column that is drawn upwards.
        look: of the method.
        label: the method.
        shift: of the intervals to the right, in points, so that those of others are seen beside.
    """
    over = averaged(rows, [x, "experiment"], y, log=axes.get_yscale() == "log")
    at = over.index.get_level_values(x).to_numpy(dtype=float)
    null = label.endswith(UNTRAINED)
    ink: dict[str, Any] = {"color": look.color, "ls": look.linestyle}
    marker = ALONE if null and len(at) == 1 else look.marker
    axes.plot(at, over["mean"], marker=marker, label=style.NULLS if null else label, **ink)
    if null:
        return
    aside = axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    thin: dict[str, Any] = {"ecolor": look.color, "elinewidth": 0.8, "zorder": 1.9}
    axes.errorbar(at, over["mean"], bars(over), fmt="none", transform=aside, **thin)


def variance(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Variance of the objective and of its gradient, against step size and against time."""
    table = Inputs().table(tables / "gradients.csv")
    look = looks(table.objective)
    noises = {"ou": "linear noise", "gmm": "nonlinear noise"}
    against = {"step": ("h", "step size h"), "time": ("t", "time t")}
    shown = {"objective_variance": "variance of the objective"}
    shown |= {"gradient_variance": "variance of its gradient"}
    figure = plt.figure(figsize=(style.WIDTH, 4.4))
    halves = figure.subfigures(1, table.sweep.nunique(), squeeze=False)[0]
    for half, (sweep, of_sweep) in zip(halves, table.groupby("sweep", sort=False), strict=True):
        x, label = against[sweep]
        axes = half.subplots(2, of_sweep.drift.nunique(), squeeze=False, sharex=True, sharey="row")
        for row, quantity in zip(axes, shown, strict=True):
            over = averaged(of_sweep, ["objective", "drift", x], quantity, log=True)
            ends = over.to_numpy()[over.notna()]
            row[0].set(xscale="log", yscale="log")
            style.log_ticks(row[0].xaxis, of_sweep[x].to_numpy())
            style.log_ticks(row[0].yaxis, ends)
            style.fit(row[0], row[0].yaxis, ends)
        for column, (drift, part) in zip(
            axes.T, of_sweep.groupby("drift", sort=False), strict=True
        ):
            for panel, quantity in zip(column, shown, strict=True):
                for objective, values in part.groupby("objective", sort=False):
                    curve(panel, values, x, quantity, look[objective], objective)
            column[0].set_title(noises.get(drift, drift))
        half.supxlabel(label, fontsize=8)
        if half is halves[0]:
            for panel, quantity in zip(axes[:, 0], shown.values(), strict=True):
                panel.set_ylabel(quantity)
    figure.suptitle(f"{table.experiment.iloc[0]}: variance of each objective; lower is better")
    style.legend(figure, [panel for half in halves for panel in half.axes])
    return figure
