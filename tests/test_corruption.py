"""Results swapped, copied and changed at random: refused, or without effect on any table."""

import filecmp
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from numpy.random import Generator, default_rng

from conftest import ROOT, snakemake
from ndsm.artefacts import files
from ndsm.errors import Refused
from ndsm.stages import aggregate
from ndsm.study import configuration, job_settings

STUDY = configuration.resolve(yaml.safe_load((ROOT / "workflow/studies/smoke.yaml").read_text()))
SPEC = json.loads(job_settings.text(STUDY, "aggregate"))
STAGES = ("data", "latent", "drift", "train", "sample", "evaluate", "classifier", "score")


@pytest.fixture(scope="module")
def copy(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the smoke study, to be damaged and mended."""
    target = tmp_path_factory.mktemp("copy") / "results" / "smoke"
    return shutil.copytree(smoke / "results" / "smoke", target)


def tables(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study's tables, gathered anew."""
    out = results / "tables"
    shutil.rmtree(out, ignore_errors=True)
    monkeypatch.chdir(results.parents[1])
    aggregate.main(results.relative_to(results.parents[1]), out, SPEC)
    return out


def same(a: Path, b: Path) -> bool:
    """Whether all tables of two folders are equal, byte by byte."""
    names = [str(path.relative_to(a)) for path in sorted(a.rglob("*.csv"))]
    return filecmp.cmpfiles(a, b, names, shallow=False)[0] == names


def files_of(result: Path) -> list[Path]:
    """A result and its record."""
    return [result, files.record_path(result)]


def results_of(folder: Path, stage: str) -> list[Path]:
    """All results of a stage."""
    found = sorted(folder.glob(f"{stage}/**/*.json"))
    return [
        next(f.with_suffix(e) for e in (".safetensors", ".csv") if f.with_suffix(e).exists())
        for f in found
    ]


def swapped(first: Path, second: Path) -> None:
    """Exchanges two results with their records; the times of the files stay."""
    for a, b in zip(files_of(first), files_of(second), strict=True):
        spare = a.with_name("spare")
        a.rename(spare), b.rename(a), spare.rename(b)


def pairs(folder: Path, generator: Generator) -> list[tuple[Path, Path]]:
    """Two results of a stage at random, for each stage several times; of one kind of file."""
    found = []
    for stage in STAGES:
        names = results_of(folder, stage)
        both = [p for p in itertools.combinations(names, 2) if p[0].suffix == p[1].suffix]
        if both:
            found += [both[k] for k in generator.integers(len(both), size=4)]
    return found


def test_without_damage_the_tables_are_the_same(smoke, copy, monkeypatch) -> None:
    assert same(smoke / "results" / "smoke" / "tables", tables(copy, monkeypatch))


def test_swapped_results_are_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files in the wrong place, each with its own record."""
    for first, second in pairs(copy, default_rng(0)):
        swapped(first, second)
        with pytest.raises(Refused, match="which was moved or copied there"):
            tables(copy, monkeypatch)
        swapped(first, second)


def test_copied_results_are_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One result in the place of another, as of a careless mend."""
    for first, second in pairs(copy, default_rng(1))[::2]:
        kept = [(path, path.read_bytes()) for path in files_of(second)]
        for source, target in zip(files_of(first), files_of(second), strict=True):
            shutil.copy2(source, target)
        with pytest.raises(Refused, match="which was moved or copied there"):
            tables(copy, monkeypatch)
        for path, content in kept:
            path.write_bytes(content)


def test_changed_records_are_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of a record: it is damaged, or says the same (a space is a tab, say)."""
    generator, before = default_rng(2), [p for s in STAGES for p in results_of(copy, s)]
    harmless = 0
    for k in generator.integers(len(before), size=25):
        path = files.record_path(before[k])
        content = path.read_bytes()
        changed = bytearray(content)
        changed[generator.integers(len(changed))] ^= 1 << int(generator.integers(7))
        path.write_bytes(changed)
        if _loaded(changed) == json.loads(content):
            harmless += 1
        else:
            with pytest.raises(Refused, match="damaged"):
                tables(copy, monkeypatch)
        path.write_bytes(content)
    assert harmless < 20


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_a_changed_number_of_a_record_is_refused(copy: Path, monkeypatch) -> None:
    """Seconds of a training, an error of an autoencoder, a replica's seed."""
    train = results_of(copy, "train")[0]
    latent = results_of(copy, "latent")[0]
    for path, section, key in (
        (train, "measured", "seconds"),
        (train, "spec", "replicas"),
        (latent, "measured", "rmse_held_out"),
    ):
        own = files.record_path(path)
        content, record = own.read_bytes(), json.loads(own.read_text())
        record[section][key] = [[9, 9]] if key == "replicas" else record[section][key] + 1
        own.write_text(json.dumps(record))
        with pytest.raises(Refused, match="damaged"):
            tables(copy, monkeypatch)
        own.write_bytes(content)


def test_obeying_each_message_brings_the_same_tables_back(smoke: Path, tmp_path: Path) -> None:
    """Two fits swapped unseen by Snakemake: what is wrong is named before what came of it."""
    tree = shutil.copytree(smoke, tmp_path / "tree")
    folder = tree / "results" / "smoke"
    fits = folder / "drift" / "weighted_modes"
    swapped(fits / "gmm" / "0.safetensors", fits / "ou" / "0.safetensors")
    gather = ("tables", "--cores", "all", "--config", "study=smoke", "--show-failed-logs")
    removed = []
    for _ in range(6):
        again = ("--forcerun", "aggregate")
        if (done := snakemake(tree, *gather, *again, status=None)).returncode == 0:
            break
        removed.append(re.findall(r"error: (results/\S+) \(rule", done.stdout)[0])
        # It may be gone: it was being made again when a job beside it ended with this message.
        (tree / removed[-1]).unlink(missing_ok=True)
    assert removed[0].startswith("results/smoke/drift/weighted_modes/")
    assert len(set(removed)) <= 2
    names = ["tables/summary.csv"]
    assert filecmp.cmpfiles(folder, smoke / "results" / "smoke", names, shallow=False)[0] == names
