"""What is kept of studies below results/reference: copied there, and read back whole."""

import re
import shutil
from pathlib import Path

import pandas as pd

from ndsm.artefacts import files, reading
from ndsm.errors import Refused
from ndsm.report.claim_documents import CONTROL, NULL, PRIMARY, RIVAL, SECONDARY, SECONDARY_NULL
from ndsm.report.verdict import holm, verdict

# What is kept of a study, and what else where it has it: all that its verdicts are computed from.
KEPT = [f"tables/summary.{end}" for end in ("md", "csv", "json")]
KEPT += [f"tables/{name}.{end}" for name in ("cost", "metrics") for end in ("csv", "json")]
KEPT += [f"claims.{end}" for end in ("md", "csv", "json")]
TIMED = [f"tables/{n}.{end}" for n in ("frontier", "time_to_quality") for end in ("csv", "json")]
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


def kept(path: Path) -> pd.DataFrame:
    """A table of ``reference``, if it is whole; its study may have been run again since.

    Raises:
        Refused: its bytes are not those of its record, or it is another table.
    """
    record = reading.own_record(path)
    if files.sha256(path) != record["sha256"]:
        raise reading.unusable(path, "its bytes are not those of its record (SHA-256)")
    if Path(record["place"]).name != path.name:
        raise reading.unusable(path, f"it is {record['place']} of a study, kept as another")
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
    families = [whole.role == role for role in (PRIMARY, NULL, RIVAL, CONTROL)]
    families += [
        (whole.role == role) & (whole.id == id_)
        for role in (SECONDARY, SECONDARY_NULL)
        for id_ in whole.id.unique()
    ]
    for rows in families:
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
        Refused: the study has not ended, or the README shows a figure that it has not.
    """
    if not (study / "figures").is_dir():
        raise Refused(f"{study}/figures: is not there; let make study end first")
    decided = set(pd.read_csv(study / "claims.csv").query(f"role == '{PRIMARY}'").id)
    drawn = {path.name: path for path in (study / "figures").iterdir()}
    shown = set(re.findall(rf"\({re.escape(folder.as_posix())}/(\w+\.(?:png|gif))\)", page))
    if missing := sorted(shown - set(drawn)):
        raise Refused(f"{study}/figures: no {missing[0]}, which the README shows")
    shown |= {f"{name}.png" for id_ in decided for name in FIGURES.get(id_, [])} & set(drawn)
    folder.mkdir(parents=True, exist_ok=True)
    tables = [study / name for name in KEPT]
    tables += [path for name in TIMED if (path := study / name).exists()]
    for path in [*tables, *(drawn[name] for name in sorted(shown))]:
        shutil.copy(path, folder)


def commits(reference: Path) -> str:
    """Which code made each study, by the commits in its record; + of a tree with changes."""
    made = {
        path.parent.relative_to(reference).as_posix(): reading.own_record(path)["commit"]
        for path in sorted(reference.glob("**/claims.csv"))
    }
    return ", ".join(f"{name} by {commit[:7]}{commit[40:]}" for name, commit in made.items())
