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
from ndsm.report import cost_figures, metric_figures, sample_figures, style
from ndsm.report.method_looks import looks

WORKERS = 2  # processes that draw; the threads of the rule

Spec = dict[str, Any]
# Those whose functions ``figure_list`` names.
MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (cost_figures, metric_figures, sample_figures)
}


def main(
    tables: Annotated[Path, typer.Option(help="folder of the tables")],
    out: Annotated[Path, typer.Option(help="folder of the figures")],
    spec: Annotated[
        dict,
        typer.Option(parser=json.loads, help="figures {name: {draw, experiment}}; kinds"),
    ],
) -> None:
    """Draws the figures that ``spec["figures"]`` names.

    Raises:
        MemoryError: a process that draws was killed.
    """
    try:
        for name in in_processes(partial(draw, tables, out, spec), [*spec["figures"]]):
            print(f"{out / name}.png", flush=True)
    except BrokenProcessPool:
        raise MemoryError("a process that draws was killed") from None
    remove_others(out, spec)


def remove_others(folder: Path, spec: Spec) -> None:
    """Removes figures that an earlier run drew, and that the study no longer has."""
    for path in sorted(folder.glob("*.p[nd][gf]")):
        drawn = any(path.stem == kind or path.stem.startswith(f"{kind}_") for kind in spec["kinds"])
        if drawn and path.stem not in spec["figures"]:
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
    look = looks(method for e in spec["experiments"].values() for method in e["methods"])
    own = spec["figures"][name]
    module, _, function = own["draw"].partition(".")
    figure: Figure = getattr(MODULES[module], function)(tables, spec, look, own["experiment"])
    style.save(figure, out / name)
    plt.close(figure)
    return name


if __name__ == "__main__":
    files.run(main)
