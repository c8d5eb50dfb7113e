"""Claims stage: tables/metrics.csv -> claims.{csv,md} and report.rst, the report's front page.

Every verdict is computed (``ndsm.verdict``) and none is typed. A claim of the configuration names
an experiment, a metric, a method and either a ``baseline`` method or a threshold ``at_most``. The
metric ``size_to_match:<metric>`` asks, seed by seed, how many training points the baseline needs to
reach what the method has with ``n_train``; the effect is then the share of the data that is saved.
"""

import itertools
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from ndsm import store
from ndsm.verdict import (
    CONTRADICTED,
    INCONCLUSIVE,
    MAXIMISED,
    SUPPORTED,
    Verdict,
    compare,
    size_to_match,
)

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
COLUMNS = (
    "id claim experiment metric method baseline n_train effect ci_low ci_high p_value seeds verdict"
).split()
NOT_RUN = "not run"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_RUN)
MATCH = "size_to_match:"


def main(
    tables: Annotated[Path, typer.Option(help="folder with metrics.csv")],
    out: Annotated[Path, typer.Option(help="claims.csv; claims.md and report.rst go beside it")],
    spec: Annotated[dict, typer.Option(parser=json.loads, help="study, verdict, claims")],
) -> None:
    """Computes the verdict of every configured claim and writes the three documents."""
    metrics = pd.read_csv(tables / "metrics.csv", dtype={"n_train": "Int64"})
    table = evaluate(spec["claims"], metrics, **spec["verdict"])
    notes = table.pop("note")
    store.write_table(out, table, store.provenance(spec))
    store.write_text(out.with_suffix(".md"), markdown(table, notes, spec, out))
    store.write_text(out.with_name("report.rst"), front_page(table, notes, spec, out))
    print(table.verdict.value_counts().to_string(), flush=True)


def evaluate(
    claims: list[dict[str, Any]], metrics: pd.DataFrame, level: float, resamples: int
) -> pd.DataFrame:
    """The claims table: ``COLUMNS`` and ``note``, in the order of the ids.

    Args:
        claims: the configuration's claims; ``experiment``, ``method`` and ``n_train`` may be lists
            and give one row for each combination.
        metrics: tidy metrics of the study.
        level: significance level.
        resamples: bootstrap resamples.

    Raises:
        Refused: an unknown id, or a claim on values that the study does not have.
    """
    rows = []
    for claim in claims:
        if claim["id"] not in CLAIMS:
            raise store.Refused(f"claim id {claim['id']}: allowed are {', '.join(CLAIMS)}")
        lists = [_as_list(claim.get(key)) for key in ("experiment", "method", "n_train")]
        for experiment, method, n_train in itertools.product(*lists):
            one = claim | {"experiment": experiment, "method": method, "n_train": n_train}
            rows.append(_row(one, metrics, level, resamples))
    missing = CLAIMS.keys() - {row["id"] for row in rows}
    rows += [{"id": id_, "claim": CLAIMS[id_], "verdict": NOT_RUN} for id_ in missing]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "note"]).sort_values("id", kind="stable")
    return table.astype({"n_train": "Int64", "seeds": "Int64"}).reset_index(drop=True)


