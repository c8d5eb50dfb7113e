"""What the last stages are given: models that say the same as the JSON, and refuse all else."""

import copy
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from conftest import ROOT, lines_of, start
from ndsm.artefacts.answered_study import AnsweredStudy
from ndsm.artefacts.judged_study import JudgedStudy
from ndsm.artefacts.pictured_study import PicturedStudy
from ndsm.artefacts.prepared_data import PreparedData
from ndsm.errors import Refused
from ndsm.study import configuration, job_settings, plan

MODELS = {
    "data": PreparedData,
    "claims": JudgedStudy,
    "figures": PicturedStudy,
    "verdict": AnsweredStudy,
}
# The options of each stage that are paths.
PATHS = {
    "data": ("out",),
    "claims": ("tables", "out"),
    "figures": ("tables", "captions", "out"),
    "verdict": ("results", "shown", "out"),
}


def study_of(name: str, **more: Any) -> dict[str, Any]:
    """A study's settings."""
    raw = yaml.safe_load(configuration.study_file(name).read_text("utf-8"))
    return configuration.resolve(raw | more)


def told(study: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By stage what each job of a study is given, as it comes out of the JSON."""
    jobs = {"data": plan.jobs(study, "data"), "claims": [{"options": "-n"}], "figures": [{}]}
    jobs |= {"verdict": [{}]} if "data" in study else {}
    return {
        stage: [json.loads(job_settings.text(study, stage, **job)) for job in each]
        for stage, each in jobs.items()
    }


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What the jobs of a study of the user's own table are given."""
    path = tmp_path_factory.mktemp("own") / "my.csv"
    points = np.random.default_rng(0).standard_normal((90, 2))
    pd.DataFrame(points, columns=["a", "b"]).to_csv(path, index=False)
    return told(study_of("own", data=str(path)))


def text(value: Any) -> str:
    """As it is written in the command of a job."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("name", "more"), [("default", {}), ("smoke", {}), ("mnist", {"claim": "C8", "scale": "full"})]
)
def test_numbers_and_gaps_are_written_as_the_settings_have_them(
    name: str, more: dict[str, str]
) -> None:
    """Digests of it are kept, so that 1 must not become 1.0, nor a gap null."""
    given = told(study := study_of(name, **more))
    (claims,), (figures,), experiments = given["claims"], given["figures"], study["experiments"]
    for key in ("verdict", "primary", "secondary"):
        assert text(claims[key]) == text(study[key])
    for e, own in claims["frontiers"].items():
        assert text(own["thresholds"]) == text(experiments[e]["thresholds"])
    for runs in (kinds["budgets"] for kinds in figures["varied"].values() if "budgets" in kinds):
        budgets = {run: experiments[run]["training"]["evaluations"] for run in runs}
        assert text(runs) == text(budgets)
    for data in given["data"]:
        assert text(data["dataset"]) == text(experiments[data["experiment"]]["dataset"])


def test_the_stage_reads_all_of_it(own: dict[str, list[dict[str, Any]]]) -> None:
    assert set(own) == set(MODELS)
    for stage, (spec, *_) in own.items():
        assert text(MODELS[stage].of(spec).as_dict()) == text(spec)


def planted(spec: dict[str, Any], key: str, value: Any = None, name: str = "") -> dict[str, Any]:
    """A copy in which a key, a path with dots, has another name or value, or else is missing."""
    whole: dict[str, Any] = copy.deepcopy(spec)
    *path, last = (int(step) if step.isdigit() else step for step in key.split("."))
    place: Any = whole
    for step in path:
        place = place[step]
    before = place.pop(last)
    if name or value is not None:
        place[name or last] = before if value is None else value
    return whole


@pytest.mark.parametrize(
    ("stage", "key", "change", "said"),
    [
        ("data", "split", {}, "split is missing"),
        ("data", "samples", {"name": "sample"}, "samples is missing, sample is unknown"),
        ("data", "samples", {"value": "many"}, "samples is 'many': Input should be a valid int"),
        ("claims", "frontiers", {}, "frontiers is missing"),
        ("claims", "claims", {"name": "claim_s"}, "claim_s is unknown"),
        ("claims", "verdict.level", {"name": "lvl"}, "verdict.level is missing, verdict.lvl is un"),
        ("claims", "primary.D1.baseline", {"name": "base"}, "primary.D1.base is unknown"),
        ("claims", "secondary.0.metric", {}, "secondary.0.metric is missing"),
        ("figures", "pages", {}, "pages is missing"),
        ("figures", "figures.forest.draw", {"name": "d"}, "figures.forest.draw is missing, fig"),
        ("figures", "experiments.table.latent", {}, "experiments.table.latent is missing"),
        ("verdict", "choices", {}, "choices is missing"),
        ("verdict", "notes", {"name": "note"}, "notes is missing, note is unknown"),
    ],
)
def test_a_wrong_key_is_refused_in_one_line(
    stage: str,
    key: str,
    change: dict[str, Any],
    said: str,
    own: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    """Before anything is read or written."""
    main = importlib.import_module(f"ndsm.stages.{stage}").main
    paths = {name: tmp_path / name for name in PATHS[stage]}
    with pytest.raises(Refused) as caught:
        main(**paths, spec=planted(own[stage][0], key, **change))
    assert str(caught.value).startswith(f"--spec: {said}") and "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_a_command_ends_with_that_line(tmp_path: Path) -> None:
    spec = json.dumps({"experiment": "e", "dataset": {"name": "rings"}, "samples": 9})
    process = start(
        sys.executable, "-m", "ndsm.stages.data", "--out", tmp_path / "e.csv", "--spec", spec
    )
    (line,) = lines_of(process)
    assert process.returncode == 1 and line.startswith("error: --spec: split is missing; ")


def test_what_the_snakefile_imports_is_light() -> None:
    code = "import sys, json, ndsm.study.job_settings; print(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT / "workflow", capture_output=True, check=True)
    heavy = {"torch", "pandas", "sklearn", "scipy", "matplotlib", "seaborn"}
    assert not heavy & set(json.loads(done.stdout))
