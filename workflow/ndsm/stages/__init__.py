"""One module per rule, with what it does as ``main``: ``python -m ndsm.stages.train``."""

import sys
from types import TracebackType


def explain(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    """A package that is not installed is one line; all else, and a module of ours, as usual."""
    name = str(problem.name) if isinstance(problem, ModuleNotFoundError) else "ndsm"
    if name.partition(".")[0] == "ndsm":
        return sys.__excepthook__(kind, problem, trace)
    remedy = "pip install -r envs/requirements.txt, or snakemake --sdm conda"
    print(f"error: {name} is missing from {sys.executable}: {remedy}", file=sys.stderr)


# So it reads while Python looks for the module of a command: what a stage imports is still to come.
if sys.argv[0] == "-m":
    sys.excepthook = explain
