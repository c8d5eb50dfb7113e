"""The claims in words: what each says, and claims.md, which shows their verdicts as text.

What the report says of them: ``front_page``.
"""

import itertools
import shlex
from pathlib import Path

import numpy as np
import pandas as pd

from ndsm.artefacts.judged_study import JudgedStudy
from ndsm.metrics.registry import DIFFERENCES
from ndsm.report.markdown_table import markdown_table
from ndsm.report.verdict import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from ndsm.vocabulary import BEST

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
# The same in few words.
TITLES = {
    "C1": "multimodal, low-dimensional",
    "C2": "inexpensive preprocessing",
    "C3": "learns the right score",
    "C4": "control variates",
    "C5": "less data",
    "C6": "imbalanced images",
    "C7": "few images",
    "C8": "approximate symmetry",
    "C9": "latent space, cheaper",
}
NOT_RUN = "not run"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE)
COUNTS = "one two three four five six seven eight nine".split()
COLOURS = {SUPPORTED: "#00618a", CONTRADICTED: "#b8400e", INCONCLUSIVE: "#6f6f6f"}
PRIMARY, NULL, RIVAL, SECONDARY = "primary", "untrained", "rival", "secondary"
CONTROL = "control"
SECONDARY_NULL = "secondary untrained"


def command(options: str, out: Path) -> str:
    """The shell command that computes the claims table anew, with the options that it had."""
    words = ["snakemake --cores all", options, "--force --", shlex.quote(str(out))]
    return " ".join(filter(None, words))


def in_words(table: pd.DataFrame) -> dict[str, str]:
    """The claims of a table by their ids: the paper's, or those of a study of one's own."""
    return {id_: CLAIMS.get(id_, own) for id_, own in zip(table.id, table.claim, strict=True)}


def summary(table: pd.DataFrame) -> str:
    """The answers of a claims table in short sentences, the sharper question first."""

    def named(role: str, outcome: str) -> str:
        rows = table[(table.role == role) & (table.verdict == outcome) & table.p_value.notna()]
        return f"{len(rows)} ({', '.join(sorted(rows.id))})" if len(rows) else "none"

    if not (table.role == PRIMARY).any():
        return "It decides no claim: its tables compare settings."
    if not {*table.id} <= {*CLAIMS}:  # of a study of one's own
        return (
            f"Of the study's {(table.role == PRIMARY).sum()} claims {named(PRIMARY, SUPPORTED)} "
            f"are supported, {named(PRIMARY, CONTRADICTED)} contradicted, "
            f"{named(PRIMARY, INCONCLUSIVE)} inconclusive."
        )
    rivals = table[table.role == RIVAL]
    untested = sorted(rivals.id[rivals.p_value.isna()])
    rest = f" {', '.join(untested)} cannot be tested." if untested else ""
    if without := sorted({*table.id[table.role == PRIMARY]} - {*rivals.id}):
        rest += f" To {', '.join(without)} the question was not put."
    return (
        "Does *nonlinear* noise add to what the same mixture gives under linear noise? Of "
        f"{len(rivals)} claims it does in {named(RIVAL, SUPPORTED)} and takes away in "
        f"{named(RIVAL, CONTRADICTED)}. The seeds do not decide in {named(RIVAL, INCONCLUSIVE)}."
        f"{rest} Of the {(table.role == PRIMARY).sum()} claims of the abstract themselves "
        f"{named(PRIMARY, SUPPORTED)} are supported, {named(PRIMARY, CONTRADICTED)} contradicted, "
        f"{named(PRIMARY, INCONCLUSIVE)} inconclusive."
    )


def answers(table: pd.DataFrame) -> list[list[str]]:
    """A row of text for each claim, as ``ANSWERS`` names them, of the claims table."""
    rows = []
    for id_, words in in_words(table).items():
        own = table[table.id == id_]
        decides, null, rival = (own[own.role == role] for role in (PRIMARY, NULL, RIVAL))
        if decides.empty:
            state = NOT_RUN if (own.verdict == NOT_RUN).all() else "not decided here"
            rows.append([id_, words, "", "", state, "", ""])
            continue
        row = decides.iloc[0]
        size = f", n = {row.n_train}" if pd.notna(row.n_train) else ""
        what = f"{row.metric} of {row.method} against {row.baseline}, {row.experiment}{size}"
        found = [what, effect_of(row), f"**{row.verdict}**", _layer(null), _layer(rival)]
        rows.append([id_, words, *found])
    return rows


def _layer(rows: pd.DataFrame) -> str:
    """A further question to a claim: its verdict and effect; a dash where it was not asked."""
    return f"{rows.iloc[0].verdict}, {effect_of(rows.iloc[0])}" if len(rows) else "–"


def effect_of(row: pd.Series) -> str:
    """An effect with its interval, e.g. +12 % (+8 % to +15 %)."""
    effect, low, high = (amount(row.metric, x) for x in (row.effect, row.ci_low, row.ci_high))
    return f"{effect} ({low} to {high})" if low else effect


ANSWERS = [
    "id",
    "claim",
    "decided by",
    "effect (interval)",
    "verdict",
    "adds to its own mixture",
    "nonlinear noise adds to the same mixture",
]