def _as_list(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _row(
    claim: dict[str, Any], metrics: pd.DataFrame, level: float, resamples: int
) -> dict[str, Any]:
    """One row of the claims table."""
    metric = claim["metric"].removeprefix(MATCH)
    values = metrics[(metrics.experiment == claim["experiment"]) & (metrics.metric == metric)]
    n_train = claim["n_train"]
    if n_train is None:
        sizes = values.n_train.dropna().unique()
        if len(sizes) != 1:
            raise store.Refused(f"{_name(claim)}: n_train must be given, one of {sorted(sizes)}")
        n_train = int(sizes[0])
    method = _curves(values, claim["method"], claim).get(n_train)
    if method is None or method.isna().any():
        raise store.Refused(f"{_name(claim)}: no values at n_train {n_train} for every seed")

    note = ""
    if "at_most" in claim:
        baseline = pd.Series(float(claim["at_most"]), method.index)
    else:
        curves = _curves(values, claim["baseline"], claim)
        if claim["metric"].startswith(MATCH):
            baseline, note = _sizes_to_match(curves, method, metric in MAXIMISED)
            method = pd.Series(float(n_train), method.index)
        elif n_train in curves:
            baseline = curves[n_train]
        else:
            raise store.Refused(f"{_name(claim)}: the baseline has no values at {n_train}")
    if set(baseline.index) != set(method.index) or baseline.isna().any():
        raise store.Refused(f"{_name(claim)}: method and baseline have different seeds")

    maximise = metric in MAXIMISED and not claim["metric"].startswith(MATCH)
    verdict: Verdict = compare(
        baseline.loc[method.index], method, maximise=maximise, level=level, resamples=resamples
    )
    return {
        "id": claim["id"],
        "claim": CLAIMS[claim["id"]],
        "experiment": claim["experiment"],
        "metric": claim["metric"],
        "method": claim["method"],
        "baseline": f"at most {claim['at_most']}" if "at_most" in claim else claim["baseline"],
        "n_train": n_train,
        "effect": verdict.effect,
        "ci_low": verdict.ci_low,
        "ci_high": verdict.ci_high,
        "p_value": verdict.p_value,
        "seeds": verdict.seeds,
        "verdict": verdict.verdict,
        "note": "; ".join(filter(None, [note, verdict.note])),
    }


def _name(claim: dict[str, Any]) -> str:
    return f"claim {claim['id']} ({claim['experiment']}, {claim['metric']}, {claim['method']})"


def _curves(values: pd.DataFrame, method: str, claim: dict[str, Any]) -> pd.DataFrame:
    """Values of one method, (seeds, sizes): the pairing of seeds is that of the index."""
    rows = values[values.method == method]
    if rows.empty:
        known = ", ".join(sorted(values.method.unique())) or "none"
        raise store.Refused(f"{_name(claim)}: no values of {method}; there are those of {known}")
    return rows.pivot(index="seed", columns="n_train", values="value")


def _sizes_to_match(
    curves: pd.DataFrame, targets: pd.Series, maximise: bool
) -> tuple[pd.Series, str]:
    """The size that the baseline needs for each seed's target, and what was censored."""
    curves = curves.dropna(axis="columns")
    matches = [
        size_to_match(curves.columns, curves.loc[seed], target, maximise=maximise)
        for seed, target in targets.items()
    ]
    above = sum(match.censored == "above" for match in matches)
    below = sum(match.censored == "below" for match in matches)
    notes = []
    if above:
        notes.append(
            f"in {above} of {len(matches)} seeds the baseline does not get there with "
            f"{curves.columns.max()} points, which stand for its size: a lower bound of the saving"
        )
    if below:
        notes.append(
            f"in {below} of {len(matches)} seeds the baseline is there with its smallest size, "
            f"{curves.columns.min()}, which stands for its size: an upper bound of the saving"
        )
    return pd.Series([match.size for match in matches], targets.index), "; ".join(notes)


# The two documents -----------------------------------------------------------------------------


def command(study: str, out: Path) -> str:
    """The shell command that computes the claims table anew."""
    other = "" if study == "default" else f" --configfile workflow/studies/{study}.yaml"
    return f"snakemake --cores all{other} --forcerun claims -- {out}"


def _cells(table: pd.DataFrame, notes: pd.Series) -> list[list[str]]:
    """The table's cells as text, without the claim's words; notes by number."""
    numbers = itertools.count(1)
    marks = ["" if not note else f" [{next(numbers)}]" for note in notes.fillna("")]
    rows = []
    for row, mark in zip(table.itertuples(), marks, strict=True):
        cells = [row.id, row.experiment, row.metric, row.method, row.baseline, row.n_train]
        effect = [_percent(row.effect), _percent(row.ci_low), _percent(row.ci_high)]
        p_value = "" if pd.isna(row.p_value) else f"{row.p_value:.2g}"
        texts = [
            "" if pd.isna(cell) else str(cell) for cell in [*cells, *effect, p_value, row.seeds]
        ]
        rows.append([*texts, f"**{row.verdict}**{mark}"])
    return rows


def _percent(value: float | None) -> str:
    """A share as a percentage with its sign, e.g. +12 %."""
    if value is None or pd.isna(value):
        return ""
    return f"{100 * value:+.3g} %" if np.isfinite(value) else f"{value:+}"


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
        "baseline's mean: positive is in favour of the claim. Where the baseline is a threshold "
        "(*at most x*) it is the relative distance below it; for *size_to_match* the share of the "
        f"training points saved. *CI* is its {confidence} bootstrap interval over seeds, *p* the "
        "p-value of a two-sided paired t test over the same seeds (each seed gives both methods "
        "the same training points).",
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
    lines += ["Regenerate this table:", "", f"    {command(spec['study'], out)}", ""]
    return "\n".join(lines)


def front_page(table: pd.DataFrame, notes: pd.Series, spec: dict[str, Any], out: Path) -> str:
    """report.rst: the question, the claims with their verdicts, how to read them."""

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
        "Every comparison",
        "----------------",
        "",
        *listing(HEADER, _cells(table, notes), "4 12 14 12 12 7 8 8 8 7 6 14"),
        *(line for note in _notes(notes) for line in (_escape(note), "")),
        "The table is regenerated by::",
        "",
        f"    {command(spec['study'], out)}",
        "",
    ]
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Text that neither reStructuredText (``name_`` refers) nor Jinja takes as markup."""
    text = text.replace("\\", "\\\\").replace("_", "\\_").replace("|", "\\|")
    return text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")


if __name__ == "__main__":
    store.run(main)
