"""The claims in words: what each says, and the two documents that show their verdicts.

claims.md is for reading in a terminal or a repository, report.rst is the front page of the report.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ndsm.names import DIFFERENCES
from ndsm.verdict import CONTRADICTED, INCONCLUSIVE, SUPPORTED

CLAIMS = {
    "C1": "noising adapted to the structure improves learning of multimodal low-dimensional "
    "distributions",
    "C2": "the structure comes from an inexpensive preprocessing step",
    "C3": "NDSM learns the right score with nonlinear noising",
    "C4": "neural control variates reduce the variance of the objective",
    "C5": "less data: the same quality from fewer samples",
    "C6": "images with imbalanced modes: class proportions, quality of the minority class",
    "C7": "images from small training sets",
    "C8": "images with approximate symmetry, where exactly equivariant networks cannot be right",
    "C9": "latent space: better, at greatly reduced computational cost",
}
NOT_RUN = "not run"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_RUN)


def command(spec: dict[str, Any], out: Path) -> str:
    """The shell command that computes the claims table anew."""
    study = spec["study"].removesuffix(f"_{spec.get('scale')}")
    given = [f"study={study}"] if study != "default" else []
    given += [f"{key}={spec[key]}" for key in ("scale", "claim") if key in spec]
    options = f" --config {' '.join(given)}" if given else ""
    return f"snakemake --cores all{options} --forcerun claims -- {out}"


def _cells(table: pd.DataFrame, notes: pd.Series) -> list[list[str]]:
    """The table's cells as text, without the claim's words; notes by number."""
    numbers = itertools.count(1)
    marks = ["" if not note else f" [{next(numbers)}]" for note in notes.fillna("")]
    rows = []
    for row, mark in zip(table.itertuples(), marks, strict=True):
        cells = [row.id, row.experiment, row.metric, row.method, row.baseline, row.n_train]
        shown = _nats if row.metric in DIFFERENCES else _percent
        effect = [shown(each) for each in (row.effect, row.ci_low, row.ci_high)]
        p_value = "" if pd.isna(row.p_value) else f"{row.p_value:.2g}"
        texts = [
            "" if pd.isna(cell) else str(cell) for cell in [*cells, *effect, p_value, row.seeds]
        ]
        rows.append([*texts, f"**{row.verdict}**{mark}"])
    return rows


def _percent(value: float | None) -> str:
    """A share as a percentage with its sign, e.g. +12 %; the space does not break."""
    if value is None or pd.isna(value):
        return ""
    return f"{100 * value:+.3g}\N{NO-BREAK SPACE}%" if np.isfinite(value) else f"{value:+}"


def _nats(value: float | None) -> str:
    """A difference of log-densities with its sign, e.g. +0.12 nats."""
    if value is None or pd.isna(value):
        return ""
    return f"{value:+.3g}\N{NO-BREAK SPACE}nats"


HEADER = "id,experiment,metric,method,baseline,n_train,effect,CI low,CI high,p,seeds,verdict".split(
    ","
)


def _notes(notes: pd.Series) -> list[str]:
    return [f"[{k}] {note}." for k, note in enumerate((n for n in notes.fillna("") if n), start=1)]


def _reading(table: pd.DataFrame, spec: dict[str, Any]) -> list[str]:
    """How to read the verdicts, one paragraph each."""
    level, run = spec["verdict"]["level"], table[table.verdict != NOT_RUN]
    confidence = f"{100 * (1 - level):g} %"
    return [
        "The numbers are this study's own. It reproduces the claims of a paper's abstract, "
        "not its figures, and none of the numbers is the paper's.",
        "*effect* is the mean improvement of the method over the baseline, relative to the "
        "baseline's mean (of *nll* the difference): positive is in favour of the claim. Where "
        "the baseline is a threshold (*at most x*) it is the relative distance below it; for "
        "*size_to_match* the share of the training points saved. *CI* is its "
        f"{confidence} bootstrap interval over seeds, *p* the p-value of a two-sided paired t test "
        "over the same seeds (each seed gives both methods the same training points).",
        f"**supported**: p is below {level} and the whole interval is above zero. "
        f"**contradicted**: p is below {level} and the whole interval is below zero. "
        f"**inconclusive**: anything else; it is not evidence of no effect. Both conditions are "
        "required because a bootstrap over five seeds is too narrow by itself. "
        f"**{NOT_RUN}**: this study has no experiment for the claim.",
        f"{len(run)} comparisons were made. If no claim had any effect, about "
        f"{len(run) * level:.1f} of them would still reach a verdict by chance at level {level}. "
        f"{_holm(run, level)} of the {(run.verdict != INCONCLUSIVE).sum()} verdicts other than "
        "inconclusive remain after Holm's correction for all comparisons.",
    ]


def _holm(run: pd.DataFrame, level: float) -> int:
    """How many verdicts survive Holm's step-down correction over all comparisons."""
    ordered = run.sort_values("p_value", na_position="last")
    passed = ordered.p_value.lt(level / np.arange(len(run), 0, -1)).cummin()
    return int((passed & (ordered.verdict != INCONCLUSIVE)).sum())


