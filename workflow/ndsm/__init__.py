"""Nonlinear denoising score matching: one module per stage of the study, and what they share."""

import sys
from types import TracebackType

_usual = sys.excepthook


def _explain(
    kind: type[BaseException], problem: BaseException, trace: TracebackType | None
) -> None:
    """A package that is not installed is one line; all else, and a module of ours, as usual."""
    name = str(problem.name) if isinstance(problem, ModuleNotFoundError) else "ndsm"
    if name.partition(".")[0] == "ndsm":
        return _usual(kind, problem, trace)
    remedy = "pip install -r envs/requirements.txt, or snakemake --sdm conda"
    print(f"error: {name} is missing from {sys.executable}: {remedy}", file=sys.stderr)


sys.excepthook = _explain
