"""Which modules of the package a stage runs, so that its rule can name them as inputs.

Snakemake does not see edits of imported modules by itself.
"""

import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def modules(stage: str) -> list[str]:
    """Names of the ndsm modules that ``stage`` runs: itself and, transitively, what it imports."""
    found, waiting = set(), {stage}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= _imports(PACKAGE / f"{name}.py") - found
    return sorted(found)


def files(stage: str) -> list[Path]:
    """Where these modules lie."""
    return [PACKAGE / f"{name}.py" for name in modules(stage)]


@functools.cache
def _imports(path: Path) -> set[str]:
    """Modules of the package that ``path`` imports anywhere; none if it is not there."""
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ndsm":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ndsm."):
            names.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("ndsm.")}
    return names
