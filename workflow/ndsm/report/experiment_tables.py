"""Tables of summary.md that compare experiments: variants with what they vary, times to quality."""

import pandas as pd

from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.metrics.registry import DIAGNOSTIC, MAXIMISED
from ndsm.report.markdown_table import markdown_table
from ndsm.report.summary import cell
from ndsm.report.verdict import CONTRADICTED, SUPPORTED, compare, verdict
from ndsm.vocabulary import CEILING, FLOOR

READING = (
    "Mean ± standard deviation over seeds. ▲ is better and ▼ worse than the same method in the "
    "first row, by a paired t test over seeds at a level of 5 % and the bootstrap interval, as in "
    "the claims; these comparisons are not corrected for their number."
)
REFERENCE = "dsm"  # the method whose time others are measured against
LEVEL = 0.05
MARKS = {SUPPORTED: " ▲", CONTRADICTED: " ▼"}


def variant_tables(metrics: pd.DataFrame, study: GatheredStudy) -> list[str]:
    """For each experiment with variants a table of its first metric: variants by methods."""
    lines = []
    for base, settings in study.experiments.items():
        names = [e for e, s in study.experiments.items() if s.variant_of == base]
        names.sort(key=lambda e: _natural(e.removeprefix(f"{base}_")))
        if not names:
            continue
        lines += [f"## {base}: variants", "", READING, ""]
        metric = settings.metrics[0]
        of = metrics[(metrics.metric == metric) & (metrics.method != FLOOR)]
        sizes = sorted({n for e in names for n in study.experiments[e].n_train})
        for n_train in sizes:
            at = of[of.n_train == n_train]
            runs = [e for e in [base, *names] if n_train in study.experiments[e].n_train]
            present = set(at[at.experiment.isin(set(runs) - {base})].method)
            methods = [m for m in [*study.methods, CEILING] if m in present]
            rows = []
            for e in runs:
                values = [_values(at, e, method) for method in methods]
                first = [_values(at, base, method) for method in methods]
                texts = [
                    _marked(v, b, metric in MAXIMISED, e != base and metric not in DIAGNOSTIC)
                    for v, b in zip(values, first, strict=True)
                ]
                label = "as above" if e == base else e.removeprefix(f"{base}_")
                rows.append([label, *texts])
            header = [f"{metric}, n = {n_train}", *methods]
            lines += [*markdown_table(header, rows, numbers=True), ""]
    return lines


def _natural(name: str) -> tuple[int, str]:
    """Numbers by size, then names: the settings come in the order of the alphabet."""
    return (int(name), "") if name.isdigit() else (10**9, name)


def _values(metrics: pd.DataFrame, experiment: str, method: str) -> pd.Series:
    """The values of a method by seed."""
    rows = metrics[(metrics.experiment == experiment) & (metrics.method == method)]
    return rows.set_index("seed").value.sort_index()


def _marked(values: pd.Series, base: pd.Series, maximise: bool, varied: bool) -> str:
    """Mean and deviation, with a mark where they differ from the base's."""
    if values.empty:
        return ""
    text = cell(values.mean(), values.std())
    if not varied or not values.index.equals(base.index):
        return text
    found = compare(base, values, maximise=maximise)
    if found.p_value is None:
        return text
    ends = found.ci_low or 0.0, found.ci_high or 0.0
    return text + MARKS.get(verdict(found.p_value, *ends, LEVEL), "")


def reached_table(reached: pd.DataFrame, study: GatheredStudy) -> list[str]:
    """How long each method takes to pass each threshold, mean over those seeds that do."""
    lines = []
    for (experiment, metric), of in reached.groupby(["experiment", "metric"], sort=False):
        lines += [
            f"## {experiment}: time to {metric}",
            "",
            "Seconds of a replica (its drift's fit and its share of the stacked training) until "
            "the metric passes the threshold, and network evaluations in training, means over "
            "seeds; each budget is a training of its own, the untrained model that of no "
            f"evaluations. × is the ratio to {REFERENCE}. With not all seeds there, how many.",
            "",
        ]
        runs = [study.experiments[e] for e in study.frontiers[experiment].budgets]
        varied = {n for run in runs if run.variant_of for n in run.n_train}
        for n_train, rows in of.groupby("n_train"):
            if varied and n_train not in varied:  # of one budget alone: nothing but bounds
                continue
            qualities = rows.drop_duplicates("quality").set_index("quality").threshold
            names = [
                f"{metric} {value:.3g}" + (f" ({quality})" if quality in study.methods else "")
                for quality, value in qualities.items()
            ]
            cells = []
            for method in [m for m in study.methods if m in set(rows.method)]:
                mine = rows[rows.method == method]
                reference = rows[rows.method == REFERENCE]
                texts = [
                    _time(*(table[table.quality == quality] for table in (mine, reference)))
                    for quality in qualities.index
                ]
                cells.append([method, *texts])
            lines += [*markdown_table([f"n = {n_train}", *names], cells, numbers=True), ""]
    return lines


def _time(rows: pd.DataFrame, reference: pd.DataFrame) -> str:
    """Seconds, their ratio to the reference's, and evaluations of those seeds that are there."""
    there = rows.dropna(subset="seconds")
    if there.empty:
        return "never"
    part = "" if len(there) == len(rows) else f" ({len(there)} of {len(rows)} seeds)"
    evaluations = there.network_evaluations.mean()
    seconds = f"{there.seconds.mean():.3g} s"
    if len(reference) and reference.seconds.notna().all() and len(there) == len(rows):
        seconds += f" (×{there.seconds.mean() / reference.seconds.mean():.2g})"
    return f"{seconds}, {evaluations:.0f}{part}"
