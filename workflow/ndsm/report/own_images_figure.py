"""Images of the user's own beside samples, which lead from principal components back to pixels."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ndsm.report.method_looks import looks
from ndsm.report.style import WIDTH

BETWEEN = "#a9c4e4"  # no grey


def images(
    samples: pd.DataFrame,
    methods: Sequence[str],
    n_train: int,
    arrays: Mapping[str, np.ndarray],
) -> Figure:
    """A line of held-out images, of the same by their components, of samples of each method.

    Args:
        samples: points of data and methods, standardised; as tables/samples has them.
        methods: whose samples are drawn.
        n_train: with how many training images.
        arrays: of the file of data: mean and deviation (K,), pixel_mean (side²,), pixel_basis
            (K, side²), and pixels (m, side²), the images that are shown.
    """
    real, centre, basis = (arrays[name] for name in ("pixels", "pixel_mean", "pixel_basis"))
    by_components = centre + (real - centre) @ basis.T @ basis
    lines = {
        "held-out images": real,
        f"the same images, as {len(basis)} principal components show them": by_components,
    }
    names = [name for name in samples if str(name).startswith("x")]
    own = samples[samples.n_train == n_train]
    for method in methods:
        points = own.loc[own.method == method, names].to_numpy()[: len(real)]
        title = f"samples of {method}, {n_train} training images"
        lines[title] = centre + (points * arrays["deviation"] + arrays["mean"]) @ basis
    colours = ["black", "black", *(look.color for look in looks(methods).values())]
    height = len(lines) * (WIDTH / len(real) + 0.3)
    figure, panels = plt.subplots(len(lines), figsize=(WIDTH, height))
    grey = plt.get_cmap("gray").with_extremes(bad=BETWEEN)
    for panel, (title, x), colour in zip(panels, lines.items(), colours, strict=True):
        ink = {"cmap": grey, "vmin": real.min(), "vmax": real.max()}
        panel.imshow(side_by_side(x), interpolation="nearest", **ink)
        panel.set_title(title, loc="left", color=colour, pad=3)
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        panel.spines[:].set(visible=False)
    return figure


def side_by_side(x: np.ndarray) -> np.ndarray:
    """Square images x (m, side²) as one array, one pixel (NaN) apart."""
    side = round(x.shape[1] ** 0.5)
    tiles = np.full((len(x), side, side + 1), np.nan)
    tiles[:, :, :side] = x.reshape(-1, side, side)
    return tiles.swapaxes(0, 1).reshape(side, -1)[:, :-1]
