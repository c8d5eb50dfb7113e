"""Figures stage: tables -> figures/*.png and *.pdf. Reads nothing else, and draws all in one go."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from scipy.ndimage import gaussian_filter

from ndsm import store, style
from ndsm.style import Look

FLOOR = "real"
IMAGE_METRICS = frozenset({"fid", "inception_score", "class_tv", "memorisation"})
WORKERS = 2  # processes that draw; the threads of the rule
GRID = 5  # digits on a side of a mosaic

Spec = dict[str, Any]


def main(
    tables: Annotated[Path, typer.Option(help="folder of the tables")],
    out: Annotated[Path, typer.Option(help="folder of the figures")],
    spec: Annotated[
        dict,
        typer.Option(parser=json.loads, help="figures [name]; experiments {E: {methods, metrics}}"),
    ],
) -> None:
    """Draws the figures that ``spec["figures"]`` names.

    Raises:
        Refused: a name that is no figure.
    """
    known = catalogue(spec)
    if unknown := [name for name in spec["figures"] if name not in known]:
        raise store.Refused(f"figure {unknown[0]}: allowed are {', '.join(known)}")
    with ProcessPoolExecutor(WORKERS) as pool:
        for name in pool.map(partial(draw, tables, out, spec), spec["figures"]):
            print(f"{out / name}.png", flush=True)


def draw(tables: Path, out: Path, spec: Spec, name: str) -> str:
    """Draws one figure, and gives its name back."""
    style.use()
    look = style.looks([m for e in spec["experiments"].values() for m in e["methods"]])
    panels, experiment = catalogue(spec)[name]
    figure = panels(tables, spec, look, experiment)
    style.save(figure, out / name)
    plt.close(figure)
    return name


def catalogue(spec: Spec) -> dict[str, tuple[Callable[..., Figure], str]]:
    """Every figure there can be: name -> how it is drawn, and of which experiment."""
    known: dict[str, tuple[Callable[..., Figure], str]] = {}
    for experiment, settings in spec["experiments"].items():
        images = IMAGE_METRICS.intersection(settings["metrics"])
        known[f"samples_{experiment}"] = (digits if images else scatter, experiment)
        known[f"learning_curve_{experiment}"] = (learning_curve, experiment)
    return known | {
        "forward_process": (forward_process, ""),
        "variance": (variance, ""),
        "cost_quality": (cost_quality, ""),
    }


def read_metrics(tables: Path) -> pd.DataFrame:
    """The tidy metrics table."""
    return pd.read_csv(tables / "metrics.csv", dtype={"n_train": "Int64"})


# Samples ---------------------------------------------------------------------------------------


def _sample_panels(
    tables: Path, spec: Spec, experiment: str
) -> tuple[Figure, np.ndarray, list[tuple[Axes, str, np.ndarray]]]:
    """A block of panels for the smallest and for the largest size, data first in each.

    Returns:
        The figure, the held-out data (n, d), and (panel, method, samples (n, d)) for each panel.
    """
    table = pd.read_csv(tables / "samples" / f"{experiment}.csv", dtype={"n_train": "Int64"})
    columns = [c for c in table if c.startswith("x")]
    methods = [m for m in spec["experiments"][experiment]["methods"] if m in set(table.method)]
    sizes = sorted({table.n_train.min(), table.n_train.max()})
    panels = 1 + len(methods)
    wide = panels if panels <= 6 else -(-panels // 2)
    deep = -(-panels // wide)
    height = len(sizes) * (deep * (style.WIDTH / wide + 0.12) + 0.25)
    figure = plt.figure(figsize=(style.WIDTH, height))
    blocks = figure.subfigures(len(sizes), 1, squeeze=False).ravel()
    data = table.loc[table.method == "data", columns].to_numpy()
    drawn = []
    for block, n_train in zip(blocks, sizes, strict=True):
        block.suptitle(f"{experiment}, {n_train} training points", fontsize=8.5, weight="bold")
        axes = block.subplots(deep, wide, squeeze=False).ravel()
        for panel in axes[panels:]:
            panel.set_axis_off()
        for panel, method in zip(axes, ["data", *methods], strict=False):
            rows = table[(table.method == method) & (table.n_train == n_train)]
            x = data if method == "data" else rows[columns].to_numpy()
            panel.set_title(style.wrapped(method), pad=3.5)
            panel.set(xticks=[], yticks=[])
            drawn.append((panel, method, x))
    return figure, data, drawn


def scatter(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Samples beside data; above two dimensions on the data's first two principal axes."""
    figure, data, drawn = _sample_panels(tables, spec, experiment)
    plane = np.eye(2)
    if data.shape[1] > 2:
        plane = np.linalg.svd(data - data.mean(0), full_matrices=False)[2][:2]
    shown = data @ plane.T
    low, high = np.quantile(shown, [0.002, 0.998], axis=0)
    low, high = low - 0.12 * (high - low), high + 0.12 * (high - low)
    for panel, method, x in drawn:
        color = "black" if method == "data" else look[method].color
        x0, x1 = (x @ plane.T).T
        panel.scatter(x0, x1, s=2, color=color, alpha=0.4, lw=0, rasterized=True)
        panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), box_aspect=1)
    return figure


