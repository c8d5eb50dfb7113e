"""The rooms of the package: each imports from itself or from below; importing changes nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "workflow" / "ndsm"
# From top to bottom; those of one floor do not import each other.
FLOORS = [
    {"library", "stages"},
    {"report", "study"},
    {"metrics"},
    {"data"},
    {"artefacts"},
    {"method"},
    {"errors", "vocabulary"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# What a stage may have of the floors beside it: nothing, not even of another stage.
ALONE = {"stages"}


def imports(text: str) -> set[str]:
    """The names in the package that a module's text imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("ndsm.") for name in names if name.startswith("ndsm.")}


def upward(room: str, text: str) -> list[str]:
    """What a module in a room imports that it must not."""
    wrong = []
    for name in sorted(imports(text)):
        other = name.split(".")[0]
        own = other == room and room not in ALONE
        if not own and FLOOR_OF[other] <= FLOOR_OF[room]:
            wrong.append(name)
    return wrong


MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_rooms_import_from_below_alone(module: Path) -> None:
    room = module.parts[0].removesuffix(".py")
    if room != "__init__":
        assert not upward(room, (PACKAGE / module).read_text())


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("method", "from ndsm.artefacts import files"),
        ("method", "def late():\n    from ndsm.study.plan import jobs"),
        ("report", "import ndsm.study.plan"),
        ("stages", "from ndsm.stages import data"),
        ("errors", "from ndsm import vocabulary"),
    ],
)
def test_a_wrong_import_is_found(room: str, line: str) -> None:
    text = (PACKAGE / "method" / "objectives.py").read_text()
    assert len(upward(room, line)) == 1 and len(upward("method", text)) == 0
    if room == "method":
        assert len(upward(room, f"{text}\n{line}\n")) == 1


def test_no_module_is_long() -> None:
    """A page of a few screens; and no function is longer than one."""
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "bench").glob("*.py")]:
        text = path.read_text()
        assert text.count("\n") <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{path}: {node.name} has {length} lines"


def test_importing_the_package_changes_nothing() -> None:
    code = "import sys; usual = sys.excepthook; import ndsm, ndsm.stages; "
    code += "sys.exit(sys.excepthook is not usual)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "workflow")
