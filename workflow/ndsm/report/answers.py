"""RESULTS.md and the table in the README, written from what is kept below results/reference.

    python -m ndsm.report.answers results/reference README.md RESULTS.md

With ``--keep results/mnist_C7 --name mnist/C7`` the tables of that study are kept there first, and
those of its figures that a page shows.

Each folder there with a claims.csv holds a study, or one claim's experiments of it. The primary
comparisons of all of them are corrected together, so that a verdict here may be more cautious than
in the study that has fewer. The README's parts lie between lines as ``PART`` has them.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ndsm.artefacts import files
from ndsm.errors import Refused
from ndsm.report import claim_facts, claim_figures, mean_table, style
from ndsm.report.claim_documents import (
    ANSWERS,
    CLAIMS,
    CONTROL,
    NULL,
    PRIMARY,
    RIVAL,
    SECONDARY,
    amount,
    answers,
    effect_of,
    summary,
)
from ndsm.report.kept_studies import FIGURES, commits, gathered, keep, kept
from ndsm.report.markdown_table import markdown_table
from ndsm.report.verdict import INCONCLUSIVE, SUPPORTED
from ndsm.vocabulary import POINTS, SECONDS

PART = re.compile(
    r"(<!-- begin (\w+), written by make reference -->\n).*?(\n<!-- end -->)", re.DOTALL
)
FOREST = "forest"  # the picture of all claims, below the reference


def sentence(row: Any) -> str:
    """What a primary comparison found, in words."""
    where = row.experiment if pd.isna(row.n_train) else f"{row.n_train} points of {row.experiment}"
    p = "p < 0.001" if row.p_adjusted < 0.001 else f"p = {row.p_adjusted:.2g}"
    found = f"(effect {effect_of(row)}; {row.seeds:.0f} seeds, {p})"
    times = f"{1 - row.effect:.2g} times"
    rest = row.metric.partition(":")[2]
    if row.metric.startswith(POINTS):
        what = f"needs {times} the training points of `{row.baseline}` for the same {rest}"
    elif row.metric.startswith(SECONDS):
        metric, _, quality = rest.partition(":")
        goal = f"the {metric} that `{quality}` ends with"
        goal = f"a {metric} of {quality}" if quality[0].isdigit() else goal
        what = f"takes {times} the seconds of `{row.baseline}` to {goal}"
    else:
        word = "better" if row.effect > 0 else "worse"
        what = f"is {word} than `{row.baseline}` in {row.metric}"
    if row.verdict == INCONCLUSIVE:
        return f"On {where}, `{row.method}` on average {what} {found}; the seeds do not decide it."
    return f"On {where}, `{row.method}` {what} {found}."


def results(reference: Path) -> str:
    """The text of RESULTS.md."""
    whole, folders = gathered(reference)
    lines = [
        "# Results",
        "",
        "One comparison decides each claim of the abstract of arXiv:2405.15625; the settings "
        f"declare it before the run. The p-values of all {len(folders)} are corrected together "
        "by Holm's method, and so are those of the two further questions to each. "
        "`make reference` writes this page from results/reference; the code of its studies is that "
        f"of these commits: {commits(reference)}. Intervals are bootstrap intervals over seeds. "
        "With five seeds they are too narrow, so that a verdict also asks for the p-value of a t "
        "test.",
        "",
        summary(whole) + _cautions(whole, folders),
        "",
        *markdown_table(ANSWERS, answers(whole)),
        "",
        f"![Effect of each comparison with its interval]({(reference / FOREST).as_posix()}.png)",
        "",
    ]
    for id_, folder in sorted(folders.items()):
        lines += [f"## {id_}: {CLAIMS[id_]}", "", *_section(whole[whole.id == id_], Path(folder))]
        lines += [f"- Every comparison: [{folder}/claims.md]({folder}/claims.md)."]
        pictures = [Path(folder, f"{name}.png") for name in FIGURES[id_]]
        links = [f"[{path.stem}]({path.as_posix()})" for path in pictures if path.exists()]
        lines += [f"- Figure: {', '.join(links)}."] if links else []
        lines += [""]
    return "\n".join(lines)


def _section(rows: pd.DataFrame, folder: Path) -> list[str]:
    """What was found of one claim, from its rows of the table."""
    row, null, rival, control = (
        rows[rows.role == role] for role in (PRIMARY, NULL, RIVAL, CONTROL)
    )
    row = row.iloc[0]
    lines = [f"**{row.verdict}.** {sentence(row)}", ""]
    lines += [f"- Note: {row.note}."] if isinstance(row.note, str) and row.note else []
    lines += claim_facts.fit_share(row, folder) if row.id == "C2" else []
    lines += claim_facts.untrained(row, rival.baseline, folder)
    if len(null):
        lines.append(f"- The trained network adds to its own mixture: {_found(null.iloc[0])}.")
    if len(rival):
        name = rival.iloc[0].baseline
        words = f"Nonlinear noise adds to the same mixture under linear noise (`{name}`)"
        lines.append(f"- {words}: {_found(rival.iloc[0])}.")
    if len(control):
        words = f"Against its control, `{control.iloc[0].baseline}`"
        lines.append(f"- {words}: {_found(control.iloc[0])}.")
    lines += claim_facts.budgets(row, [row.baseline, *rival.baseline], folder)
    if pd.notna(row.detectable):
        power = amount(row.metric, row.detectable)
        lines.append(f"- The seeds would find an effect of {power} four times in five.")
    return [*lines, "", *_others(rows[(rows.role == SECONDARY) & (rows.method == row.method)]), ""]


def _others(asked: pd.DataFrame) -> list[str]:
    """A table of all that was asked of the claim's method besides; none is left out."""
    if asked.empty:
        return []
    heads = ["data", "n", "metric", "against", "effect (interval)", "p (corrected)", "verdict"]
    rows = []
    for row in asked.itertuples():
        size = "" if pd.isna(row.n_train) else f"{row.n_train}"
        note = f" ({row.note})" if isinstance(row.note, str) and row.note else ""
        p = "" if pd.isna(row.p_value) else f"{row.p_value:.2g} ({row.p_adjusted:.2g})"
        cells = [row.experiment, size, row.metric, row.baseline, effect_of(row), p]
        rows.append([*cells, row.verdict + note])
    words = "What else was asked of it (secondary, corrected within the claim):"
    return [words, "", *markdown_table(heads, rows)]


