"""RESULTS.md and the table in the README, written from what is kept below results/reference.

    python -m ndsm.report.answers results/reference README.md RESULTS.md

With ``--keep results/mnist_C7 --name mnist/C7`` the tables of that study are kept there first, and
those of its figures that a page shows.

Each folder there with a claims.csv holds a study, or one claim's experiments of it. The primary
comparisons of all of them are corrected together, so that a verdict here may be more cautious than
in the study that has fewer. The README's parts lie between lines as ``PART`` has them.
"""

import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ndsm.artefacts import files, reading
from ndsm.errors import Refused
from ndsm.report.claim_documents import (
    ANSWERS,
    CLAIMS,
    NULL,
    PRIMARY,
    RIVAL,
    SECONDARY,
    amount,
    answers,
    effect_of,
)
from ndsm.report.verdict import CONTRADICTED, INCONCLUSIVE, SUPPORTED, holm, verdict
from ndsm.vocabulary import BEST, POINTS, SECONDS

PART = re.compile(
    r"(<!-- begin (\w+), written by make reference -->\n).*?(\n<!-- end -->)", re.DOTALL
)
# The README's table: experiment, metric, heading; of the largest training size.
SHOWN = [
    ("weighted_modes", "kl", "weighted_modes, KL"),
    ("heavy_tails", "kl", "heavy_tails, KL"),
    ("pinwheel", "nll", "pinwheel, −log p"),
    ("clusters16", "kl", "clusters16, KL"),
    ("breast_cancer", "nll", "breast_cancer, −log p"),
    ("digits", "fid", "digits, FID"),
    ("digits_latent", "nll", "codes of digits, −log p"),
]
EACH = "Each with the budget that serves it best"
# What is kept of a study.
KEPT = [f"tables/summary.{end}" for end in ("md", "csv", "json")]
KEPT += [f"tables/cost.{end}" for end in ("csv", "json")]
KEPT += [f"claims.{end}" for end in ("md", "csv", "json")]
# What shows each claim best.
FIGURES = {
    "C1": ["learning_curve_weighted_modes"],
    "C2": ["frontier_weighted_modes"],
    "C3": ["learning_curve_weighted_modes"],
    "C4": ["variance"],
    "C5": ["budgets_weighted_modes"],
    "C6": ["seeds_mnist_imbalance"],
    "C7": ["budgets_mnist_small", "components_mnist_components"],
    "C8": ["departure"],
    "C9": ["frontier_mnist_latent"],
}
METHODS = {
    "dsm": "linear noise (`dsm`)",
    "flow_matching": "straight paths (`flow_matching`)",
    "gmm_drift": "the drift's mixture alone (`gmm_drift`)",
    "dsm_mixture": "its score known, linear noise (`dsm_mixture`)",
    "ndsm_cv": "nonlinear noise, the paper's (`ndsm_cv`)",
    "ndsm_flow": "nonlinear noise, exact (`ndsm_flow`)",
    "gmm": "the best mixture alone (`gmm`)",
    "dsm_mixture_best": "its score known, linear noise (`dsm_mixture_best`)",
    "ndsm_flow_best": "nonlinear noise, exact (`ndsm_flow_best`)",
}


def kept(path: Path) -> pd.DataFrame:
    """A table of ``reference``, if it is whole; its study may have been run again since.

    Raises:
        Refused: its bytes are not those of its record.
    """
    if files.sha256(path) != reading.own_record(path)["sha256"]:
        raise reading.unusable(path, "its bytes are not those of its record (SHA-256)")
    return pd.read_csv(path, dtype={"n_train": "Int64"})


