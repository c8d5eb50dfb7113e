"""What a network has learnt of the modes of a known law: their place, width and direction."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.data.datasets import DATASETS
from ndsm.metrics.distances import nearest
from ndsm.report import style
from ndsm.report.method_looks import BROWN, GREY, Look
from ndsm.report.metric_figures import read_metrics
from ndsm.vocabulary import SEED, UNTRAINED

DRAWS, REFERENCE = 1_000_000, 10_000  # of the law: for its moments, and to tell the modes apart
SIGMAS = 2  # standard deviations from the middle of an ellipse to its edge
MOST = 4  # methods beside each other
ALONE = "gmm"  # the mixture without a network that is shown below the data
NUMBERS = {"kl": "KL", "mode_shape": "shape"}  # above each panel
DASHES = (0, (3, 1.5))


@dataclass(frozen=True)
class Modes:
    """The modes of points in the plane.

    Attributes:
        means: (K, 2).
        covariances: (K, 2, 2).
    """

    means: np.ndarray
    covariances: np.ndarray


def modes_of(x: np.ndarray, labels: np.ndarray) -> Modes:
    """The modes of points x (n, 2) with these labels; those of less than three points are left out.

    Two points have no ellipse.
    """
    own = [x[labels == mode] for mode in np.unique(labels)]
    own = [points for points in own if len(points) > 2]
    return Modes(
        np.array([points.mean(0) for points in own]),
        np.array([np.cov(points, rowvar=False) for points in own]),
    )


def ellipse(mean: np.ndarray, covariance: np.ndarray, **ink: Any) -> Ellipse:
    """The ellipse of a mode, ``SIGMAS`` standard deviations from its middle."""
    variances, axes = np.linalg.eigh(covariance)
    short, long = 2 * SIGMAS * np.sqrt(variances)
    angle = np.degrees(np.arctan2(*axes[::-1, 1]))
    return Ellipse(tuple(mean), long, short, angle=float(angle), fill=False, **ink)


def modes(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Samples of methods trained and untrained, with the true modes and those found in them.

    A sample is of the mode of the nearest of ``REFERENCE`` draws of the law, as in ``mode_shape``.
    """
    own = study.experiments[experiment]
    law = DATASETS[own.dataset["name"]].law
    assert law is not None  # figure_list asks
    x, labels = law().sample(DRAWS, np.random.default_rng(SEED))
    truth, near, names = modes_of(x, labels), x[:REFERENCE], labels[:REFERENCE]
    table = Inputs().table(tables / "samples" / f"{experiment}.csv")
    size = int(table.n_train.max())
    table = table[(table.n_train == size) | (table.method == "data")]
    values = read_metrics(tables).query("experiment == @experiment and n_train == @size")
    values = values[values.seed == 0].set_index(["method", "metric"])["value"]
    shown = foremost(own.methods, set(table.method), look)
    figure, axes = plt.subplots(
        2, 1 + len(shown), figsize=(style.WIDTH, 4.1), sharex=True, sharey=True, squeeze=False
    )
    rows = [["data", *shown], [ALONE, *(f"{method}{UNTRAINED}" for method in shown)]]
    for panel, method in zip(axes.flat, [name for row in rows for name in row], strict=True):
        points = table.loc[table.method == method, ["x0", "x1"]].to_numpy()
        if not len(points):
            panel.set_axis_off()
            continue
        found = modes_of(points, names[nearest(points, near)])
        color = "black" if method == "data" else look[method.removesuffix(UNTRAINED)].color
        panel.scatter(points[:, 0], points[:, 1], s=1.5, color="0.78", lw=0, rasterized=True)
        _outline(panel, found, color=color, lw=1.3)
        _outline(panel, truth, color="black", lw=0.7, ls=DASHES)
        panel.set_title(titled(method, values), pad=3.5)
    low, high = np.quantile(x, [0.001, 0.999], axis=0)
    ends = np.array([low, high]) + 0.08 * np.outer([-1, 1], high - low)
    axes[0, 0].set(xticks=[], yticks=[], xlim=ends[:, 0], ylim=ends[:, 1])
    figure.suptitle(
        f"{experiment}, {size} training points, seed 0: what has the network learnt? "
        "Lower is better"
    )
    entries = [
        Line2D([], [], color="black", lw=0.7, ls=DASHES, label=f"true mode, {SIGMAS} deviations"),
        Line2D([], [], color=GREY, lw=1.3, label="the same of the samples, in the method's colour"),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=2, handlelength=3.2)
    return figure


def foremost(methods: list[str], there: set[str], look: dict[str, Look]) -> list[str]:
    """Those with an untrained model ``there``: ones in colour, or else all, up to ``MOST``."""
    learned = [name for name in methods if f"{name}{UNTRAINED}" in there]
    coloured = [name for name in learned if look[name].color not in (GREY, BROWN)]
    return (coloured or learned)[:MOST]


def titled(method: str, values: pd.Series) -> str:
    """A method above its panel, with its numbers; ``values`` by method and metric."""
    found = [
        f"{word} {values[method, metric]:.2g}"
        for metric, word in NUMBERS.items()
        if (method, metric) in values
    ]
    return f"{method}\n{', '.join(found)}"


def _outline(panel: Axes, modes: Modes, **ink: Any) -> None:
    for mean, covariance in zip(modes.means, modes.covariances, strict=True):
        panel.add_patch(ellipse(mean, covariance, **ink))
