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
from ndsm.documents import ANSWERS, CLAIMS, PRIMARY, answers
from ndsm.names import DIFFERENCES, POINTS, SECONDS, UNTRAINED
from ndsm.verdict import CONTRADICTED, INCONCLUSIVE, SUPPORTED, holm, verdict

PART = re.compile(
    r"(<!-- begin (\w+), written by make reference -->\n).*?(\n<!-- end -->)", re.DOTALL
)
# The README's table: experiment, metric, heading; of the largest training size.
SHOWN = [
    ("weighted_modes", "kl", "weighted_modes, KL"),
    ("heavy_tails", "kl", "heavy_tails, KL"),
    ("clusters16", "kl", "clusters16, KL"),
    ("digits", "fid", "digits, FID"),
    ("digits_latent", "nll", "codes of digits, −log p"),
]
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


def gathered(reference: Path) -> tuple[pd.DataFrame, dict[str, Any], dict[str, str]]:
    """The claims tables together, the primary comparisons' settings, and each claim's folder.

    Raises:
        Refused: no table, or two that decide one claim.
    """
    tables, primary, folders = list[pd.DataFrame](), dict[str, Any](), dict[str, str]()
    for path in sorted(reference.glob("**/claims.csv")):
        table = inputs.read_table(path)
        declared = inputs.read_record(path)["spec"]["primary"]
        for id_ in table[table.role == PRIMARY].id:
            if id_ in primary:
                raise store.Refused(f"{path}: {id_} is decided in {folders[id_]} as well")
            primary[id_], folders[id_] = declared[id_], path.parent.as_posix()
        tables.append(table)
    if not tables:
        raise store.Refused(f"{reference}: no claims.csv below it; make reference keeps one")
    whole = pd.concat(tables, ignore_index=True).astype({"n_train": "Int64"})
    decides, level = whole.role == PRIMARY, _level(reference)
    whole.loc[decides, "p_adjusted"] = holm(whole.p_value[decides])
    whole.loc[decides, "verdict"] = [
        verdict(row.p_adjusted, row.ci_low, row.ci_high, level)
        for row in whole[decides].itertuples()
    ]
    return whole, primary, folders


def _level(reference: Path) -> float:
    """The level of all the studies, which has to be one.

    Raises:
        Refused: they have several.
    """
    paths = sorted(reference.glob("**/claims.csv"))
    levels = {inputs.read_record(path)["spec"]["verdict"]["level"] for path in paths}
    if len(levels) > 1:
        raise store.Refused(f"{reference}: studies with the levels {sorted(levels)}")
    return levels.pop()


def sentence(row: Any) -> str:
    """What a primary comparison found, in words."""
    where = row.experiment if pd.isna(row.n_train) else f"{row.n_train} points of {row.experiment}"
    p = "p < 0.001" if row.p_adjusted < 0.001 else f"p = {row.p_adjusted:.2g}"
    ends = row.effect, row.ci_low, row.ci_high
    if row.metric in DIFFERENCES:
        effect, low, high = (f"{end:+.3g}" for end in ends)
        what, unit = f"is better in {row.metric} by {effect} nats", "nats"
    else:
        effect, low, high = (f"{100 * end:+.3g}" for end in ends)
        kinds = {POINTS: "saves {} % of the training points", SECONDS[0]: "saves {} % of the time"}
        kind = next((kinds[each] for each in kinds if row.metric.startswith(each)), "")
        what = kind.format(effect) if kind else f"is better in {row.metric} by {effect} %"
        unit = "%"
    return (
        f"On {where}, `{row.method}` {what} compared with `{row.baseline}` (interval {low} to "
        f"{high} {unit}, {row.seeds} seeds, {p}; negative is worse)."
    )


def nonlinear(whole: pd.DataFrame, primary: dict[str, Any]) -> dict[str, int]:
    """How often nonlinear noise adds to the same mixture under linear noise: claims by verdict."""
    found = [layer for id_ in primary if (layer := _layer(whole, id_, primary[id_].get("rival")))]
    return {each: found.count(each) for each in (SUPPORTED, CONTRADICTED, INCONCLUSIVE)}


