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

from ndsm import store, style
from ndsm.cost_curves import budgets, components, frontier
from ndsm.curves import cost_quality, departure, learning_curve, seeds, shares, variance
from ndsm.datasets import DATASETS
from ndsm.pictures import codes, digits, forward_process, scatter

WORKERS = 2  # processes that draw; the threads of the rule

Spec = dict[str, Any]


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
        raise store.Refused(f"figure {unknown[0]}: allowed are {', '.join(known)}")
    try:
        for name in in_processes(partial(draw, tables, out, spec), spec["figures"]):
            print(f"{out / name}.png", flush=True)
    except BrokenProcessPool:
        raise MemoryError("a process that draws was killed") from None


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


def catalogue(spec: Spec) -> dict[str, tuple[Callable[..., Figure], str]]:
    """Every figure there can be: name -> how it is drawn, and of which experiment."""
    known: dict[str, tuple[Callable[..., Figure], str]] = {}
    for experiment, settings in spec["experiments"].items():
        is_image = DATASETS[settings["dataset"]["name"]].image
        known[f"samples_{experiment}"] = (digits if is_image else scatter, experiment)
        known[f"learning_curve_{experiment}"] = (learning_curve, experiment)
        known[f"seeds_{experiment}"] = (seeds, experiment)
        known[f"shares_{experiment}"] = (shares, experiment)
        known[f"latent_{experiment}"] = (codes, experiment)
        known[f"frontier_{experiment}"] = (frontier, experiment)
        known[f"budgets_{experiment}"] = (budgets, experiment)
        known[f"components_{experiment}"] = (components, experiment)
    return known | {
        "departure": (departure, ""),
        "forward_process": (forward_process, ""),
        "variance": (variance, ""),
        "cost_quality": (cost_quality, ""),
    }


if __name__ == "__main__":
    store.run(main)
