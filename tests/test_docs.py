"""The pages for people: what they link and name is there, and what is generated is not stale."""

import importlib.util

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
