"""Figures that show samples: scatter plots, grids of images, the forward process."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.data.datasets import DATASETS
from ndsm.data.images import is_inverted
from ndsm.report import style
from ndsm.report.method_looks import Look
from ndsm.vocabulary import CEILING

GRID = 5  # digits on a side of a mosaic


def _sample_panels(
    tables: Path, study: PicturedStudy, experiment: str, shares: tuple[float, ...]
) -> tuple[Figure, np.ndarray, list[tuple[Axes, str, np.ndarray]]]:
    """A block of panels for some of the training sizes, data first in each.

    Returns:
        The figure, the held-out data (n, d), and (panel, method, samples (n, d)) for each panel.
    """
    table = Inputs().table(tables / "samples" / f"{experiment}.csv")
    columns = [c for c in table if c.startswith("x")]
    methods = [m for m in study.experiments[experiment].methods if m in set(table.method)]
    methods += [CEILING] if CEILING in set(table.method) else []
    sizes = sorted({table.n_train.quantile(q, interpolation="lower") for q in shares})
    panels = 1 + len(methods)
    wide, deep, height = grid(panels, len(sizes))
    figure = plt.figure(figsize=(style.WIDTH, height))
    blocks = figure.subfigures(len(sizes), 1, squeeze=False).ravel()
    data = table.loc[table.method == "data", columns].to_numpy()
    drawn = []
    for block, n_train in zip(blocks, sizes, strict=True):
        block.suptitle(f"{experiment}: data and samples, {n_train} training points")
        axes = block.subplots(deep, wide, squeeze=False).ravel()
        for panel in axes[panels:]:
            panel.set_axis_off()
        for panel, method in zip(axes, ["data", *methods], strict=False):
            rows = table[(table.method == method) & (table.n_train == n_train)]
            x = data if method == "data" else rows[columns].to_numpy()
            panel.set_title(style.wrapped(method, 90 // wide), pad=3.5)
            panel.set(xticks=[], yticks=[])
            drawn.append((panel, method, x))
    return figure, data, drawn


def grid(panels: int, blocks: int) -> tuple[int, int, float]:
    """Panels beside and below one another in a block, and the height of all blocks in inches.

    Six or more beside one another, as few as keep the figure low, and rows as equal as can be.
    """
    for most in range(min(panels, 6), panels + 1):
        deep = -(-panels // most)
        wide = -(-panels // deep)
        height = blocks * (deep * (style.WIDTH / wide + 0.2) + 0.25)
        if height <= style.TALLEST:
            break
    return wide, deep, height


def samples(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Samples beside data: as images, or as points."""
    dataset = study.experiments[experiment].dataset["name"]
    return (digits if DATASETS[dataset].image else scatter)(tables, study, look, experiment)


def scatter(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Samples beside data; above two dimensions on the data's first two principal axes."""
    figure, data, drawn = _sample_panels(tables, study, experiment, (0, 1))
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


def codes(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Codes on the two principal axes of the training images': these, prior and samples."""
    table = Inputs().table(tables / "codes" / f"{experiment}.csv")
    columns = [c for c in table if c.startswith("x")]
    n_train = sorted(table.n_train.unique())[len(table.n_train.unique()) // 2]
    table = table[table.n_train == n_train]
    data = table.loc[table.method == CEILING, columns].to_numpy()
    methods = [m for m in study.experiments[experiment].methods if m in set(table.method)]
    centre, axes_of = data.mean(0), np.linalg.svd(data - data.mean(0), full_matrices=False)[2][:2]
    wide, deep, height = grid(1 + len(methods), 1)
    figure, axes = plt.subplots(deep, wide, figsize=(style.WIDTH, height), squeeze=False)
    low, high = np.quantile((data - centre) @ axes_of.T, [0.002, 0.998], axis=0)
    margin = 0.12 * (high - low)
    for panel in axes.flat[1 + len(methods) :]:
        panel.set_axis_off()
    for panel, method in zip(axes.flat, [CEILING, *methods], strict=False):
        x0, x1 = ((table.loc[table.method == method, columns].to_numpy() - centre) @ axes_of.T).T
        color = "black" if method == CEILING else look[method].color
        panel.scatter(x0, x1, s=2, color=color, alpha=0.3, lw=0, rasterized=True)
        panel.set_title("training images" if method == CEILING else style.wrapped(method), pad=3.5)
        panel.set(xticks=[], yticks=[], box_aspect=1)
        panel.set(xlim=(low[0] - margin[0], high[0] + margin[0]))
        panel.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
    figure.suptitle(f"{experiment}: codes of training images and of samples, {n_train} images")
    return figure


def digits(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """Grids of generated images beside data: the first ones, not chosen.

    With an approximate symmetry the first of either branch, the upright ones above.
    """
    figure, data, drawn = _sample_panels(tables, study, experiment, (0, 1))
    grey = plt.get_cmap("gray_r").with_extremes(bad="#a9c4e4")  # between the images
    symmetric = "symmetry" in study.experiments[experiment].dataset
    for panel, method, points in drawn:
        x = both_branches(points) if symmetric else points
        ink = {"cmap": grey, "vmin": data.min(), "vmax": data.max()}
        panel.imshow(mosaic(x), interpolation="nearest", **ink)
        panel.grid(False)
        color = "black" if method in ("data", CEILING) else look[method].color
        panel.spines[:].set(color=color, linewidth=1.2)
    return figure


def both_branches(x: np.ndarray) -> np.ndarray:
    """The first upright images of x (n, d), then the first inverted ones, to fill a mosaic."""
    inverted = is_inverted(x)
    above = GRID * (GRID // 2 + 1)
    return np.concatenate([x[~inverted][:above], x[inverted][: GRID * GRID - above]])


def mosaic(x: np.ndarray) -> np.ndarray:
    """The first ``GRID``² square images of x (n, side²) as one array, one pixel apart (NaN)."""
    side = round(x.shape[1] ** 0.5)
    tiles = np.full((GRID * GRID, side + 1, side + 1), np.nan)
    images = x[: GRID * GRID].reshape(-1, side, side)
    tiles[: len(images), :side, :side] = images
    rows = tiles.reshape(GRID, GRID, side + 1, side + 1).swapaxes(1, 2)
    return rows.reshape(GRID * (side + 1), -1)[:-1, :-1]


def forward_process(
    tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str
) -> Figure:
    """Densities over time under linear and under nonlinear noising, and the latter's limit."""
    table = Inputs().table(tables / "forward.csv", t=str)
    table = table[table.shows == "snapshot"]
    points = table[["x0", "x1"]].to_numpy()
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    half = 1.16 * (high - low).max() / 2
    box = [(centre - half, centre + half) for centre in (high + low) / 2]
    names = {"ou": "linear noise", "gmm": "nonlinear noise"}
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
