"""The pages for people: what they link and name is there, and what is generated is not stale."""

import ast
import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from conftest import ROOT


def test_the_page_of_the_configuration_is_that_of_the_schema() -> None:
    where = ROOT / "docs" / "configuration.py"
    spec = importlib.util.spec_from_file_location("docs_configuration", where)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "make docs writes it"
    for line in module.page().splitlines():
        if line.startswith("| `"):  # key, meaning, allowed, default
            assert all(cell.strip() for cell in line.replace("\\|", "").split("|")[1:4]), line


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("config/*.md")]
PAGES += [
    *ROOT.glob("bench/*.md"),
    *ROOT.glob(".github/**/*.md"),
    *ROOT.glob("results/reference/**/*.md"),
]
# What is not there before a study has run, or on a user's machine, or elsewhere.
NOT_HERE = re.compile(r"results/(?!reference\b)|my\.yaml|\.venv|<|…|\*|offline\.txt")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(
    r"(?:[\w.-]+/)+(?:[\w-]+\.\w+)?|[\w-]+\.(?:py|md|yaml|yml|smk|toml|cff|txt|sh|rst)"
)


def text_of(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives to the headings of a page."""
    titles = re.findall(r"^#+ +(.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(text_of(page)):
        if re.match(r"https?://|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target), f"{page}: {link}"


def paths_of(text: str) -> set[str]:
    """What in code font looks like a file or folder of the tree."""
    spans = re.findall(r"`([^`\n]+)`", text)
    return {span for span in spans if PATH.fullmatch(span) and not NOT_HERE.search(span)}


# Names of files that a study writes, and of one that docs/extending.md adds.
BARE = {"claims.md", "summary.md", "bench.md", "workflow/report/means.rst"}
WRITTEN = re.compile(r"^(tables|figures|pages|data|drift|train|logs|benchmarks|wheels)/")


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "results" not in page.parts and page.name != "CHANGELOG.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    for name in paths_of(text_of(page)) - BARE:
        if not WRITTEN.search(name):
            there = [ROOT / name, page.parent / name]
            if "/" not in name:
                there += (ROOT / "workflow").rglob(name)
            assert any(path.exists() for path in there), f"{page.name}: {name}"


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 130


def test_a_wrong_path_is_found() -> None:
    text = "`workflow/ndsm/nowhere.py` and `results/default/claims.md`, `a / b`, `docs/`"
    assert paths_of(text) == {"workflow/ndsm/nowhere.py", "docs/"}


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    date = str(citation["date-released"])
    assert version == citation["version"] == zenodo["version"]
    assert date == zenodo["publication_date"]
    found = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [title for title in found if title != "Unreleased"]
    assert released[0] == f"{version} ({date})" and released == sorted(released, reverse=True)
    assert found.index(released[0]) == len(found) - len(released) <= 1


def defined(path: Path) -> set[str]:
    """The functions, classes and methods of a module."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            found |= {f"{node.name}.{each.name}" for each in inner}
    return found


def test_every_equation_has_its_function() -> None:
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    table = text.partition("## The equations")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|.*\| (`workflow[^|]*) \| (`[^|]*) \|$", table, re.MULTILINE)
    assert len(rows) > 30
    for files, functions in rows:
        there = set().union(*(defined(ROOT / name) for name in re.findall(r"`([^`]+)`", files)))
        assert set(re.findall(r"`([^`]+)`", functions)) <= there, (files, functions)
