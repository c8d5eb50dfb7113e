"""What a reader must know of a primary comparison besides its effect, from its kept tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ndsm.artefacts import reading
from ndsm.metrics.registry import DIFFERENCES, MAXIMISED
from ndsm.report.kept_studies import kept
from ndsm.vocabulary import SECONDS

STILL = 0.05  # gain with the last larger budget from which on a method still improves: share, nats
MIXTURE = "gmm"  # the method without a network


def fit_share(row: Any, folder: Path) -> list[str]:
    """What the fit of a method's mixture takes of the seconds of its training, over all sizes.

    Args:
        row: of the claims table, as for what follows.
        folder: of the kept study, likewise.
    """
    cost = kept(folder / "cost.csv")
    own = cost[(cost.experiment == row.experiment) & (cost.method == row.method)].iloc[0]
    share = 100 * own.drift_seconds / own.training_seconds
    words = "of the seconds of its training, all sizes together"
    return [f"- The fit of its mixture takes {share:.2g} % {words}."]


def untrained(row: Any, rivals: Iterable[str], folder: Path) -> list[str]:
    """Of a time to a quality, in how many seeds which method is there without any training.

    Args:
        row: of a method, its baseline and the metric.
        rivals: methods that are looked at besides these two.
        folder: with ``time_to_quality.csv``.
    """
    if not row.metric.startswith(SECONDS):
        return []
    _, metric, quality = row.metric.split(":")
    reached = kept(folder / "time_to_quality.csv")
    asked = (reached.experiment == row.experiment) & (reached.n_train == row.n_train)
    reached = reached[asked & (reached.metric == metric) & (reached.quality == quality)]
    without = reached[reached.network_evaluations == 0].groupby("method").seconds
    count, seconds = without.size(), without.mean()
    lines = [
        f"- In {count[name]} of {row.seeds:.0f} seeds `{name}` is there untrained: its time is "
        "that of the fit."
        for name in (row.method, row.baseline, *rivals)
        if name in count
    ]
    own = reached[reached.method == row.method].seconds
    if count.get(MIXTURE) == own.notna().sum() == row.seeds:
        lines.append(
            f"- The best mixture alone, `{MIXTURE}`, is there in all seeds, on average after "
            f"{seconds[MIXTURE]:.2g} s; `{row.method}` needs {own.mean():.2g} s."
        )
    return lines


def budgets(row: Any, names: Iterable[str], folder: Path) -> list[str]:
    """What each method makes of every budget, where the study has several: a line for each."""
    lines = []
    for name in names:
        if found := by_budget(row, name, folder):
            values, improves = found
            state = "it has stopped improving"
            if improves:
                state = "it still improves, so that the verdict is one at this budget"
            shown = ", ".join(f"{value:.3g}" for value in values)
            lines.append(f"- From the smallest budget to this one `{name}` has {shown}: {state}.")
    return lines


def by_budget(row: Any, name: str, folder: Path) -> tuple[list[float], bool] | None:
    """A method's means with each budget up to the row's, and whether it still improves.

    None where the study has one budget alone, or the method has not run with each.
    """
    frontiers = reading.own_record(folder / "claims.csv")["spec"].get("frontiers") or {}
    runs = frontiers.get(row.experiment, {}).get("budgets", [])
    if len(runs) < 2 or runs[-1] != row.experiment:
        return None
    means = kept(folder / "summary.csv").query("method == @name and metric == @row.metric")
    means = means[means.n_train == row.n_train].set_index("experiment")["mean"]
    if not {*runs} <= {*means.index}:
        return None
    values = [float(means[run]) for run in runs]
    change = values[-1] - values[-2]
    if row.metric not in DIFFERENCES:  # those have no zero to be relative to
        change /= values[-2]
    return values, (change if row.metric in MAXIMISED else -change) >= STILL
