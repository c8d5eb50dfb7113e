"""The look of every figure: readable in print at column width, and without colour vision.

How each method is drawn: ``method_looks``.
"""

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    Locator,
    MaxNLocator,
    NullLocator,
)

from ndsm.artefacts import files
from ndsm.metrics.registry import METRICS
from ndsm.report.method_looks import GREY, UNTRAINED_DASHES

FRAMES_PER_SECOND, SCREEN_DPI = 10, 100  # of what moves
WIDTH = 7.0  # inches, two columns of a page
FITS = 13  # entries of a legend in a panel
NARROW = 23  # letters above a panel of a fourth of the width
# Inches in a legend: a letter, what an entry has besides; a row.
LETTER, ENTRY, ROW = 0.054, 0.52, 0.155
TALLEST = 8.8  # inches: two screens at the width of one
FLOOR_COLOUR = "0.35"
NULLS = "untrained"  # one entry of a legend for all of them
READING = "lower is better unless noted"
LABELS = {name: metric.label for name, metric in METRICS.items()} | {"score_error": "score error"}
LINEAR = frozenset(name for name, metric in METRICS.items() if not metric.logarithmic)


def titled(metric: str, letters: int = NARROW) -> str:
    """What a metric is called above a panel, in lines that are as short as a narrow one needs."""
    name = LABELS.get(metric, metric)
    head, bracket, _ = name.partition(" (")
    if bracket and len(head) <= letters < len(name):
        return name.replace(" (", "\n(")
    return textwrap.fill(name, letters, break_on_hyphens=False)


def use() -> None:
    """Sets the style for this process: fonts of 7 to 8 points, thin lines, light grid.

    Whatever a matplotlibrc of the user says.
    """
    mpl.rcdefaults()
    mpl.use("Agg")
    sns.set_theme(
        style="ticks",
        rc={
            "font.size": 8,
            "axes.labelsize": 8,
            "axes.titlesize": 8,
            "figure.titlesize": 8.5,
            "figure.titleweight": "bold",
            "figure.labelsize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7.5,
            "legend.frameon": False,
            "axes.linewidth": 0.6,
            "axes.grid": True,
            "grid.linewidth": 0.3,
            "grid.color": "0.88",
            "axes.axisbelow": True,
            "lines.linewidth": 1.2,
            "lines.markersize": 3.8,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "figure.constrained_layout.use": True,
        },
    )


def wrapped(method: str, at: int = 16) -> str:
    """A method's name on as many lines as a narrow panel needs, broken after underscores."""
    lines = [""]
    for word in method.replace("_", "_ ").split():
        if lines[-1] and len(lines[-1]) + len(word) > at:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def logarithmic(metric: str, values: np.ndarray) -> bool:
    """Whether a metric's axis is logarithmic: all its ``values``, of each seed, are above zero."""
    return metric not in LINEAR and bool((values > 0).all())


def value_axis(
    axes: Axes, metric: str, values: np.ndarray, floor: np.ndarray, log: bool, axis: str = "y"
) -> None:
    """Scales an axis for a metric and fits it to ``values``.

    An unbiased distance may be zero or negative; the axis is then linear about zero, as far as the
    values reach below it or the floor scatters, and logarithmic beyond.

    Args:
        axes: the panel.
        metric: name of the metric.
        values: everything that must be seen; what else is drawn may lie outside.
        floor: values of the floor, maybe none; they are seen as well.
        log: what ``logarithmic`` says.
        axis: x or y.
    """
    values = np.concatenate([values, floor])
    values = values[np.isfinite(values)]
    scale, ticks = (axes.set_xscale, axes.xaxis) if axis == "x" else (axes.set_yscale, axes.yaxis)
    if not values.size:
        return
    if metric in LINEAR:
        ticks.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    elif log:
        scale("log")
        log_ticks(ticks, values)
    else:
        below = np.abs(values[values <= 0])
        noise = max(below.max(initial=0.0), floor.std() if floor.size else 0.0)
        noise = noise or values.max() / 1e3 or 1.0
        linear = 10.0 ** np.ceil(np.log10(noise))
        scale("symlog", linthresh=linear, linscale=0.6)
        plain_ticks(ticks, FixedLocator(_ticks_about_zero(values, linear)))
    fit(axes, ticks, values)


def _ticks_about_zero(values: np.ndarray, linear: float) -> list[float]:
    """Zero, and decades from where an axis is no more linear; closer if there are but two."""
    high = max(values.max(), linear)
    negative = [-linear] if values.min() < -0.3 * linear else []
    decades = 10.0 ** np.arange(np.log10(linear), np.log10(high) + 0.99)
    for between in ((1,), (1, 3), (0.5, 1)):
        above = np.outer(decades, between).ravel()
        if len(negative) + (above <= 1.05 * high).sum() >= 2:
            break
    return [*negative, 0.0, *above]


