"""Claims stage: tables/metrics.csv -> claims.csv and claims.md.

Every verdict is computed (``report.verdict``) and none is typed. Each claim has one comparison that
decides it, which the configuration declares under ``primary``. Beside it stand two further ones of
the same values, with another baseline: ``untrained``, the method's own model without its network
(does the network add to its mixture?), and ``rival``, which has the same mixture under linear noise
(does nonlinear noise add to that?). A claim may have a ``control`` too, a method without the
property that the claim is about. Each of these roles is a family, whose p-values are corrected
together over all claims. Comparisons under ``secondary`` are corrected within their
claim, and so, apart from them, are those with the untrained models beside each.

What a comparison names: ``Claim``. What the metrics of the comparisons are: ``comparisons``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ndsm.artefacts import files, metric_table
from ndsm.artefacts.judged_study import Claim, JudgedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.errors import Refused
from ndsm.report.claim_documents import (
    CLAIMS,
    CONTROL,
    NOT_RUN,
    NULL,
    PRIMARY,
    RIVAL,
    SECONDARY,
    SECONDARY_NULL,
    markdown,
)
from ndsm.report.comparisons import best_budgets, compared, seconds_to
from ndsm.report.verdict import detectable, holm, verdict
from ndsm.vocabulary import BEST, POINTS, SECONDS, UNTRAINED

COLUMNS = (
    "id claim role experiment metric method baseline n_train effect ci_low ci_high p_value"
    " p_adjusted detectable seeds verdict note"
).split()


def main(
    tables: Annotated[Path, typer.Option(help="folder with metrics.csv")],
    out: Annotated[Path, typer.Option(help="claims.csv; claims.md goes beside it")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads, help="see ``JudgedStudy``")],
) -> None:
    """Computes the verdict of every configured claim and writes the two documents."""
    study, inputs = JudgedStudy.of(spec), Inputs()
    read = {
        name: inputs.table(tables / f"{name}.csv", columns, spec)
        for name, columns in read_from(study).items()
    }
    table = evaluate(study, with_derived(**read))
    files.write_table(out, table, files.provenance(spec, inputs.digests))
    files.write_text(out.with_suffix(".md"), markdown(table, study, out))
    print(table[["role", "verdict"]].value_counts().to_string(), flush=True)


def read_from(study: JudgedStudy) -> dict[str, list[str]]:
    """The tables of which verdicts are made, and columns that each must have."""
    timed = ["experiment", "method", "n_train", "seed", "metric"]
    runs = {"time_to_quality": timed, "frontier": timed} if study.frontiers else {}
    return {"metrics": metric_table.COLUMNS, **runs}


def with_derived(
    metrics: pd.DataFrame,
    time_to_quality: pd.DataFrame | None = None,
    frontier: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Tidy metrics with those that are derived from runs with several budgets, if there are any."""
    if time_to_quality is None or frontier is None:
        return metrics
    derived = [seconds_to(time_to_quality, frontier), best_budgets(frontier)]
    return pd.concat([metrics, *derived], ignore_index=True)


def evaluate(study: JudgedStudy, metrics: pd.DataFrame) -> pd.DataFrame:
    """The claims table, ``COLUMNS``, in the order of the ids.

    Args:
        study: its comparisons, and how they are judged.
        metrics: tidy metrics of the study.

    Raises:
        Refused: an unknown id, or a claim on values that the study does not have.
    """
    rows, claims, level = [], study.claims or CLAIMS, study.verdict.level
    for role, claim in _comparisons(study, metrics):
        if claim.id not in claims:
            raise Refused(f"claim id {claim.id}: allowed are {', '.join(claims)}")
        about = {"role": role, "claim": claims[claim.id], "verdict": ""}
        rows.append(about | compared(claim, metrics, level, study.verdict.resamples))
    missing = claims.keys() - {row["id"] for row in rows}
    rows += [{"id": id_, "claim": claims[id_], "verdict": NOT_RUN} for id_ in missing]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "spread", "scale"])
    table = _independent(table.sort_values("id", kind="stable"))
    table = _judged(table, level, len(claims)).drop(columns=["spread", "scale"])
    return table.astype({"n_train": "Int64", "seeds": "Int64"})


