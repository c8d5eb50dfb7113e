"""Which modules of the package a stage runs, so that its rule can name them as inputs.

Snakemake does not see edits of imported modules by itself. ``digests`` tells whether kept results
are of the code that is there.
"""

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# The stages that make the numbers of a study.
STAGES = ["data", "latent", "drift", "classifier", "train", "sample", "evaluate"]
STAGES += ["score", "gradients", "aggregate", "claims"]


def modules(stage: str) -> list[str]:
    """Paths, in the package, of what ``stage`` runs: itself and, transitively, what it imports."""
    found, waiting = set(), {f"stages/{stage}.py"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= _imports(PACKAGE / path) - found
    return sorted(found)


def files(stage: str) -> list[Path]:
    """Where these modules lie."""
    return [PACKAGE / path for path in modules(stage)]


def digests() -> dict[str, str]:
    """A digest of the code of each of ``STAGES``, which comments and docstrings do not change."""
    return {stage: _digest("".join(_code(file) for file in files(stage))) for stage in STAGES}


@functools.cache
def _code(path: Path) -> str:
    """The code of a module, without comments and docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _imports(path: Path) -> set[str]:
    """Modules of the package that ``path`` imports anywhere; none if it is not there."""
    tree = ast.parse(path.read_text("utf-8")) if path.exists() else ast.Module([], [])
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    own = [name.removeprefix("ndsm.") for name in names if name.startswith("ndsm.")]
    paths = {name.replace(".", "/") + ".py" for name in own}
    return {path for path in paths if (PACKAGE / path).exists()}
