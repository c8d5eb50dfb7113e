"""The look of every figure: readable in print at column width, and without colour vision.

A method has one colour, one marker and one dash pattern, the same in every figure of a study.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, NullLocator

from ndsm.artefacts import files
from ndsm.metrics.registry import METRICS
from ndsm.vocabulary import UNTRAINED

WIDTH = 7.0  # inches, two columns of a page
FLOOR_COLOUR = "0.35"
LABELS = {name: metric.label for name, metric in METRICS.items()} | {"score_error": "score error"}
LINEAR = frozenset(name for name, metric in METRICS.items() if not metric.logarithmic)


@dataclass(frozen=True)
class Look:
    """How one method is drawn."""

    color: tuple[float, float, float]
    marker: str
    linestyle: str | tuple


def titled(metric: str) -> str:
    """What a metric is called above a panel: a long name, with what is right, on two lines."""
    name = LABELS.get(metric, metric)
    return name.replace(" (", "\n(") if len(name) > 28 else name


def looks(groups: Iterable[Sequence[str]]) -> dict[str, Look]:
    """A look for each method, its own among those that are drawn together.

    An untrained model is a dotted line, without markers, in the colour of its method.

    Methods of different experiments may share a colour, but no marker. A variant
    (``ndsm_cv_orbit``) looks like what it varies, where it is never drawn beside it.

    Args:
        groups: the methods of each experiment, in the order of the study.
    """
    palette = sns.color_palette("colorblind")
    # Without its yellow and its second pink, which print too light or too alike.
    colours = [palette[k] for k in (0, 1, 2, 3, 4, 9, 5, 7)]
    colours.append(to_rgb("indigo"))
    markers = "osD^vPX<>*phd"
    dashes: list[str | tuple] = [
        "-",
        (0, (5, 1.5)),
        (0, (3, 1, 1, 1)),
        (0, (1, 1)),
        (0, (6, 1, 1, 1, 1, 1)),
    ]
    names = [list(group) for group in groups]
    groups = [[name for name in group if not name.endswith(UNTRAINED)] for group in names]
    number, marker = dict[str, int](), dict[str, int]()
    for method in dict.fromkeys(chain.from_iterable(groups)):
        beside = chain.from_iterable(group for group in groups if method in group)
        used = {number[other] for other in beside if other in number}
        varied = method.rpartition("_")[0]
        if varied in number and number[varied] not in used:
            number[method], marker[method] = number[varied], marker[varied]
        else:
            number[method] = next(k for k in count() if k not in used)
            marker[method] = len(set(marker.values()))
    looks = {
        method: Look(
            colours[k % len(colours)],
            markers[marker[method] % len(markers)],
            dashes[k % len(dashes)],
        )
        for method, k in number.items()
    }
    for name in chain.from_iterable(names):
        if name not in looks:
            looks[name] = Look(looks[name.removesuffix(UNTRAINED)].color, "", (0, (1, 2)))
    return looks


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


def value_axis(
    axes: Axes, metric: str, values: np.ndarray, floor: np.ndarray, axis: str = "y"
) -> None:
    """Scales an axis for a metric: logarithmic where that is possible.

    An unbiased distance may be zero or negative; the axis is then linear about zero, as far as the
    values reach below it or the floor scatters, and logarithmic beyond.

    Args:
        axes: the panel.
        metric: name of the metric.
        values: everything that is drawn, bands included.
        floor: values of the floor, maybe none.
        axis: x or y.
    """
    values = values[np.isfinite(values)]
    scale, ticks = (axes.set_xscale, axes.xaxis) if axis == "x" else (axes.set_yscale, axes.yaxis)
    if metric in LINEAR or not values.size:
        return
    if values.min() > 0:
        scale("log")
        log_ticks(ticks, values)
        return
    noise = max(np.abs(values[values <= 0]).max(), floor.std() if floor.size else 0.0)
    noise = noise or values.max() / 1e3 or 1.0
    linear = 10.0 ** np.ceil(np.log10(noise))
    scale("symlog", linthresh=linear, linscale=0.6)
    decades = 10.0 ** np.arange(np.log10(linear), np.log10(max(values.max(), linear)) + 0.99)
    below = [-linear] if values.min() < -0.3 * linear else []
    plain_ticks(ticks, FixedLocator([*below, 0.0, *decades]))


def log_ticks(axis: Axis, values: np.ndarray) -> None:
    """Ticks of a logarithmic axis, closer where the (positive) ``values`` span little."""
    decades = np.log10(values.max() / values.min())
    between = (1, 2, 5) if decades < 1 else (1, 3) if decades < 2 else (1,)
    plain_ticks(axis, LogLocator(subs=between))


def plain_ticks(axis: Axis, locator: Locator) -> None:
    """Ticks where ``locator`` says, in plain numbers; no others, which take long to draw."""
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(_number))
    axis.set_minor_locator(NullLocator())


def _number(value: float, _: int) -> str:
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


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
    line(floor.mean(), color=FLOOR_COLOUR, lw=1, ls=(0, (1, 1.5)), zorder=1, label="floor")
    if floor.size > 1:
        low, high = floor.mean() - floor.std(ddof=1), floor.mean() + floor.std(ddof=1)
        span(low, high, color=FLOOR_COLOUR, alpha=0.12, lw=0, zorder=0)


def legend(figure: Figure, axes: Iterable[Axes], columns: int) -> None:
    """One legend below all panels, each entry once."""
    entries: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=columns,
        handlelength=3.4,
    )


def save(figure: Figure, path: Path) -> None:
    """Writes ``path``.png (200 dpi) and ``path``.pdf, whole or not at all, and frees the figure."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is found; finding it again for the PDF is slow
    png: dict[str, Any] = {"dpi": 200, "pil_kwargs": {"compress_level": 4}}
    pdf: dict[str, Any] = {"dpi": 200, "metadata": {"CreationDate": None}}
    for suffix, options in ((".png", png), (".pdf", pdf)):
        with files.atomic(path.with_name(path.name + suffix)) as temporary:
            figure.savefig(temporary, **options)
    figure.clear()