def _comparisons(study: JudgedStudy, metrics: pd.DataFrame) -> Iterator[tuple[str, Claim]]:
    """Every comparison with its role; after each the one with the method's untrained model."""
    nulls = set[tuple]()

    def with_null(role: str, claim: Claim) -> Iterator[tuple[str, Claim]]:
        """Each but once, whatever the claim: it asks the same of every claim."""
        about = (claim.metric, claim.experiment, claim.method, claim.n_train)
        if about not in nulls and _has_null(claim, metrics):
            nulls.add(about)
            null = f"{claim.method}{UNTRAINED}"
            yield role, claim.model_copy(update={"baseline": null, "baseline_experiment": ""})

    for id_, declared in study.primary.items():
        claim = declared.model_copy(update={"id": id_})
        yield PRIMARY, claim
        yield from with_null(NULL, claim)
        for role, baseline in ((RIVAL, claim.rival), (CONTROL, claim.control)):
            if baseline:
                yield role, claim.model_copy(update={"baseline": baseline})
    for several in study.secondary:
        for claim in several.each():
            yield SECONDARY, claim
            yield from with_null(SECONDARY_NULL, claim)


def _has_null(claim: Claim, metrics: pd.DataFrame) -> bool:
    """Whether a claim's method has a model without its network that can be compared with it.

    Not where one of several budgets is chosen, of which the null has one, nor for seconds: it costs
    its fit alone, so that where it gets to a quality it is always there first.
    """
    if not claim.baseline or claim.metric.startswith((*SECONDS, BEST, POINTS + BEST)):
        return False
    rows = metrics[metrics.experiment == claim.experiment]
    measured = rows.metric == claim.metric.removeprefix(POINTS)
    return f"{claim.method}{UNTRAINED}" in set(rows[measured].method)


def _independent(table: pd.DataFrame) -> pd.DataFrame:
    """The rows without those that say again what an earlier one of their claim has said.

    That is the same comparison, or one with the very same numbers, as of two methods with the same
    prior. Secondary ones alone go.
    """
    said = ["id", "experiment", "metric", "method", "baseline", "n_train"]
    numbers = ["id", "effect", "ci_low", "ci_high", "p_value"]
    secondary = table.role.isin([SECONDARY, SECONDARY_NULL])
    table = table[~(table.duplicated(said) & secondary)]
    again = table.duplicated(numbers) & table.p_value.notna() & secondary[table.index]
    for row in table[again].itertuples():
        what = f"{row.id}: {row.metric} of {row.method} against {row.baseline}"
        print(f"{what} has the very numbers of another comparison, and is not counted")
    return table[~again].reset_index(drop=True)


def _judged(table: pd.DataFrame, level: float, claims: int) -> pd.DataFrame:
    """The table with p-values corrected in their families, verdicts and detectable effects."""
    family = table.role.where(
        table.role.isin([PRIMARY, NULL, RIVAL, CONTROL]), table.id + table.role
    )
    table["p_adjusted"] = table.p_value.astype(float).groupby(family).transform(holm)
    run = table.verdict != NOT_RUN
    table.loc[run, "verdict"] = [
        verdict(row.p_adjusted, row.ci_low, row.ci_high, level) for row in table[run].itertuples()
    ]
    # At the level of the first step of Holm's method for all claims.
    decides = (table.role == PRIMARY) & (table.spread > 0)
    table.loc[decides, "detectable"] = [
        detectable(row.spread, row.seeds, level / claims, row.scale)
        for row in table[decides].itertuples()
    ]
    return table


if __name__ == "__main__":
    files.run(main)