def _layer(whole: pd.DataFrame, id_: str, baseline: str | None) -> str:
    """The verdict of a claim's primary method against another baseline, if there is one."""
    row = whole[(whole.id == id_) & (whole.role == PRIMARY)].iloc[0]
    same = (whole.id == id_) & (whole.baseline == baseline)
    for name in ("experiment", "metric", "method"):
        same &= whole[name] == row[name]
    if pd.notna(row.n_train):
        same &= whole.n_train == row.n_train
    return str(whole[same].verdict.iloc[0]) if same.any() else ""


def results(reference: Path) -> str:
    """The text of RESULTS.md."""
    whole, primary, folders = gathered(reference)
    table = [line for line in [ANSWERS, ["---"] * len(ANSWERS), *answers(whole, primary)]]
    lines = [
        "# Results",
        "",
        "One comparison decides each claim of the abstract of arXiv:2405.15625; the settings "
        f"declare it before the run. The p-values of all {len(primary)} are corrected together "
        "by Holm's method. `make reference` writes this page from results/reference.",
        "",
        _summary(whole, primary),
        "",
        *(f"| {' | '.join(line)} |" for line in table),
        "",
    ]
    for id_ in CLAIMS:
        if id_ not in primary:
            continue
        row = whole[(whole.id == id_) & (whole.role == PRIMARY)].iloc[0]
        lines += [f"## {id_}: {CLAIMS[id_]}", "", f"**{row.verdict}.** {sentence(row)}", ""]
        own = _layer(whole, id_, f"{row.method}{UNTRAINED}")
        rival = _layer(whole, id_, primary[id_].get("rival"))
        if own:
            lines.append(f"- The trained network adds to its own mixture: {own}.")
        if rival:
            lines.append(
                "- Nonlinear noise adds to what the same mixture gives under linear noise "
                f"(`{primary[id_]['rival']}`): {rival}."
            )
        power = f"{row.detectable:.2g} nats" if row.metric in DIFFERENCES else _percent(row)
        lines += [
            f"- The seeds would find an effect of {power} four times in five.",
            f"- Every comparison: [{folders[id_]}/claims.md]({folders[id_]}/claims.md).",
            "",
        ]
    return "\n".join(lines)


def _percent(row: Any) -> str:
    return f"{100 * row.detectable:.2g} %"


def _summary(whole: pd.DataFrame, primary: dict[str, Any]) -> str:
    """The answers in two sentences."""
    outcomes = list(whole[whole.role == PRIMARY].verdict)
    counts = [f"{outcomes.count(each)} {each}" for each in (SUPPORTED, CONTRADICTED, INCONCLUSIVE)]
    adds = [f"{number} {name}" for name, number in nonlinear(whole, primary).items()]
    return (
        f"Of {len(primary)} claims {', '.join(counts)}. That the *nonlinear* noise adds to what "
        f"the same mixture gives under linear noise is {', '.join(adds)}, where it was asked."
    )


def parts(reference: Path) -> dict[str, str]:
    """The README's parts by name: the answers in two sentences, and tables of them and of means."""
    whole, primary, _ = gathered(reference)
    summary = inputs.read_table(reference / "default" / "summary.csv")
    lines = ["| claim | verdict | effect (interval) |", "| --- | --- | --- |"]
    for id_, words, _, effect, found, *_ in answers(whole, primary):
        if id_ in primary:
            lines.append(f"| {id_}: {words} | {found} | {effect} |")
    heads = [title for _, _, title in SHOWN]
    lines += ["", f"| | {' | '.join(heads)} |", f"|{' --- |' * (len(heads) + 1)}"]
    for method, words in METHODS.items():
        cells = [_mean(summary, method, *column[:2]) for column in SHOWN]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return {"answer": _summary(whole, primary), "tables": "\n".join(lines)}


def readme(text: str, reference: Path) -> str:
    """The README's text with its parts written anew.

    Raises:
        Refused: a part is not there, or there is one that nothing writes.
    """
    written = parts(reference)
    there = [name for _, name, _ in PART.findall(text)]
    if sorted(there) != sorted(written):
        raise store.Refused(f"README: has the parts {there}; must have {list(written)} once each")
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
