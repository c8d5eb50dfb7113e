"""Figures stage: tables -> figures/*.png and *.pdf. Reads nothing else, and draws all in one go."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Annotated, Any

# That of Jupyter or Colab, whose module may not be here: matplotlib would end. style.use chooses.
os.environ.pop("MPLBACKEND", None)

import matplotlib.pyplot as plt
import typer
from matplotlib.figure import Figure

from ndsm.artefacts import files
from ndsm.data.datasets import DATASETS
from ndsm.errors import Refused
from ndsm.report import style
from ndsm.report.cost_figures import budgets, components, frontier
from ndsm.report.metric_figures import (
    cost_quality,
    departure,
    learning_curve,
    seeds,
    shares,
    variance,
)
from ndsm.report.sample_figures import codes, digits, forward_process, scatter

WORKERS = 2  # processes that draw; the threads of the rule

Spec = dict[str, Any]
Panels = Callable[..., Figure]

# How the figures of an experiment are drawn, and those of which a study has one.
PANELS: dict[str, Panels] = {
    "samples": scatter,
    "learning_curve": learning_curve,
    "seeds": seeds,
    "shares": shares,
    "latent": codes,
    "frontier": frontier,
    "budgets": budgets,
    "components": components,
}
SINGLE: dict[str, Panels] = {
    "departure": departure,
    "forward_process": forward_process,
    "variance": variance,
    "cost_quality": cost_quality,
}


def main(
    tables: Annotated[Path, typer.Option(help="folder of the tables")],
    out: Annotated[Path, typer.Option(help="folder of the figures")],
    spec: Annotated[
        dict,
        typer.Option(parser=json.loads, help="figures [name]; experiments {E: {methods, metrics}}"),
    ],
) -> None:
    """Draws the figures that ``spec["figures"]`` names.

    Raises:
        Refused: a name that is no figure.
        MemoryError: a process that draws was killed.
    """
    known = catalogue(spec)
    if unknown := [name for name in spec["figures"] if name not in known]:
        raise Refused(f"figure {unknown[0]}: allowed are {', '.join(known)}")
    try:
        for name in in_processes(partial(draw, tables, out, spec), spec["figures"]):
            print(f"{out / name}.png", flush=True)
    except BrokenProcessPool:
        raise MemoryError("a process that draws was killed") from None
    remove_others(out, spec["figures"])


def remove_others(folder: Path, names: list[str]) -> None:
    """Removes figures that an earlier run drew, and that the study no longer has."""
    for path in sorted(folder.glob("*.p[nd][gf]")):
        drawn = path.stem in SINGLE or path.stem.startswith(tuple(f"{kind}_" for kind in PANELS))
        if drawn and path.stem not in names:
            path.unlink()
            print(f"{path} is no longer of the study: removed", flush=True)


def in_processes(work: Callable[[str], str], names: Iterable[str]) -> Iterator[str]:
    """The results of ``work``, done in ``WORKERS`` processes, or in this one if need be."""
    try:
        pool = ProcessPoolExecutor(WORKERS)
    except (OSError, NotImplementedError) as problem:
        print(f"drawing in one process: no locks to be had in /dev/shm ({problem})", flush=True)
        yield from map(work, names)
        return
    with pool:
        yield from pool.map(work, names)


def draw(tables: Path, out: Path, spec: Spec, name: str) -> str:
    """Draws one figure, and gives its name back."""
    style.use()
    look = style.looks([e["methods"] for e in spec["experiments"].values()])
    panels, experiment = catalogue(spec)[name]
    figure = panels(tables, spec, look, experiment)
    style.save(figure, out / name)
    plt.close(figure)
    return name


def catalogue(spec: Spec) -> dict[str, tuple[Panels, str]]:
    """Every figure there can be: name -> how it is drawn, and of which experiment."""
    known = dict[str, tuple[Panels, str]]()
    for experiment, settings in spec["experiments"].items():
        is_image = DATASETS[settings["dataset"]["name"]].image
        own = PANELS | {"samples": digits if is_image else scatter}
        known |= {f"{kind}_{experiment}": (panels, experiment) for kind, panels in own.items()}
    return known | {name: (panels, "") for name, panels in SINGLE.items()}


if __name__ == "__main__":
    files.run(main)
