"""The columns of a table against each other, data and samples, in the table's units."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ndsm.report.method_looks import looks
from ndsm.report.style import WIDTH

MOST, POINTS = 5, 500  # columns; points of each kind, at most
LONGEST = 18  # letters of a column's name
DATA = "held-out data"


def chosen(x: np.ndarray) -> list[int]:
    """At most ``MOST`` columns of x (n, d), those that as many principal axes explain best."""
    if x.shape[1] <= MOST:
        return [*range(x.shape[1])]
    variances, axes = np.linalg.eigh(np.cov(x, rowvar=False))
    explained = axes[:, -MOST:] ** 2 @ variances[-MOST:]
    return sorted(np.argsort(-explained, kind="stable")[:MOST].tolist())


def shorten(name: str) -> str:
    """A column's name as a narrow panel can have it."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def pairs(
    samples: pd.DataFrame,
    methods: Sequence[str],
    n_train: int,
    mean: np.ndarray,
    deviation: np.ndarray,
    columns: Sequence[str],
) -> Figure:
    """Scatter plots of every two columns, histograms of each.

    Args:
        samples: points of data and methods, standardised; as tables/samples has them.
        methods: whose samples are drawn.
        n_train: with how many training points.
        mean: of each column, (d,).
        deviation: of each column, (d,).
        columns: their names.
    """
    names = [name for name in samples if str(name).startswith("x")]
    own = samples[samples.n_train == n_train]
    kinds = {name: own[own.method == name] for name in methods}
    kinds |= {DATA: samples[samples.method == "data"]}  # drawn last, on top
    shown = chosen(kinds[DATA][names].to_numpy())
    count = min(POINTS, *map(len, kinds.values()))  # as many of each, for the eye to compare
    parts = []
    for kind, rows in kinds.items():
        x = rows[names].to_numpy()[:count, shown] * deviation[shown] + mean[shown]
        parts.append(pd.DataFrame(x, columns=[shorten(columns[k]) for k in shown]).assign(of=kind))
    frame = pd.concat(parts, ignore_index=True)
    look = looks(methods)
    palette = {name: look[name].color for name in methods} | {DATA: "black"}
    size = {"corner": True, "diag_sharey": False, "height": WIDTH / len(shown)}
    lines = {"element": "step", "fill": False, "stat": "density", "common_norm": False}
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn has its own
        grid = sns.PairGrid(frame, hue="of", palette=palette, **size)
        grid.map_lower(sns.scatterplot, s=5, alpha=0.5, linewidth=0)
        grid.map_diag(sns.histplot, **lines, bins=20)
        _fit(grid, frame[frame.of == DATA].drop(columns="of"))
        grid.add_legend(title="")
    return grid.figure


def _fit(grid: sns.PairGrid, data: pd.DataFrame) -> None:
    """Limits by the data: a few samples far away would leave no room for the others."""
    low, high = data.quantile(0.002), data.quantile(0.998)
    margin = 0.25 * (high - low)
    for i, row in enumerate(grid.axes):
        for j, axes in enumerate(row):
            if axes is None:
                continue
            axes.set_xlim(low.iloc[j] - margin.iloc[j], high.iloc[j] + margin.iloc[j])
            if i != j:
                axes.set_ylim(low.iloc[i] - margin.iloc[i], high.iloc[i] + margin.iloc[i])
