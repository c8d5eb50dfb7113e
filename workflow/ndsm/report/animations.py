"""Figures that move: noising and generation, linear beside nonlinear, as an animation (GIF)."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.report import style
from ndsm.report.method_looks import NAVY, WINE, Look

HOLD = 8  # frames for which data, noise and samples stand still
PANELS = {"ou": ("linear noise", NAVY), "gmm": ("nonlinear noise", WINE)}
WORDS = {"noising": "From data to noise", "generation": "And back: from noise to samples"}

Moment = tuple[str, int]  # what is shown and its frame


def forward_process(
    tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str
) -> style.Moving:
    """Particles from the data to the prior, and draws of the prior back where a network leads.

    Grey are the data. Both panels show the same time.
    """
    table = Inputs().table(tables / "forward.csv", t=str)
    paths = {
        shows: {moment: rows for moment, rows in own.groupby(["process", "frame"])}
        for shows, own in table.groupby("shows")
        if shows in WORDS
    }
    figure, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.95))
    data = table[(table.shows == "snapshot") & (table.frame == 0)]
    dots = {
        process: _prepared(panel, data[data.process == process], color)
        for panel, (process, (_, color)) in zip(axes, PANELS.items(), strict=True)
    }
    titles = {p: panel.set_title(" ") for p, panel in zip(PANELS, axes, strict=True)}
    above = figure.suptitle(" ")

    def draw(moment: Moment) -> None:
        shows, frame = moment
        above.set_text(WORDS[shows])
        for process, (name, _) in PANELS.items():
            rows = paths[shows][process, frame]
            method = f" ({rows.method.iloc[0]})" if shows == "generation" else ""
            titles[process].set_text(f"{name}{method}, t = {float(rows.t.iloc[0]):.2f}")
            dots[process].set_offsets(rows[["x0", "x1"]].to_numpy())

    frames = {shows: len(own) // len(PANELS) for shows, own in paths.items()}
    return style.Moving(figure, moments(frames), draw)


def moments(frames: dict[str, int]) -> list[Moment]:
    """The order of the frames, of which there are so many of each kind, with rests at the ends."""
    order = []
    for shows in [name for name in WORDS if name in frames]:
        last = frames[shows] - 1
        rest = [(shows, 0)] * HOLD, [(shows, last)] * HOLD
        order += [*rest[0], *((shows, frame) for frame in range(1, last)), *rest[1]]
    return order


def _prepared(panel: Axes, data: pd.DataFrame, color: str) -> Any:
    """A panel with the data in grey, and the particles that will move on it."""
    points = data[["x0", "x1"]].to_numpy()
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    half = 1.2 * (high - low).max() / 2
    panel.scatter(points[:, 0], points[:, 1], s=3, color="0.8", lw=0)
    (left, below), (right, above) = (high + low) / 2 - half, (high + low) / 2 + half
    panel.set(xticks=[], yticks=[], box_aspect=1, xlim=(left, right), ylim=(below, above))
    return panel.scatter([], [], s=6, color=color, lw=0)
