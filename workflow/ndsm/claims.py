"""Claims stage: tables/metrics.csv -> claims.{csv,md} and report.rst, the report's front page.

Every verdict is computed (``ndsm.verdict``) and none is typed. A claim of the configuration names
an experiment, a metric, a method and either a ``baseline`` method or a threshold ``at_most``. The
metric ``size_to_match:<metric>`` asks, seed by seed, how many training points the baseline needs to
reach what the method has with ``n_train``; the effect is then the share of the data that is saved.
``seconds_to:<metric>:<threshold>`` compares the seconds until either passes the threshold, and
``total_seconds_to`` adds those of the autoencoder. With a ``baseline_experiment`` the baseline is
there.
"""

import itertools
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from ndsm import cells, inputs, store
from ndsm.documents import CLAIMS, NOT_RUN, front_page, markdown
from ndsm.names import DIFFERENCES, MATCH, SECONDS, UNTRAINED
from ndsm.verdict import MAXIMISED, Verdict, compare, size_to_match

COLUMNS = (
    "id claim experiment metric method baseline n_train effect ci_low ci_high p_value seeds verdict"
).split()


def main(
    tables: Annotated[Path, typer.Option(help="folder with metrics.csv")],
    out: Annotated[Path, typer.Option(help="claims.csv; claims.md and report.rst go beside it")],
    spec: Annotated[dict, typer.Option(parser=json.loads, help="study, verdict, claims")],
) -> None:
    """Computes the verdict of every configured claim and writes the three documents."""
    metrics = inputs.read_table(tables / "metrics.csv", cells.COLUMNS, spec)
    if (tables / "time_to_quality.csv").exists():
        metrics = pd.concat([metrics, seconds_to(tables)], ignore_index=True)
    table = evaluate(spec["claims"], metrics, **spec["verdict"])
    notes = table.pop("note")
    store.write_table(out, table, store.provenance(spec))
    store.write_text(out.with_suffix(".md"), markdown(table, notes, spec, out))
    store.write_text(out.with_name("report.rst"), front_page(table, notes, spec, out))
    print(table.verdict.value_counts().to_string(), flush=True)


def seconds_to(tables: Path) -> pd.DataFrame:
    """Rows as of metrics.csv for ``[total_]seconds_to:<metric>:<threshold>``.

    The column ``censored`` marks where the threshold is never passed: the value is then the cost
    of the largest budget.
    """
    reached, runs = (
        inputs.read_table(tables / f"{name}.csv") for name in ("time_to_quality", "frontier")
    )
    names = reached.metric + ":" + reached.threshold.map("{:g}".format)
    keys = ["experiment", "method", "n_train", "seed"]
    most = runs.sort_values("network_evaluations").groupby(keys).seconds.last()
    last = most.loc[pd.MultiIndex.from_frame(reached[keys])].to_numpy()
    coder = runs.groupby(keys).autoencoder_seconds.first()
    coder = coder.loc[pd.MultiIndex.from_frame(reached[keys])].to_numpy()
    seconds = reached.seconds.fillna(pd.Series(last))
    rows = [
        reached[keys].assign(metric=prefix + names, value=value, censored=reached.seconds.isna())
        for prefix, value in zip(SECONDS, (seconds, seconds + coder), strict=True)
    ]
    return pd.concat(rows, ignore_index=True).astype({"n_train": "Int64"})


def evaluate(
    claims: list[dict[str, Any]], metrics: pd.DataFrame, level: float, resamples: int
) -> pd.DataFrame:
    """The claims table: ``COLUMNS`` and ``note``, in the order of the ids.

    Args:
        claims: the configuration's claims; a list under ``metric``, ``experiment``, ``method`` or
            ``n_train`` gives one row for each combination. With a method that was trained goes one
            more, against its own untrained model.
        metrics: tidy metrics of the study.
        level: significance level.
        resamples: bootstrap resamples.

    Raises:
        Refused: an unknown id, or a claim on values that the study does not have.
    """
    rows: list[dict[str, Any]] = []
    against_null: set[tuple] = set()
    for claim in claims:
        if claim["id"] not in CLAIMS:
            raise store.Refused(f"claim id {claim['id']}: allowed are {', '.join(CLAIMS)}")
        keys = ("metric", "experiment", "method", "n_train")
        for values in itertools.product(*(_as_list(claim.get(key)) for key in keys)):
            one = claim | dict(zip(keys, values, strict=True))
            rows.append(_row(one, metrics, level, resamples))
            null = one | {"baseline": f"{one['method']}{UNTRAINED}"}
            null.pop("baseline_experiment", None)
            seen = (null["id"], *(null[key] for key in keys))
            if _has_null(null, metrics) and "baseline" in one and seen not in against_null:
                against_null.add(seen)
                rows.append(_row(null, metrics, level, resamples))
    missing = CLAIMS.keys() - {row["id"] for row in rows}
    rows += [{"id": id_, "claim": CLAIMS[id_], "verdict": NOT_RUN} for id_ in missing]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "note"]).sort_values("id", kind="stable")
    return table.astype({"n_train": "Int64", "seeds": "Int64"}).reset_index(drop=True)


