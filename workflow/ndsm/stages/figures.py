"""Figures stage: tables and claims -> figures/*.{png,pdf,gif,html}, pages/*.html and report.rst.

What people see. Reads tables and captions alone, and draws all in one go.
"""

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

from ndsm.artefacts import files
from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.reading import Inputs
from ndsm.report import (
    animations,
    claim_figures,
    cost_figures,
    front_page,
    metric_figures,
    mode_figures,
    pages,
    sample_figures,
    style,
)
from ndsm.report.method_looks import looks

WORKERS = 2  # processes that draw; the threads of the rule
# Those whose functions ``figure_list`` names.
MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        animations,
        claim_figures,
        cost_figures,
        metric_figures,
        mode_figures,
        sample_figures,
    )
}


def main(
    tables: Annotated[Path, typer.Option(help="folder of the tables; claims.csv is beside it")],
    captions: Annotated[Path, typer.Option(help="folder of the captions")],
    out: Annotated[Path, typer.Option(help="folder of the figures; report.rst goes beside it")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads, help="see ``PicturedStudy``")],
) -> None:
    """Draws the figures of the study, and writes the pages of the report.

    Raises:
        MemoryError: a process that draws was killed.
    """
    study = PicturedStudy.of(spec)
    try:
        for name in in_processes(partial(draw, tables, out, study), study.figures):
            print(f"{out / name}.png", flush=True)
    except BrokenProcessPool:
        raise MemoryError("a process that draws was killed") from None
    remove_others(out, study)
    write_pages(tables, captions, out, study)


def write_pages(tables: Path, captions: Path, out: Path, study: PicturedStudy) -> None:
    """A page for each figure and table, that of the claims, and the front page of the report."""
    inputs = Inputs()
    for name, own in study.figures.items():
        caption = (captions / f"{own.caption}.rst").read_text(encoding="utf-8")
        picture = out / f"{name}.{'gif' if own.moves else 'png'}"
        files.write_text(out / f"{name}.html", pages.figure(picture, own.title, caption))
    for name, title in study.pages.items():
        caption = (captions / f"{name}.rst").read_text(encoding="utf-8")
        body = pages.paragraphs(caption) + pages.table(inputs.table(tables / f"{name}.csv"))
        files.write_text(out.parent / "pages" / f"{name}.html", pages.page(title, body))
    claims = inputs.table(tables.parent / "claims.csv")
    text = front_page.claims_page(claims, study.study, study.verdict.level)
    files.write_text(out.parent / "pages" / "claims.html", text)
    text = front_page.front_page(claims, study.study, out / "forest.png")
    files.write_text(out.parent / "report.rst", text)


def remove_others(folder: Path, study: PicturedStudy) -> None:
    """Removes figures that an earlier run drew, and that the study no longer has."""
    for path in sorted(folder.glob("*.[pgh]*")):
        drawn = any(path.stem == kind or path.stem.startswith(f"{kind}_") for kind in study.kinds)
        if drawn and path.stem not in study.figures:
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


def draw(tables: Path, out: Path, study: PicturedStudy, name: str) -> str:
    """Draws one figure, and what moves of it, and gives its name back."""
    style.use()
    look = looks(method for e in study.experiments.values() for method in e.methods)
    own = study.figures[name]
    for drawn, save in ((own.draw, style.save), (own.moves, style.save_moving)):
        if drawn:
            module, _, function = drawn.partition(".")
            save(
                getattr(MODULES[module], function)(tables, study, look, own.experiment), out / name
            )
            plt.close("all")
    return name


if __name__ == "__main__":
    files.run(main)
