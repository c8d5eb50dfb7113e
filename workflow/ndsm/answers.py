"""RESULTS.md and the table in the README, written from what is kept below results/reference.

    python -m ndsm.answers results/reference README.md RESULTS.md

Each folder there with a claims.csv holds a study, or one claim's experiments of it. The primary
comparisons of all of them are corrected together, so that a verdict here may be more cautious than
in the study that has fewer. The README's parts lie between lines as ``PART`` has them.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ndsm import inputs, store
from ndsm.documents import ANSWERS, CLAIMS, NULL, PRIMARY, RIVAL, amount, answers, effect_of
from ndsm.names import FIT_SHARE, POINTS, SECONDS
from ndsm.verdict import CONTRADICTED, INCONCLUSIVE, SUPPORTED, holm, verdict

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
# What shows each claim best, where the figure is kept.
FIGURES = {
    "C1": "learning_curve_weighted_modes",
    "C2": "frontier_weighted_modes",
    "C3": "learning_curve_weighted_modes",
    "C4": "variance",
    "C5": "budgets_weighted_modes",
    "C6": "seeds_mnist_imbalance",
    "C7": "budgets_mnist_small",
    "C8": "departure",
    "C9": "frontier_mnist_latent",
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


def gathered(reference: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The claims tables together, and the folder of each claim that is decided.

    Raises:
        Refused: no table, two that decide one claim, or studies of several levels.
    """
    tables, folders, levels = list[pd.DataFrame](), dict[str, str](), set[float]()
    for path in sorted(reference.glob("**/claims.csv")):
        table = inputs.read_table(path)
        levels.add(inputs.read_record(path)["spec"]["verdict"]["level"])
        for id_ in table[table.role == PRIMARY].id:
            if id_ in folders:
                raise store.Refused(f"{path}: {id_} is decided in {folders[id_]} as well")
            folders[id_] = path.parent.as_posix()
        tables.append(table)
    if len(levels) != 1:
        found = f"levels {sorted(levels)}" if levels else "no claims.csv"
        raise store.Refused(f"{reference}: {found} below it; make reference keeps a study's")
    whole = pd.concat(tables, ignore_index=True).astype({"n_train": "Int64"})
    for role in (PRIMARY, NULL, RIVAL):
        rows = whole.role == role
        whole.loc[rows, "p_adjusted"] = holm(whole.p_value[rows])
        whole.loc[rows, "verdict"] = [
            verdict(row.p_adjusted, row.ci_low, row.ci_high, *levels)
            for row in whole[rows].itertuples()
        ]
    return whole, folders


def commits(reference: Path) -> str:
    """Which code made each study, by the commits in its record."""
    made = {
        path.parent.relative_to(reference).as_posix(): inputs.read_record(path)["commit"]
        for path in sorted(reference.glob("**/claims.csv"))
    }
    return ", ".join(f"{name} by {commit[:7]}" for name, commit in made.items())


def sentence(row: Any) -> str:
    """What a primary comparison found, in words."""
    where = row.experiment if pd.isna(row.n_train) else f"{row.n_train} points of {row.experiment}"
    p = "p < 0.001" if row.p_adjusted < 0.001 else f"p = {row.p_adjusted:.2g}"
    kinds = {POINTS: "saves training points", SECONDS[0]: "saves time"}
    kinds[SECONDS[1]] = kinds[SECONDS[0]]
    what = next((kinds[kind] for kind in kinds if row.metric.startswith(kind)), "")
    what = what or f"is better in {row.metric}"
    return (
        f"On {where}, `{row.method}` {what} by {effect_of(row)} compared with `{row.baseline}` "
        f"({row.seeds:.0f} seeds, {p}; negative is worse)."
    )


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
        lines += [f"## {id_}: {CLAIMS[id_]}", "", *_section(whole[whole.id == id_])]
        lines += _fit(whole[whole.id == id_].iloc[0], Path(folder)) if id_ == "C2" else []
        lines += [f"- Every comparison: [{folder}/claims.md]({folder}/claims.md)."]
        picture = f"{folder}/{FIGURES[id_]}.png"
        lines += [f"- Figure: [{FIGURES[id_]}]({picture})."] if Path(picture).exists() else []
        lines += [""]
    return "\n".join(lines)


def _section(rows: pd.DataFrame) -> list[str]:
    """What was found of one claim, from its rows of the table."""
    row, null, rival = (rows[rows.role == role] for role in (PRIMARY, NULL, RIVAL))
    row = row.iloc[0]
    lines = [f"**{row.verdict}.** {sentence(row)}", ""]
    if len(null):
        lines.append(f"- The trained network adds to its own mixture: {null.verdict.iloc[0]}.")
    if len(rival):
        name, found = rival.iloc[0][["baseline", "verdict"]]
        lines.append(
            f"- Nonlinear noise adds to the same mixture under linear noise (`{name}`): {found}."
        )
    if pd.notna(row.detectable):
        power = amount(row.metric, row.detectable)
        lines.append(f"- The seeds would find an effect of {power} four times in five.")
    return lines


def _fit(row: Any, folder: Path) -> list[str]:
    """What the fit of a method's mixture takes of the seconds of its training."""
    summary = inputs.read_table(folder / "summary.csv")
    own = summary[(summary.experiment == row.experiment) & (summary.method == row.method)]
    shares = own[(own.metric == FIT_SHARE) & (own.n_train == row.n_train)]
    words = "The fit of its mixture takes {:.2g} % of the seconds of its training, on average."
    return [f"- {words.format(100 * share)}" for share in shares["mean"]]


def _summary(whole: pd.DataFrame) -> str:
    """The answers in two sentences."""

    def counts(role: str) -> str:
        found = list(whole[whole.role == role].verdict)
        each = (SUPPORTED, CONTRADICTED, INCONCLUSIVE)
        return ", ".join(f"{found.count(outcome)} {outcome}" for outcome in each)

    return (
        f"Does *nonlinear* noise add to what the same mixture gives under linear noise? Asked of "
        f"{(whole.role == RIVAL).sum()} claims: {counts(RIVAL)}. Of the "
        f"{(whole.role == PRIMARY).sum()} claims themselves: {counts(PRIMARY)}."
    )


def parts(reference: Path) -> dict[str, str]:
    """The README's parts by name: the answers in two sentences, and tables of them and of means."""
    whole, folders = gathered(reference)
    summary = inputs.read_table(reference / "default" / "summary.csv")
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
            raise store.Refused(f"README: part {name!r} is unknown; allowed: {', '.join(written)}")
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
) -> None:
    """Writes RESULTS.md, and the README's parts anew."""
    store.write_text(page, readme(page.read_text(encoding="utf-8"), reference))
    store.write_text(out, results(reference))


if __name__ == "__main__":
    store.run(main)