def gathered(reference: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The claims tables together, and the folder of each claim that is decided.

    Raises:
        Refused: no table, two that decide one claim, or studies of several levels.
    """
    tables, folders, levels = list[pd.DataFrame](), dict[str, str](), set[float]()
    for path in sorted(reference.glob("**/claims.csv")):
        table = kept(path)
        levels.add(reading.own_record(path)["spec"]["verdict"]["level"])
        for id_ in table[table.role == PRIMARY].id:
            if id_ in folders:
                raise Refused(f"{path}: {id_} is decided in {folders[id_]} as well")
            folders[id_] = path.parent.as_posix()
        tables.append(table)
    if len(levels) != 1:
        found = f"levels {sorted(levels)}" if levels else "no claims.csv"
        raise Refused(f"{reference}: {found} below it; make reference keeps a study's")
    whole = pd.concat(tables, ignore_index=True).astype({"n_train": "Int64"})
    for role in (PRIMARY, NULL, RIVAL):
        rows = whole.role == role
        whole.loc[rows, "p_adjusted"] = holm(whole.p_value[rows])
        whole.loc[rows, "verdict"] = [
            verdict(row.p_adjusted, row.ci_low, row.ci_high, *levels)
            for row in whole[rows].itertuples()
        ]
    return whole, folders


def keep(study: Path, folder: Path, page: str) -> None:
    """Copies a study's tables into ``folder``, and those of its figures that a page shows.

    Args:
        study: where its tables and figures are.
        folder: where they are kept.
        page: the README's text.

    Raises:
        Refused: the README shows a figure that the study has not.
    """
    decided = set(pd.read_csv(study / "claims.csv").query(f"role == '{PRIMARY}'").id)
    drawn = {path.stem: path for path in (study / "figures").glob("*.png")}
    shown = set(re.findall(rf"\({re.escape(folder.as_posix())}/(\w+)\.png\)", page))
    if missing := sorted(shown - set(drawn)):
        raise Refused(f"{study}/figures: no {missing[0]}.png, which the README shows")
    shown |= {name for id_ in decided for name in FIGURES.get(id_, [])} & set(drawn)
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*(study / name for name in KEPT), *(drawn[name] for name in sorted(shown))]:
        shutil.copy(path, folder)


def commits(reference: Path) -> str:
    """Which code made each study, by the commits in its record."""
    made = {
        path.parent.relative_to(reference).as_posix(): reading.own_record(path)["commit"]
        for path in sorted(reference.glob("**/claims.csv"))
    }
    return ", ".join(f"{name} by {commit[:7]}" for name, commit in made.items())


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
    table = [ANSWERS, ["---"] * len(ANSWERS), *answers(whole)]
    lines = [
        "# Results",
        "",
        "One comparison decides each claim of the abstract of arXiv:2405.15625; the settings "
        f"declare it before the run. The p-values of all {len(folders)} are corrected together "
        "by Holm's method, and so are those of the two further questions to each. "
        "`make reference` writes this page from results/reference; the code of its studies is that "
        f"of these commits: {commits(reference)}.",
        "",
        _summary(whole),
        "",
        *(f"| {' | '.join(line)} |" for line in table),
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
    row, null, rival = (rows[rows.role == role] for role in (PRIMARY, NULL, RIVAL))
    row = row.iloc[0]
    lines = [f"**{row.verdict}.** {sentence(row)}", ""]
    lines += [f"- Note: {row.note}."] if isinstance(row.note, str) and row.note else []
    lines += _fit(row, folder) if row.id == "C2" else []
    if len(null):
        lines.append(f"- The trained network adds to its own mixture: {_found(null.iloc[0])}.")
    if len(rival):
        name = rival.iloc[0].baseline
        words = f"Nonlinear noise adds to the same mixture under linear noise (`{name}`)"
        lines.append(f"- {words}: {_found(rival.iloc[0])}.")
    same = ["kl", "nll"] if row.metric in ("kl", "nll") else [row.metric]
    asked = rows[(rows.role == SECONDARY) & (rows.method == row.method)]
    here, equal = asked.experiment == row.experiment, asked.metric.isin(same)
    points = POINTS if row.metric.startswith(POINTS) else ""
    best = asked.metric == f"{points}{BEST}{row.metric.removeprefix(points)}"
    for baseline in [row.baseline, *rival.baseline]:
        lines += _beside(asked[equal & ~here], baseline, "Against `{}` on other data")
        lines += _beside(asked[best & here], baseline, f"{EACH}, against `{{}}`")
    for baseline in ("gmm", "gmm_tempered"):
        lines += _beside(asked[equal], baseline, "Against a mixture alone, `{}`")
    if pd.notna(row.detectable):
        power = amount(row.metric, row.detectable)
        lines.append(f"- The seeds would find an effect of {power} four times in five.")
    return lines


def _beside(asked: pd.DataFrame, baseline: str, words: str) -> list[str]:
    """Secondary answers against a baseline, with the most points of each data set."""
    own = asked[asked.baseline == baseline].sort_values("n_train", kind="stable")
    each = own.drop_duplicates("experiment", keep="last").sort_index().itertuples()
    found = [f"{one.experiment} {_found(one)}" for one in each]
    return [f"- {words.format(baseline)}: {'; '.join(found)}."] if found else []


def _found(row: Any) -> str:
    """An effect with its interval, its verdict, and what must be known besides."""
    note = f" ({row.note})" if isinstance(row.note, str) and row.note else ""
    return f"{effect_of(row)}, {row.verdict}{note}"


def _fit(row: Any, folder: Path) -> list[str]:
    """What the fit of a method's mixture takes of the seconds of its training, over all sizes."""
    cost = kept(folder / "cost.csv")
    own = cost[(cost.experiment == row.experiment) & (cost.method == row.method)].iloc[0]
    share = 100 * own.drift_seconds / own.training_seconds
    words = "of the seconds of its training, all sizes together"
    return [f"- The fit of its mixture takes {share:.2g} % {words}."]


def _summary(whole: pd.DataFrame) -> str:
    """The answers in two sentences."""

    def named(role: str, outcome: str) -> str:
        rows = whole[(whole.role == role) & (whole.verdict == outcome)]
        return f"{len(rows)} ({', '.join(sorted(rows.id))})" if len(rows) else "none"

    asked = (whole.role == RIVAL).sum()
    return (
        f"Of {asked} claims where the question can be asked, *nonlinear* noise adds to what the "
        f"same mixture gives under linear noise in {named(RIVAL, SUPPORTED)}, takes away in "
        f"{named(RIVAL, CONTRADICTED)}, and the seeds do not decide in "
        f"{named(RIVAL, INCONCLUSIVE)}. Of the {(whole.role == PRIMARY).sum()} claims of the "
        f"abstract themselves {named(PRIMARY, SUPPORTED)} are supported, "
        f"{named(PRIMARY, CONTRADICTED)} contradicted, {named(PRIMARY, INCONCLUSIVE)} inconclusive."
    )


def parts(reference: Path) -> dict[str, str]:
    """The README's parts by name: the answers in two sentences, and tables of them and of means."""
    whole, folders = gathered(reference)
    summary = kept(reference / "default" / "summary.csv")
    lines = ["| claim | verdict | effect (interval) |", "| --- | --- | --- |"]
    for id_, words, _, effect, found, *_ in answers(whole):
        if id_ in folders:
            lines.append(f"| {id_}: {words} | {found} | {effect} |")
    heads = [title for _, _, title in SHOWN]
    lines += ["", f"| | {' | '.join(heads)} |", f"|{' --- |' * (len(heads) + 1)}"]
    for method, words in METHODS.items():
        cells = [_mean(summary, method, *column[:2]) for column in SHOWN]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return {"answer": _summary(whole), "tables": "\n".join(lines)}


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


def _mean(summary: pd.DataFrame, method: str, experiment: str, metric: str) -> str:
    """The mean with the largest training size, to three digits; empty where there is none."""
    rows = summary[(summary.experiment == experiment) & (summary.metric == metric)]
    rows = rows[rows.method == method]
    return f"{rows.loc[rows.n_train.idxmax(), 'mean']:#.3g}".rstrip(".") if len(rows) else ""


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
    files.write_text(page, readme(page.read_text(encoding="utf-8"), reference))
    files.write_text(out, results(reference))


if __name__ == "__main__":
    files.run(main)
