"""What is kept in results/reference is of the settings and the code that are there.

The pages that show it are written from it: no number in them is typed.
"""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from conftest import ROOT
from ndsm.artefacts.judged_study import JudgedStudy
from ndsm.report import answers, kept_studies
from ndsm.stages import claims, forward
from ndsm.study import code_dependencies, configuration, job_settings

REFERENCE = ROOT / "results" / "reference"
KEPT = sorted(path.parent.relative_to(REFERENCE) for path in REFERENCE.glob("**/claims.json"))


def made_from(kept):
    """The study of a reference as it is configured now, and what its numbers were made from."""
    told = json.loads((REFERENCE / kept / "claims.json").read_text())["spec"]
    name = told["study"].removesuffix(f"_{told.get('scale')}")
    raw = yaml.safe_load(configuration.study_file(name).read_text())
    given = {key: told[key] for key in ("claim", "scale") if key in told}
    return configuration.resolve(raw | given), told["made_from"]


def stale(now, then):
    """The stages whose code has changed."""
    return [stage for stage, digest in now.items() if then.get(stage) != digest]


@pytest.mark.parametrize("kept", KEPT, ids=str)
def test_references_are_of_the_settings_that_are_there(kept):
    study, made = made_from(kept)
    assert made["settings"] == job_settings.settings_digest(study), f"make reference STUDY={kept}"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the digests are those of 3.11")
def test_the_default_reference_is_of_the_code_that_is_there():
    """Of the others, which take hours, RESULTS.md names the commit."""
    kept = [path for path in KEPT if str(path) == "default"]
    for _, made in map(made_from, kept):
        assert not stale(code_dependencies.digests(), made["code"]), "make reference"


def test_another_setting_or_line_of_code_is_noticed(tmp_path, monkeypatch):
    """Comments and docstrings are not."""
    raw = yaml.safe_load(configuration.study_file("default").read_text())
    now = job_settings.settings_digest(configuration.resolve(raw))
    raw["defaults"]["process"]["T"] += 0.5
    assert job_settings.settings_digest(configuration.resolve(raw)) != now
    monkeypatch.setattr(code_dependencies, "PACKAGE", tmp_path)
    monkeypatch.setattr(code_dependencies, "STAGES", ["one", "two"])
    one = '"""One."""\nfrom ndsm import lib\n'
    texts = {"stages/one": one, "stages/two": "x = 1\n", "lib": "y = 1\n"}
    (tmp_path / "stages").mkdir()

    def digests(changes):
        for name, text in (texts | changes).items():
            (tmp_path / f"{name}.py").write_text(text)
        code_dependencies._imports.cache_clear()
        code_dependencies._code.cache_clear()
        return code_dependencies.digests()

    now = digests({})
    assert not stale(
        digests({"stages/one": one.replace("One", "1"), "stages/two": "x = 1  # a\n"}), now
    )
    assert stale(digests({"lib": "y = 2\n"}), now) == ["one"]
    assert stale(digests({"stages/two": "x = 2\n"}), now) == ["two"]


@pytest.mark.parametrize("kept", [k for k in KEPT if (REFERENCE / k / "metrics.csv").exists()])
def test_verdicts_follow_from_the_values_that_are_kept(kept):
    """Every comparison, computed again from the values of each seed."""
    folder = REFERENCE / kept
    spec = json.loads((folder / "claims.json").read_text())["spec"]
    study = JudgedStudy.of(spec)
    own = {name: kept_studies.kept(folder / f"{name}.csv") for name in claims.read_from(study)}
    table = claims.evaluate(study, claims.with_derived(**own))
    then = pd.read_csv(folder / "claims.csv", dtype={"n_train": "Int64", "seeds": "Int64"})
    names = ["id", "role", "effect", "ci_low", "ci_high", "p_value", "verdict"]
    pd.testing.assert_frame_equal(table[names], then[names], check_dtype=False, rtol=1e-9)


@pytest.mark.skipif(not KEPT, reason="no reference is kept")
def test_pages_are_what_the_references_say(monkeypatch):
    monkeypatch.chdir(ROOT)
    kept = REFERENCE.relative_to(ROOT)
    readme, results = (Path(page).read_text() for page in ("README.md", "RESULTS.md"))
    assert answers.readme(readme, kept) == readme, "make reference writes it"
    assert answers.results(kept) == results, "make reference writes it"


def test_findings_in_the_readme_are_written_by_the_study():
    """Between the lines that the study writes there is no number with a decimal point or %."""
    text = (ROOT / "README.md").read_text()
    found = text.partition("## What it found\n")[2].partition("\n## ")[0]
    assert answers.PART.search(found)
    typed = re.sub(r"\]\([^)]*\)", "", answers.PART.sub("", found))
    assert not re.findall(r"\d+\.\d+|\d+ ?%", typed)


def test_the_animation_of_the_readme_is_light_and_whole():
    """Each frame of both ways, below two megabytes."""
    path = REFERENCE / "default" / "forward_process.gif"
    assert path.stat().st_size < 2_000_000
    with Image.open(path) as gif:
        assert gif.n_frames == 2 * forward.FRAMES