def fit(axes: Axes, axis: Axis, values: np.ndarray) -> None:
    """Limits a little beyond ``values``, in the units of the axis's scale."""
    shown = axis.get_transform().transform(np.array([values.min(), values.max()]))
    margin = 0.06 * np.ptp(shown) or 0.1
    ends = axis.get_transform().inverted().transform(shown + [-margin, margin])
    (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(*ends)


def log_ticks(axis: Axis, values: np.ndarray) -> None:
    """Ticks of a logarithmic axis: at decades, or closer, until three are among the ``values``."""
    low, high = values.min(), values.max()
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for between in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = np.outer(decades, between).ravel()
        if ((ticks > 0.95 * low) & (ticks < 1.05 * high)).sum() >= 3:
            plain_ticks(axis, FixedLocator(ticks.tolist()))
            return
    plain_ticks(axis, MaxNLocator(4, steps=[1, 2, 5, 10]))


def plain_ticks(axis: Axis, locator: Locator) -> None:
    """Ticks where ``locator`` says, in plain numbers; no others, which take long to draw."""
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(_number))
    axis.set_minor_locator(NullLocator())


def _number(value: float, _: int) -> str:
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:.6g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def draw_floor(axes: Axes, floor: np.ndarray, axis: str = "y") -> None:
    """The floor: a line at its mean, a band of one standard deviation on either side.

    Args:
        axes: the panel.
        floor: (draws,) values of real data against real data; nothing is drawn if there are none.
        axis: on which the values are, x or y.
    """
    line, span = (axes.axvline, axes.axvspan) if axis == "x" else (axes.axhline, axes.axhspan)
    if not floor.size:
        return
    log = (axes.get_xscale() if axis == "x" else axes.get_yscale()) == "log"
    values = np.log(floor) if log else floor
    spread = values.std(ddof=1) if floor.size > 1 else 0.0
    ends = values.mean() + spread * np.array([-1, 0, 1])
    low, middle, high = np.exp(ends) if log else ends
    line(middle, color=FLOOR_COLOUR, lw=1, ls=(0, (1, 1.5)), zorder=1, label="floor")
    span(low, high, color=FLOOR_COLOUR, alpha=0.12, lw=0, zorder=0)


def panels(count: int, height: float) -> tuple[Figure, np.ndarray, Axes | None]:
    """A grid for ``count`` panels, at most four beside one another.

    Args:
        count: how many panels.
        height: of one, in inches.

    Returns:
        The figure, the panels (count,), and the empty place for a legend, if there is one.
    """
    wide = count if count < 4 else 3 if count in (5, 6, 9) else 4
    wide = 2 if count == 4 else wide
    deep = -(-count // wide)
    space = 0 if deep * wide > count else 0.6
    figure = plt.figure(figsize=(WIDTH, height * deep + space + 0.3))
    axes = figure.subfigures(squeeze=False)[0, 0].subplots(deep, wide, squeeze=False)
    for panel in axes.flat[count:]:
        panel.set_axis_off()
    return figure, axes.flat[:count], axes.flat[-1] if deep * wide > count else None


def name_below(axes: np.ndarray, name: str) -> None:
    """The name of the axis that all panels of a figure have in common."""
    axes.flat[0].get_figure().supxlabel(name, fontsize=8)


def legend(figure: Figure, axes: Iterable[Axes], place: Axes | None = None) -> None:
    """One legend, each entry once: in an empty panel, or else below all panels in even rows.

    There is room for two rows; for others, and if an empty panel is too small, the figure grows.
    """
    entries: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if "floor" in entries:
        entries["floor"] = entries.pop("floor")  # behind the methods
    if entries.pop(NULLS, None):  # of all methods, so in no method's colour
        entries[NULLS] = Line2D([], [], color=GREY, ls=UNTRAINED_DASHES)
    handles, labels = list(entries.values()), list(entries)
    if place is not None and len(labels) <= FITS:
        place.legend(handles, labels, loc="center", handlelength=3.2)
        return
    most = min(5, int(WIDTH // (LETTER * max(map(len, labels)) + ENTRY)))
    rows = -(-len(labels) // most)
    columns = -(-len(labels) // rows)  # rows that are equally full
    tight = {"handlelength": 2.8, "columnspacing": 1.4}
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, **tight)
    grows = ROW * (max(rows, 2) if place is not None else max(rows - 2, 0))
    figure.set_figheight(figure.get_figheight() + grows)


@dataclass(frozen=True)
class Moving:
    """A figure that moves.

    Attributes:
        figure: as it is before the first moment.
        moments: all that it shows, in order.
        draw: changes the figure to one of them.
    """

    figure: Figure
    moments: list[Any]
    draw: Callable[[Any], None]


def save_moving(moving: Moving, path: Path) -> None:
    """Writes ``path``.gif, whole or not at all; a frame like the one before only lasts longer."""
    moving.figure.draw_without_rendering()
    moving.figure.set_layout_engine("none")  # so that nothing but the points moves
    writer = PillowWriter(fps=FRAMES_PER_SECOND)
    with files.atomic(path.with_name(f"{path.name}.gif")) as temporary:
        with writer.saving(moving.figure, temporary, SCREEN_DPI):
            for moment in moving.moments:
                moving.draw(moment)
                writer.grab_frame()


def save(figure: Figure, path: Path, print_too: bool = True) -> None:
    """Writes ``path``.png (200 dpi) and ``path``.pdf, whole or not at all, and frees the figure."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is found; finding it again for the PDF is slow
    png: dict[str, Any] = {"dpi": 200, "pil_kwargs": {"compress_level": 4}}
    pdf: dict[str, Any] = {"dpi": 200, "metadata": {"CreationDate": None}}
    for suffix, options in ((".png", png), (".pdf", pdf))[: 2 if print_too else 1]:
        with files.atomic(path.with_name(path.name + suffix)) as temporary:
            figure.savefig(temporary, **options)
    figure.clear()
