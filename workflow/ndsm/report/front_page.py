"""What the report says of the claims: its front page, on one screen, and the page behind it."""

import html
from pathlib import Path

import pandas as pd

from ndsm.report import pages
from ndsm.report.claim_documents import (
    CLAIMS,
    NOT_RUN,
    PRIMARY,
    TITLES,
    answers,
    effect_of,
    in_words,
    reading,
    summary,
)

STAGES = "data drift train sample evaluate aggregate claims figures".split()


def matrix(table: pd.DataFrame) -> str:
    """A row for each claim: its words, its verdict, the effect that decides it, as HTML."""
    lines = ["<table><tr><th>claim</th><th>verdict</th><th>effect (interval)</th></tr>"]
    for id_, sentence in in_words(table).items():
        own = table[(table.id == id_) & (table.role == PRIMARY)]
        title, whole = html.escape(TITLES.get(id_, sentence)), html.escape(sentence)
        words = f"<b>{id_}</b> {title}"
        if own.empty:
            found = f"<td>{NOT_RUN}</td><td></td>"
        else:
            row = own.iloc[0]
            found = f"<td><strong>{row.verdict}</strong></td><td>{effect_of(row)}</td>"
        lines.append(f'<tr><td title="{whole}">{words}</td>{found}</tr>')
    return "\n".join([*lines, "</table>"])


def front_page(table: pd.DataFrame, study: str, forest: Path) -> str:
    """report.rst: the answer in a sentence, the claims, the forest plot, links.

    Args:
        table: the claims, as in claims.csv.
        study: its name.
        forest: the forest plot, a PNG file, if the study decides a claim.
    """
    words = "Effect of each claim's three comparisons with its interval"
    picture = pages.image(forest, words) if forest.exists() else ""
    block = f'<div id="answers"><div>{matrix(table)}</div><div>{picture}</div></div>'
    raw = [f"   {line}" for line in block.splitlines()]
    title = "Nonlinear denoising score matching: do the claims hold?"
    about = "tests the abstract of arXiv:2405.15625"
    if not {*table.id} <= {*CLAIMS}:
        about = "asks this of a table; `Verdict`_ answers in sentences"
    return "\n".join(
        [
            title,
            "=" * len(title),
            "",
            f"Study *{study}* {about}. {summary(table)} An effect "
            "above zero is in favour of the claim.",
            "",
            ".. raw:: html",
            "",
            *raw,
            "",
            "Behind this page: `Claims`_ with every comparison and how to read it, `Figures`_ with "
            "captions, `Tables`_. None of the numbers is the paper's.",
            "",
            ".. raw:: html",
            "",
            f"   <p>How it was made, rule by rule: {_rules()}</p>",
            "",
        ]
    )


def _rules() -> str:
    """The rules in the order of the pipeline; a click shows what Snakemake knows of one."""
    shown = "javascript:app.setView({{navbarMode: 'ruleinfo', ruleinfo: '{}'}})"
    return " → ".join(f'<a href="{shown.format(name)}">{name}</a>' for name in STAGES)


def claims_page(table: pd.DataFrame, study: str, level: float) -> str:
    """claims.html: the three questions, how to read them, every comparison of each claim.

    Args:
        table: the claims, as in claims.csv.
        study: its name.
        level: of the tests and intervals.
    """
    heads = ["claim", "in words", "decided by", "effect (interval)", "verdict"]
    heads += ["adds to its own mixture", "nonlinear noise adds to the same mixture"]
    rows = [[cell.replace("**", "") for cell in row] for row in answers(table)]
    body = [pages.table(pd.DataFrame(rows, columns=heads)), "<h2>How to read it</h2>"]
    body += [pages.paragraphs("\n\n".join(reading(table, level)))]
    run = table[table.verdict != NOT_RUN]
    for id_ in run.id.unique():
        own = run[run.id == id_].drop(columns=["id", "claim"]).dropna(axis=1, how="all")
        body += [f"<h2>{id_}: {html.escape(in_words(table)[id_])}</h2>", pages.table(own)]
    return pages.page(f"Claims: study {study}", "\n".join(body))
