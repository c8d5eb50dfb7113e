"""The forest plot of the claims: three questions to each, an effect with its interval as answer."""

import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.metrics.registry import DIFFERENCES
from ndsm.report.claim_documents import COLOURS, NULL, PRIMARY, RIVAL, TITLES, amount, in_words
from ndsm.report.method_looks import Look
from ndsm.report.verdict import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from ndsm.vocabulary import BEST

QUESTIONS = {
    PRIMARY: "Is the method better\nthan its baseline?",
    NULL: "Does its network add\nto its own mixture?",
    RIVAL: "Does nonlinear noise add\nto the same mixture?",
}
# Beside the colour and the word.
SHAPES = {SUPPORTED: "o", CONTRADICTED: "X", INCONCLUSIVE: "s"}
WIDTH, ROW = 5.8, 0.4  # inches; it is shown at half a page


def forest(tables: Path, study: PicturedStudy, look: dict[str, Look], experiment: str) -> Figure:
    """``forest_of`` the claims of a study, whose tables these are."""
    return forest_of(Inputs().table(tables.parent / "claims.csv"))


def forest_of(table: pd.DataFrame) -> Figure:
    """A row for each claim that is decided, a column for each of ``QUESTIONS``.

    Effects in nats, of a metric without a zero, stand below the others on an axis of their own.

    Args:
        table: the claims, as in claims.csv.
    """
    asked = table[table.role.isin(QUESTIONS) & table.effect.notna()]
    in_nats = asked.metric.str.removeprefix(BEST).isin(DIFFERENCES)
    units = {"%": asked[~in_nats], "nats": asked[in_nats]}
    units = {unit: rows for unit, rows in units.items() if (rows.role == PRIMARY).any()}
    counts = [rows.id.nunique() for rows in units.values()]
    size = WIDTH, ROW * sum(counts) + 0.55 * len(units) + 0.6
    figure, axes = plt.subplots(
        max(len(units), 1), len(QUESTIONS), figsize=size, squeeze=False, sharex="row", sharey="row",
        height_ratios=counts or [1],
    )  # fmt: skip
    for line, (unit, rows) in zip(axes, units.items(), strict=False):
        ids = list(dict.fromkeys(rows.id))
        for panel, role in zip(line, QUESTIONS, strict=True):
            _column(panel, rows[rows.role == role].set_index("id").reindex(ids), unit)
        words = {id_: TITLES.get(id_, name) for id_, name in in_words(table).items()}
        labels = [textwrap.fill(f"{id_}  {words[id_]}", 17) for id_ in ids]
        line[0].set(yticks=range(len(ids)), yticklabels=labels, ylim=(len(ids) - 0.5, -0.6))
        _limits(line[0], rows, 100 if unit == "%" else 1)
        line[1].set_xlabel(f"effect ({unit}) with its interval; to the right of zero is better")
    for panel, question in zip(axes[0], QUESTIONS.values(), strict=True):
        panel.set_title(question)
    return figure


def _column(panel: Axes, rows: pd.DataFrame, unit: str) -> None:
    """The effects of one question, from above; or that it was not asked."""
    panel.axvline(0, color="black", lw=0.8)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", length=0)
    scale = 100 if unit == "%" else 1
    for y, row in enumerate(rows.itertuples()):
        if pd.isna(row.effect):
            panel.text(0.5, y, "not asked", color="0.6", ha="center", **_words(panel))
            continue
        color, shape = COLOURS[row.verdict], SHAPES[row.verdict]
        hollow = "white" if row.verdict == INCONCLUSIVE else color
        panel.plot([scale * row.ci_low, scale * row.ci_high], [y, y], color=color, lw=1.6)
        panel.plot(scale * row.effect, y, shape, color=color, mfc=hollow, ms=5)
        words = f"{amount(row.metric, row.effect)}, {row.verdict}"
        panel.text(0.02, y - 0.3, words, color=color, **_words(panel))


def _words(panel: Axes) -> dict[str, Any]:
    """How a word is written: in the row of its claim, over the line at zero."""
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    place = {"transform": panel.get_yaxis_transform(), "fontsize": 6.5, "va": "center"}
    return place | {"bbox": paper}


def _limits(panel: Axes, rows: pd.DataFrame, scale: float) -> None:
    """All intervals and zero, with room at the ends."""
    ends = scale * rows[["effect", "ci_low", "ci_high"]].to_numpy(dtype=float)
    low, high = min(0.0, np.nanmin(ends)), max(0.0, np.nanmax(ends))
    margin = 0.06 * (high - low)
    panel.set_xlim(low - margin, high + margin)