def digits(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Grids of generated images beside data: the first ones, not chosen."""
    figure, data, drawn = _sample_panels(tables, spec, experiment)
    for panel, method, x in drawn:
        panel.imshow(mosaic(x), cmap="gray_r", vmin=data.min(), vmax=data.max())
        panel.grid(False)
        color = "black" if method == "data" else look[method].color
        panel.spines[:].set(color=color, linewidth=1.2)
    return figure


def mosaic(x: np.ndarray) -> np.ndarray:
    """The first ``GRID``² square images of x (n, side²) as one array, one pixel apart (NaN)."""
    side = round(x.shape[1] ** 0.5)
    tiles = np.full((GRID * GRID, side + 1, side + 1), np.nan)
    images = x[: GRID * GRID].reshape(-1, side, side)
    tiles[: len(images), :side, :side] = images
    rows = tiles.reshape(GRID, GRID, side + 1, side + 1).swapaxes(1, 2)
    return rows.reshape(GRID * (side + 1), -1)[:-1, :-1]


# Curves ----------------------------------------------------------------------------------------


def learning_curve(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Each metric against training size: mean over seeds, band from worst to best seed."""
    metrics = read_metrics(tables)
    metrics = metrics[metrics.experiment == experiment]
    names = spec["experiments"][experiment]["metrics"]
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
            _curve(panel, values[values.method == method], "n_train", "value", look[method], method)
        sizes = sorted(int(n) for n in values.n_train.dropna().unique())
        panel.set_xscale("log")
        style.plain_ticks(panel.xaxis, FixedLocator(sizes))
        panel.set_title(style.METRICS.get(metric, metric))
        panel.tick_params(labelbottom=True)
    for panel in axes.flat[max(0, len(names) - wide) : len(names)]:
        panel.set_xlabel("training points")
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    style.legend(figure, axes.flat, columns=5)
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, x: str, y: str, look: Look, label: str) -> None:
    """Mean over seeds with a band from the lowest to the highest seed."""
    over = rows.groupby(x)[y].agg(["mean", "min", "max"]).sort_index()
    at = over.index.to_numpy(dtype=float)
    axes.plot(
        at, over["mean"], color=look.color, marker=look.marker, ls=look.linestyle, label=label
    )
    axes.fill_between(at, over["min"], over["max"], color=look.color, alpha=0.1, lw=0)


