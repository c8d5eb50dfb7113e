"""The report as a reader's browser shows it; and what it is written from."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from conftest import ROOT, snakemake
from ndsm.report import pages
from ndsm.report.claim_documents import TITLES, summary

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browsed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
# playwright's own event loop warns when it ends.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def report(smoke: Path) -> Path:
    """The report of the smoke study, as ``make report`` writes it."""
    path = smoke / "results" / "smoke" / "report.html"
    (line,) = re.findall(r"--report \S+ (--report-stylesheet \S+)", (ROOT / "Makefile").read_text())
    snakemake(smoke, "--report", str(path), *line.split(), "--config", "study=smoke")
    return path


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    with sync_playwright() as here:
        chromium = here.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser: Browser, report: Path, width: int, height: int) -> tuple[Page, list[str]]:
    """The report in a window, and what went wrong: errors, and requests to elsewhere."""
    page, wrong = browser.new_page(viewport={"width": width, "height": height}), list[str]()
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    local = ("file:", "data:", "blob:", "about:")
    page.on("request", lambda r: None if r.url.startswith(local) else wrong.append(r.url))
    page.goto(report.as_uri())
    page.wait_for_selector("#answers img")
    return page, wrong


def bottom(page: Page, selector: str) -> tuple[float, float, float]:
    """Left, right and lower edge of an element, in the window."""
    box = page.locator(selector).last.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"], box["y"] + box["height"]


@browsed
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_front_page_opens_at_its_top(browser, report, width, height):
    page, wrong = opened(browser, report, width, height)
    for selector in ("h1.title", "#answers table"):
        left, right, _ = bottom(page, selector)
        assert 0 <= left < right <= width, selector
    title = page.locator("h1.title").bounding_box()
    assert 0 <= title["y"] < 100
    text = page.inner_text("#answers table")
    assert all(id_ in text for id_ in TITLES)
    if width == 1280:  # all on one screen
        assert bottom(page, ".prose")[2] <= height
    assert not wrong


@browsed
def test_every_page_behind_it_opens_with_its_pictures(browser, report):
    page, wrong = opened(browser, report, 1280, 900)
    names = page.evaluate("Object.keys(results).filter(name => name.endsWith('.html'))")
    assert {"claims.html", "summary.html", "forest.html"} <= {Path(name).name for name in names}
    for name in names:
        page.evaluate(
            "name => app.setView({content: 'html', contentPath: results[name].data_uri})", name
        )
        page.wait_for_selector("iframe")
        inside = page.frame_locator("iframe")
        inside.locator("h1").wait_for()
        if "/figures/" in name:
            picture = inside.locator("figure img")
            assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 700
            assert inside.locator("figcaption").inner_text().strip(), name
        else:
            assert inside.locator("table").count()
        if name.endswith("claims.html"):
            text = inside.locator("body").inner_text()
            assert all(verdict in text for verdict in ("C1", "C9", "inconclusive"))
    assert not wrong


@browsed
def test_a_wrong_page_is_noticed(browser, tmp_path):
    path = tmp_path / "report.html"
    text = "<div id='answers'><img alt='' src='https://example.org/x.png' width=9></div>"
    path.write_text(f"{text}<script>throw Error('no such luck')</script>")
    page, wrong = opened(browser, path, 1280, 900)
    page.wait_for_timeout(200)
    assert "no such luck" in wrong and "https://example.org/x.png" in wrong


def test_the_sentence_counts_the_verdicts():
    roles = ["primary", "rival", "primary", "primary"]
    verdicts = ["supported", "supported", "contradicted", "supported"]
    table = pd.DataFrame({"id": ["C1", "C1", "C2", "C7"], "role": roles, "verdict": verdicts})
    said = summary(table.assign(p_value=0.01))
    assert "Of 1 claims it does in 1 (C1) and takes away in none." in said
    assert "Of the 3 claims of the abstract themselves 2 (C1, C7) are supported, 1 (C2) " in said


def test_a_table_has_its_numbers_and_no_markup_of_others():
    text = pages.table(pd.DataFrame({"a": [0.123456, None], "b": ["supported", "<b>"]}))
    assert "<td>0.1235</td>" in text and '<td class="supported">' in text
    assert "&lt;b&gt;" in text and "nan" not in text.lower()