def _found(row: Any) -> str:
    """An effect with its interval, its verdict, and what must be known besides."""
    note = f" ({row.note})" if isinstance(row.note, str) and row.note else ""
    return f"{effect_of(row)}, {row.verdict}{note}"


def _cautions(whole: pd.DataFrame, folders: dict[str, str]) -> str:
    """Which claims fail against their control, hold at one budget, or rest on the same runs."""
    lines = []
    controls = whole[(whole.role == CONTROL) & (whole.verdict != SUPPORTED)]
    if len(controls):
        found = [f"against `{r.baseline}` {r.id} is {r.verdict}" for r in controls.itertuples()]
        lines.append(f" A control lacks the property that a claim is about: {', '.join(found)}.")
    primary = whole[whole.role == PRIMARY]
    at_budgets = {
        row.id: claim_facts.by_budget(row, row.baseline, Path(folders[row.id]))
        for row in primary.itertuples()
    }
    if ids := sorted(id_ for id_, found in at_budgets.items() if found and found[1]):
        lines.append(
            " Of the baselines that ran with several budgets those of "
            f"{', '.join(ids)} still improve, so that these verdicts are ones at this budget."
        )
    lines += [
        f" {', '.join(sorted(ids))} rest on the same trainings of `{method}` on {experiment}."
        for (experiment, method), ids in primary.groupby(["experiment", "method"]).id
        if len(ids) > 1
    ]
    return "".join(lines)


def parts(reference: Path) -> dict[str, str]:
    """The README's parts by name: the answers in sentences, and tables of them and of means."""
    whole, folders = gathered(reference)
    metrics = kept(reference / "default" / "metrics.csv")
    rows = [
        [f"{id_}: {words}", what, found, effect]
        for id_, words, what, effect, found, *_ in answers(whole)
        if id_ in folders
    ]
    lines = markdown_table(["claim", "decided by", "verdict", "effect (interval)"], rows)
    lines += ["", *mean_table.markdown(metrics)]
    return {"answer": summary(whole) + _cautions(whole, folders), "tables": "\n".join(lines)}


def readme(text: str, reference: Path) -> str:
    """The README's text with its parts written anew.

    Raises:
        Refused: it has a part that nothing writes.
    """
    written = parts(reference)
    for _, name, _ in PART.findall(text):
        if name not in written:
            raise Refused(f"README: part {name!r} is unknown; allowed: {', '.join(written)}")
    return PART.sub(lambda found: found[1] + written[found[2]] + found[3], text)


def main(
    reference: Annotated[Path, typer.Argument(help="what is kept of the studies")],
    page: Annotated[Path, typer.Argument(help="the README")],
    out: Annotated[Path, typer.Argument(help="RESULTS.md")],
    keeping: Annotated[Path | None, typer.Option("--keep", help="a study's results")] = None,
    name: Annotated[str, typer.Option(help="its folder below the reference")] = "",
) -> None:
    """Writes RESULTS.md and the README's parts anew, after keeping the tables of a study."""
    if keeping:
        keep(keeping, reference / name, page.read_text(encoding="utf-8"))
    style.use()
    style.save(claim_figures.forest_of(gathered(reference)[0]), reference / FOREST, print_too=False)
    files.write_text(page, readme(page.read_text(encoding="utf-8"), reference))
    files.write_text(out, results(reference))


if __name__ == "__main__":
    files.run(main)