def variance(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Variance of the objective and of its gradient, against step size and against time."""
    table = pd.read_csv(tables / "gradients.csv")
    look = style.looks([*look, *table.objective.unique()])
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
                _curve(panel, values, x, quantity, look[objective], objective)
            panel.set(xscale="log", yscale="log")
            style.log_ticks(panel.xaxis, part[x].to_numpy())
            style.log_ticks(panel.yaxis, table[quantity].to_numpy())
            if k == 0:
                panel.set_ylabel(label)
        axes[0, k].set_title(f"{drift} drift, against {'step' if x == 'h' else 'time'}")
        axes[1, k].set_xlabel("step size h" if x == "h" else "time t")
    style.legend(figure, axes.flat, columns=6)
    return figure


# The forward process and the cost --------------------------------------------------------------


def forward_process(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Densities over time under linear and under nonlinear noising, and the latter's limit."""
    table = pd.read_csv(tables / "forward.csv", dtype={"t": str})
    points = table[["x0", "x1"]].to_numpy()
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    half = 1.16 * (high - low).max() / 2
    box = [(centre - half, centre + half) for centre in (high + low) / 2]
    names = {"ou": "OU", "gmm": "GMM drift"}
    columns = table.t.nunique()
    width = style.WIDTH / columns
    figure, axes = plt.subplots(2, columns, figsize=(style.WIDTH, 2 * width + 0.35))
    for row, (process, label) in zip(axes, names.items(), strict=True):
        of_process = table[table.process == process]
        for panel, (t, snapshot) in zip(row, of_process.groupby("t", sort=False), strict=True):
            _density(panel, snapshot[["x0", "x1"]].to_numpy(), box)
            if process == "ou":
                panel.set_title("stationary" if t == "stationary" else f"t = {float(t):.2g}")
        row[0].set_ylabel(label)
    return figure


def _density(axes: Axes, points: np.ndarray, box: list[tuple[float, float]]) -> None:
    """A smoothed histogram of points (n, 2), its own maximum the darkest."""
    counts, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=96, range=np.array(box))
    # The square root keeps modes of small weight visible.
    shade = np.sqrt(gaussian_filter(counts, 2.4))
    axes.imshow(shade.T, origin="lower", extent=(*box[0], *box[1]), cmap="Blues", aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)


def cost_quality(tables: Path, spec: Spec, look: dict[str, Look], experiment: str) -> Figure:
    """Quality with the most training points against seconds and network evaluations."""
    metrics = read_metrics(tables)
    cost = pd.read_csv(tables / "cost.csv").set_index(["experiment", "method"])
    cost["seconds"] = (cost.drift_seconds + cost.training_seconds) / cost.replicas
    names = list(spec["experiments"])
    figure, axes = plt.subplots(
        2, len(names), figsize=(style.WIDTH, 4.2), squeeze=False, sharey="col"
    )
    for k, name in enumerate(names):
        metric = primary(spec["experiments"][name]["metrics"])
        values = metrics[(metrics.experiment == name) & (metrics.metric == metric)]
        floor = values.loc[values.method == FLOOR, "value"].to_numpy()
        largest = values[values.n_train == values.n_train.max()]
        for panel, x in zip(axes[:, k], ["seconds", "training_evaluations"], strict=True):
            drawn = np.concatenate([largest.value, floor])
            style.value_axis(panel, metric, drawn, floor)
            style.draw_floor(panel, floor)
            methods = spec["experiments"][name]["methods"]
            for j, method in enumerate(methods):
                y = largest.loc[largest.method == method, "value"]
                at = cost.loc[(name, method), x]
                if x == "training_evaluations":  # equal by design: spread sideways to be seen
                    at = at * 1.06 ** (j - len(methods) / 2)
                bar = [[y.mean() - y.min()], [y.max() - y.mean()]]
                color, marker = look[method].color, look[method].marker
                panel.errorbar(at, y.mean(), bar, color=color, marker=marker, ls="", label=method)
            costs = cost.loc[name, x].to_numpy()
            if costs.min() > 0:
                panel.set_xscale("log")
                style.log_ticks(panel.xaxis, costs)
            elif costs.max() > 0:  # zero (no network) stands at the left of a decade's gap
                linear = 10 ** np.floor(np.log10(costs[costs > 0].min()))
                panel.set_xscale("symlog", linthresh=linear, linscale=0.5)
                decades = np.arange(np.log10(linear), np.log10(costs.max()) + 1)
                style.plain_ticks(panel.xaxis, FixedLocator([0, *10**decades]))
        axes[0, k].set_title(f"{name}\n{style.METRICS.get(metric, metric)}")
    for panel in axes[0]:
        panel.set_xlabel("s per replica")
    for panel in axes[1]:
        panel.set_xlabel("evaluations")
    style.legend(figure, axes.flat, columns=5)
    return figure


def primary(metrics: list[str]) -> str:
    """The metric that stands for quality: FID for images, else the energy distance if measured."""
    return next((m for m in ("fid", "energy_distance") if m in metrics), metrics[0])


if __name__ == "__main__":
    store.run(main)