def _cells(table: pd.DataFrame) -> list[list[str]]:
    """The table's cells as text, without the claim's words; notes by number."""
    numbers = itertools.count(1)
    marks = ["" if not note else f" [{next(numbers)}]" for note in table.note.fillna("")]
    rows = []
    for row, mark in zip(table.itertuples(), marks, strict=True):
        cells = [
            row.id,
            row.role,
            row.experiment,
            row.metric,
            row.method,
            row.baseline,
            row.n_train,
        ]
        effect = [amount(row.metric, each) for each in (row.effect, row.ci_low, row.ci_high)]
        p_values = [f"{p:.2g}" for p in (row.p_value, row.p_adjusted)]
        power = amount(row.metric, row.detectable)
        texts = [*cells, *effect, *p_values, power, row.seeds]
        texts = ["" if pd.isna(text) or text == "nan" else str(text) for text in texts]
        rows.append([*texts, f"**{row.verdict}**{mark}"])
    return rows


def amount(metric: str, value: float | None) -> str:
    """An effect with its sign: a share, e.g. +12 %, or of a log-density nats; empty if missing."""
    if value is None or pd.isna(value):
        return ""
    if not np.isfinite(value):
        return f"{value:+}"
    value, unit = (
        (value, "nats") if metric.removeprefix(BEST) in DIFFERENCES else (100 * value, "%")
    )
    rounded = float(f"{value:.3g}")
    digits = f"{rounded:+,.0f}" if abs(rounded) >= 1000 else f"{rounded:+.3g}"
    return f"{digits}\N{NO-BREAK SPACE}{unit}"


HEADER = (
    "id,role,experiment,metric,method,baseline,n_train,effect,CI low,CI high,p,p adjusted,"
    "detectable,seeds,verdict"
).split(",")


def _notes(notes: pd.Series) -> list[str]:
    return [f"[{k}] {note}." for k, note in enumerate((n for n in notes.fillna("") if n), start=1)]


def reading(table: pd.DataFrame, level: float) -> list[str]:
    """How to read the verdicts at a level, one paragraph each."""
    decided = (table.role == PRIMARY).sum()
    confidence = f"{100 * (1 - level):g} %"
    claims = len(in_words(table))
    paper = {*table.id} <= {*CLAIMS}
    return [
        "The numbers are this study's own. "
        + "It reproduces the claims of a paper's abstract, not its figures, and " * paper
        + ("none" if paper else "None")
        + " of the numbers is the paper's.",
        "One comparison decides each claim (*primary*); the configuration declared it before the "
        "run. Two further questions stand beside it, with the same metric and size. Does the "
        "trained network *add to its own mixture*, that is, is it better than the same model "
        "without its network (*untrained*)? Does the *nonlinear noise add* to what the same "
        "mixture gives under linear noise (*rival*)? A claim may also have a *control*, a method "
        "without the property that the claim is about. All else is *secondary*.",
        "*effect* is the mean improvement of the method over the baseline, relative to the "
        "baseline's mean (of *nll* the difference): positive is in favour of the claim. Where "
        "the baseline is a threshold (*at most x*) it is the relative distance below it; of "
        "*points_saved* and *seconds_to* it is the share that is saved. *best_budget* is a metric "
        "with that budget of several which serves a method best at this size. *CI* is its "
        f"{confidence} bootstrap interval over seeds, *p* the p-value of a two-sided paired t test "
        "over the same seeds (each seed gives both methods the same training points), *p adjusted* "
        f"the same after Holm's correction: of the {decided} primary comparisons together, so of "
        "all untrained, of all rival and of all control ones, and of each claim's secondary ones, "
        "those with an untrained model apart. *detectable* is the smallest effect that these seeds "
        "would find four times in five, at the level that the "
        f"first of {COUNTS[claims - 1] if claims < 10 else claims} corrected comparisons has to "
        "pass.",
        f"**supported**: the adjusted p is below {level} and the whole interval above zero. "
        f"**contradicted**: it is below {level} and the whole interval is below zero. "
        f"**inconclusive**: anything else; it is not evidence of no effect. Both conditions are "
        "required because a bootstrap over five seeds is too narrow by itself. "
        f"**{NOT_RUN}**: this study has no experiment for the claim.",
    ]


def _counts(table: pd.DataFrame) -> pd.DataFrame:
    """Number of secondary verdicts of each kind per claim, (claims, verdicts)."""
    secondary = table[table.role == SECONDARY]
    return pd.crosstab(secondary.id, secondary.verdict).reindex(columns=VERDICTS, fill_value=0)


def markdown(table: pd.DataFrame, study: JudgedStudy, out: Path) -> str:
    """claims.md: the answers, every row, how to read them, the command."""
    counts = [
        [id_, *(str(count or "") for count in row)]
        for id_, row in zip(_counts(table).index, _counts(table).to_numpy(), strict=True)
    ]
    run = table[table.verdict != NOT_RUN]
    lines = [f"# Claims: study {study.study}", ""]
    lines += markdown_table(ANSWERS, answers(table))
    lines += ["", "## Every comparison", "", *markdown_table(HEADER, _cells(run)), ""]
    counted = markdown_table(["id", *VERDICTS], counts)
    lines += ["The secondary ones, counted:", "", *counted, ""]
    lines += [f"- {note}" for note in _notes(run.note)]
    lines += ["", "## How to read it", ""]
    paragraphs = reading(table, study.verdict.level)
    lines += [line for paragraph in paragraphs for line in (paragraph, "")]
    lines += ["Regenerate this table:", "", f"    {command(study.options, out)}", ""]
    return "\n".join(lines)