def _has_null(claim: dict[str, Any], metrics: pd.DataFrame) -> bool:
    """Whether the claim's method has been measured untrained, by the claim's metric."""
    return not metrics[
        (metrics.experiment == claim["experiment"])
        & (metrics.metric == claim["metric"])
        & (metrics.method == claim["baseline"])
    ].empty


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
        elsewhere = claim.get("baseline_experiment", claim["experiment"])
        theirs = metrics[(metrics.experiment == elsewhere) & (metrics.metric == metric)]
        curves = _curves(theirs, claim["baseline"], claim)
        if claim["metric"].startswith(MATCH):
            baseline, note = _sizes_to_match(curves, method, metric in MAXIMISED)
            method = pd.Series(float(n_train), method.index)
        elif n_train in curves:
            baseline = curves[n_train]
            if metric.startswith(SECONDS):
                method, note = _uncensored(values, theirs, claim, n_train, method, baseline)
        else:
            raise store.Refused(f"{_name(claim)}: the baseline has no values at {n_train}")
    if set(baseline.index) != set(method.index) or baseline.isna().any():
        raise store.Refused(f"{_name(claim)}: method and baseline have different seeds")

    maximise = metric in MAXIMISED and not claim["metric"].startswith(MATCH)
    how = {"maximise": maximise, "relative": metric not in DIFFERENCES}
    verdict: Verdict = compare(
        baseline.loc[method.index], method, **how, level=level, resamples=resamples
    )
    return {
        "id": claim["id"],
        "claim": CLAIMS[claim["id"]],
        "experiment": claim["experiment"],
        "metric": claim["metric"],
        "method": claim["method"],
        "baseline": _baseline(claim),
        "n_train": n_train,
        "effect": verdict.effect,
        "ci_low": verdict.ci_low,
        "ci_high": verdict.ci_high,
        "p_value": verdict.p_value,
        "seeds": verdict.seeds,
        "verdict": verdict.verdict,
        "note": "; ".join(filter(None, [note, verdict.note])),
    }


def _baseline(claim: dict[str, Any]) -> str:
    """What the method is compared with, in words."""
    if "at_most" in claim:
        return f"at most {claim['at_most']}"
    elsewhere = claim.get("baseline_experiment")
    return f"{claim['baseline']} in {elsewhere}" if elsewhere else claim["baseline"]


def _uncensored(
    values: pd.DataFrame,
    theirs: pd.DataFrame,
    claim: dict[str, Any],
    n_train: int,
    method: pd.Series,
    baseline: pd.Series,
) -> tuple[pd.Series, str]:
    """The method's seconds, and who does not get to the threshold.

    A baseline that does not has the cost of its largest budget, a lower bound of the saving. A
    method that does not is given no less than the baseline, so that nothing is saved.
    """
    notes, never = [], {}
    for role, rows in (("method", values), ("baseline", theirs)):
        name = claim[role]
        mine = rows[(rows.n_train == n_train) & (rows.method == name)]
        never[role] = mine.loc[mine.censored.astype(bool), "seed"]
        if len(never[role]):
            notes.append(f"in {len(never[role])} of {len(method)} seeds {name} does not get there")
    method = method.copy()
    late = method.index.isin(never["method"])
    method[late] = np.maximum(method[late], baseline[method.index[late]])
    if notes:
        notes.append("the cost of the largest budget stands for it")
    return method, "; ".join(notes)


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


if __name__ == "__main__":
    store.run(main)