def _counts(table: pd.DataFrame) -> pd.DataFrame:
    """Number of verdicts of each kind per claim, (claims, verdicts)."""
    return pd.crosstab(table.id, table.verdict).reindex(columns=VERDICTS, fill_value=0)


def markdown(table: pd.DataFrame, notes: pd.Series, spec: dict[str, Any], out: Path) -> str:
    """claims.md: counts per claim, every row, how to read them, the command."""

    def grid(header: list[str], rows: list[list[str]]) -> list[str]:
        lines = [header, ["---"] * len(header), *rows]
        return [f"| {' | '.join(line)} |" for line in lines]

    counts = [
        [id_, CLAIMS[id_], *(str(count or "") for count in row)]
        for id_, row in zip(_counts(table).index, _counts(table).to_numpy(), strict=True)
    ]
    lines = [f"# Claims: study {spec['study']}", ""]
    lines += grid(["id", "claim", *VERDICTS], counts)
    lines += ["", "## Every comparison", "", *grid(HEADER, _cells(table, notes)), ""]
    lines += [f"- {note}" for note in _notes(notes)]
    lines += ["", "## How to read it", ""]
    lines += [line for paragraph in _reading(table, spec) for line in (paragraph, "")]
    lines += ["Regenerate this table:", "", f"    {command(spec, out)}", ""]
    return "\n".join(lines)


def front_page(table: pd.DataFrame, notes: pd.Series, spec: dict[str, Any], out: Path) -> str:
    """report.rst: the question, the claims with their verdicts, how to read them, each claim."""

    def listing(header: list[str], rows: list[list[str]], widths: str) -> list[str]:
        lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
        for row in [header, *rows]:
            lines += [
                f"   {'*' if k == 0 else ' '} - {_escape(cell)}" for k, cell in enumerate(row)
            ]
        return [*lines, ""]

    counts = [
        [id_, CLAIMS[id_], *(str(count or "–") for count in row)]
        for id_, row in zip(_counts(table).index, _counts(table).to_numpy(), strict=True)
    ]
    run, cells = table[table.verdict != NOT_RUN], _cells(table, notes)

    def section(id_: str) -> list[str]:
        """A claim's own section: its words, the outcomes, its comparisons."""
        title = f"{id_}: {CLAIMS[id_]}"
        own = [row[1:] for row in cells if row[0] == id_]
        return [
            title,
            "-" * len(title),
            "",
            *listing(HEADER[1:], own, "13 15 13 13 7 8 8 8 7 6 14"),
        ]

    lines = [
        "Nonlinear denoising score matching: do the claims hold?",
        "=======================================================",
        "",
        "A diffusion model noises data towards a Gaussian that knows nothing of them. Nonlinear "
        "denoising score matching noises towards a mixture fitted to the data instead. The "
        "question of this study: which claims of the abstract of arXiv:2405.15625 hold when one "
        "trains both with the same networks, data, seeds and number of network evaluations?",
        "",
        f"Study *{spec['study']}*. The number of comparisons of each outcome, claim by claim:",
        "",
        *listing(["id", "claim", *VERDICTS], counts, "4 40 10 12 12 8"),
        "How to read it",
        "--------------",
        "",
        *(line for paragraph in _reading(table, spec) for line in (paragraph, "")),
        "Tables and figures also show the *floor*: what the metrics give for real held-out data "
        "against other real held-out data. No method can do better but by chance.",
        "",
        *(line for id_ in run.id.unique() for line in section(id_)),
        *(line for note in _notes(notes) for line in (_escape(note), "")),
        "The table is regenerated by::",
        "",
        f"    {command(spec, out)}",
        "",
    ]
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Text that neither reStructuredText (``name_`` refers) nor Jinja takes as markup."""
    text = text.replace("\\", "\\\\").replace("_", "\\_").replace("|", "\\|")
    return text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
