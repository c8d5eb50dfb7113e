"""The workflow as a user runs it: the smoke study, reruns, failures, profiles, the report."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from conftest import ROOT, snakemake
from ndsm.artefacts.reading import Inputs

SMOKE = ("--config", "study=smoke")
PROFILES = sorted(path.name for path in (ROOT / "workflow" / "profiles").iterdir())
SETTINGS = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())


def planned(tree: Path, *options: str) -> dict[str, int]:
    """Number of jobs of each rule that a dry run announces."""
    said = snakemake(tree, "--dry-run", "--quiet", "rules", *SMOKE, *options).stdout
    table = said.partition("Job stats:")[2]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def edit(tree: Path, module: str) -> None:
    with (tree / "workflow" / "ndsm" / f"{module}.py").open("a") as file:
        file.write("# edited\n")


@pytest.fixture
def edited(smoke: Path, tmp_path: Path) -> Path:
    """A copy of the finished study whose modules may be edited."""
    return shutil.copytree(smoke, tmp_path / "edited")  # keeps the times of the files


def test_smoke_study_leaves_every_output(smoke: Path) -> None:
    results = smoke / "results" / "smoke"
    metrics = pd.read_csv(results / "tables" / "metrics.csv")
    assert list(metrics) == ["experiment", "method", "n_train", "seed", "metric", "value"]
    assert metrics.value.notna().all()
    for name, experiment in SETTINGS["experiments"].items():
        rows = metrics[metrics.experiment == name]
        assert {*experiment["methods"], "real"} <= set(rows.method)
        assert set(experiment.get("metrics", [])) <= set(rows.metric)
        for suffix in ("png", "pdf"):
            assert (results / "figures" / f"samples_{name}.{suffix}").stat().st_size > 1000
            sizes = experiment.get("n_train", SETTINGS["defaults"]["n_train"])
            kind = "learning_curve" if len(sizes) > 1 else "seeds"
            assert (results / "figures" / f"{kind}_{name}.{suffix}").stat().st_size > 1000
    for name in ("forward_process", "variance", "departure", "cost_quality"):
        assert (results / "figures" / f"{name}.png").stat().st_size > 1000
    for name in ("summary.csv", "summary.md", "summary.tex", "cost.csv", "metrics.json"):
        assert (results / "tables" / name).stat().st_size > 0
    accuracy = Inputs().record(results / "classifier" / "digits.safetensors")["measured"][
        "accuracy"
    ]
    said = f"The evaluation classifier of digits recognises {accuracy:.2%} of the held-out images."
    summary = (results / "tables" / "summary.md").read_text()
    assert said in summary
    for variant in ("as above", "short", "steps2", "all"):
        assert f"| {variant} |" in summary
    for name in ("frontier_digits_latent", "latent_digits_latent"):
        assert (results / "figures" / f"{name}.png").stat().st_size > 1000
    reached = pd.read_csv(results / "tables" / "time_to_quality.csv")
    assert list(reached)[:10] == [
        *("experiment", "method", "n_train", "seed", "metric", "quality", "threshold", "seconds"),
        *("network_evaluations", "sampling_steps"),
    ]
    assert set(reached.quality) == {"1000", "1", "edm"} and set(reached.seed) == {0, 1, 2}
    metrics = pd.read_csv(results / "tables" / "metrics.csv")
    edm = metrics.query("experiment == 'digits_latent' and method == 'edm' and metric == 'fid'")
    found = reached[reached.quality == "edm"].threshold
    np.testing.assert_allclose(found, edm["value"].mean(), rtol=1e-9)


def test_every_claim_has_a_verdict(smoke: Path) -> None:
    claims = pd.read_csv(smoke / "results" / "smoke" / "claims.csv")
    assert set(claims.id) == {f"C{i}" for i in range(1, 10)}
    assert list(claims[claims.role == "primary"].id) == sorted(SETTINGS["primary"])
    assert (claims.p_adjusted >= claims.p_value).sum() == claims.p_value.notna().sum()
    assert set(claims.verdict) <= {"supported", "contradicted", "inconclusive"}


def test_untrained_models_are_measured_and_claims_put_beside_them(smoke: Path) -> None:
    """Where two are one model, the second has the first one's results; cost.csv has no such row."""
    results = smoke / "results" / "smoke"
    metrics, cost, claims = (
        pd.read_csv(results / f"{name}.csv") for name in ("tables/metrics", "tables/cost", "claims")
    )
    kl = metrics[(metrics.experiment == "weighted_modes") & (metrics.metric == "kl")]
    wide = kl.pivot(index=["n_train", "seed"], columns="method", values="value")
    pair = wide["ndsm_anti_untrained"], wide["ndsm_cv_learned_untrained"]
    assert pair[0].equals(pair[1]) and pair[0].notna().sum() == 6
    assert not (results / "sample" / "weighted_modes" / "ndsm_anti_untrained").exists()
    assert "real" not in wide  # the true density has no divergence from itself
    assert not cost.method.str.endswith("_untrained").any() and (cost.runaways == 0).all()
    rows = claims[(claims.metric == "kl") & (claims.method == "ndsm_flow")]
    own = rows[rows.baseline == "ndsm_flow_untrained"].set_index("n_train").effect.sort_index()
    assert list(own.index) == [50, 100]
    means = wide.groupby("n_train").mean()
    expected = 1 - means["ndsm_flow"] / means["ndsm_flow_untrained"]
    np.testing.assert_allclose(own, expected, rtol=1e-6)


def test_second_run_does_nothing(smoke: Path) -> None:
    assert planned(smoke) == {}


def test_a_touched_module_reruns_nothing(edited: Path) -> None:
    (edited / "workflow" / "ndsm" / "artefacts" / "files.py").touch()
    assert planned(edited) == {}


def test_editing_figures_reruns_figures_alone(edited: Path) -> None:
    edit(edited, "stages/figures")
    assert planned(edited) == {"figures": 1, "all": 1, "total": 2}


def test_editing_objectives_reruns_training_and_what_follows(edited: Path) -> None:
    edit(edited, "method/objectives")
    rules = planned(edited)
    assert {"train", "sample", "evaluate", "aggregate", "claims", "figures"} <= set(rules)
    assert not {"data", "drift", "classifier"} & set(rules)


def test_a_setting_reruns_only_what_it_reaches(edited: Path) -> None:
    path = edited / "workflow" / "studies" / "smoke.yaml"
    path.write_text(path.read_text().replace("sampler: adams", "sampler: heun"))
    rules = planned(edited)
    assert {"sample", "evaluate", "figures"} <= set(rules)
    assert not {"data", "drift", "train", "classifier"} & set(rules)


def test_results_copied_without_their_records_are_taken_as_they_are(
    smoke: Path, tree: Path
) -> None:
    """By the command that the README names; a later change of the settings is noticed."""
    shutil.copytree(smoke / "results", tree / "results", copy_function=shutil.copy)
    snakemake(tree, "--touch", "--forceall", "--cores", "1", *SMOKE)
    assert planned(tree) == {}
    path = tree / "workflow" / "studies" / "smoke.yaml"
    path.write_text(path.read_text().replace("pool: 500", "pool: 499"))
    assert planned(tree)["data"] == 2


def test_figures_are_redrawn_from_stored_tables(edited: Path) -> None:
    results = edited / "results" / "smoke"
    for stage in ("data", "drift", "train", "sample", "evaluate"):
        shutil.rmtree(results / stage)
    figure = results / "figures" / "cost_quality.png"
    figure.unlink()
    alone = ("--allowed-rules", "figures", "--forcerun", "figures")
    snakemake(edited, "figures", "--cores", "all", *SMOKE, *alone)
    assert figure.exists()


def test_report_shows_claims_and_figures(smoke: Path) -> None:
    report = smoke / "results" / "smoke" / "report.html"
    snakemake(smoke, "--report", str(report), *SMOKE)
    page = report.read_text()
    for shown in ("learning_curve_digits", "inconclusive", "summary.csv", "claims.csv"):
        assert shown in page


def test_failing_job_shows_its_log(tree: Path) -> None:
    (tree / "workflow" / "ndsm" / "stages" / "data.py").write_text(
        "raise SystemExit('no such luck')\n"
    )
    options = ("--workflow-profile", "workflow/profiles/local", "--cores", "1")
    said = snakemake(tree, *SMOKE, *options, "results/smoke/data/digits.safetensors", status=1)
    assert "no such luck" in said.stdout


def test_lint_is_clean() -> None:
    snakemake(ROOT, "--lint")


@pytest.mark.parametrize("profile", PROFILES)
def test_dry_run_of_profile(tree: Path, profile: str) -> None:
    rules = planned(tree, "--workflow-profile", f"workflow/profiles/{profile}")
    trained = sum(
        SETTINGS["methods"][method]["objective"] != "none"
        for experiment in SETTINGS["experiments"].values()
        for method in experiment["methods"]
    )
    # Of digits_latent's variants two change what its three networks learn, one how they sample.
    assert rules["train"] == trained + 2 * 3


def test_a_claim_alone_runs_its_experiments_alone(tree: Path) -> None:
    rules = planned(tree, "--config", "study=smoke", "claim=C6")
    assert rules["data"] == rules["train"] == 1 and "gradients" not in rules


def test_a_claim_alone_leaves_the_tables_of_the_whole_study(smoke: Path) -> None:
    """It takes the whole study's results, and gathers them elsewhere."""
    alone = ("--config", "study=smoke", "claim=C6")
    assert planned(smoke, *alone) == {
        "aggregate": 1,
        "claims": 1,
        "figures": 1,
        "all": 1,
        "total": 4,
    }
    said = snakemake(smoke, "--dry-run", *alone).stdout
    written = re.findall("output: (.*)", said)
    assert len(written) == 3
    assert all(path.startswith("results/smoke_C6/") for x in written for path in x.split(", "))


def test_mnist_is_fetched_once_for_all_experiments(tree: Path) -> None:
    options = ("--dry-run", "--quiet", "rules", "--config", "study=mnist", "claim=C8")
    said = snakemake(tree, *options, f"mnist_dir={tree}").stdout
    assert re.search(r"^mnist +1$", said, re.MULTILINE)
    assert re.search(r"^classifier +1$", said, re.MULTILINE)


def test_a_file_of_your_own_is_the_whole_study(tree: Path) -> None:
    mine = SETTINGS | {"study": "mine", "experiments": dict([*SETTINGS["experiments"].items()][:1])}
    mine["primary"], mine["secondary"] = {}, []
    (tree / "my.yaml").write_text(yaml.safe_dump(mine))
    said = snakemake(tree, "--dry-run", "--configfile", "my.yaml").stdout
    assert "results/mine/" in said
    assert "results/default/" not in said and "digits" not in said


SPREAD = ["dsm_mixture", "ndsm_anti", "ndsm_flow"]


def test_a_stack_spread_over_jobs_gives_the_same_table(smoke: Path, tree: Path) -> None:
    """One replica a job against all in one: vectors, a U-Net, an autoencoder, the learned score."""
    chosen = {
        "weighted_modes": {"methods": ["gmm", *SPREAD], "n_train": [100]},
        "digits_imbalance": {},
        "digits_latent": {"methods": ["ndsm_jump"]},
    }
    experiments = {name: SETTINGS["experiments"][name] | own for name, own in chosen.items()}
    del experiments["digits_latent"]["variants"], experiments["digits_latent"]["thresholds"]
    spread = SETTINGS | {"study": "spread", "replicas_per_job": 1, "primary": {}, "secondary": []}
    spread |= {"experiments": experiments}
    del spread["gradients"], spread["forward"]
    (tree / "spread.yaml").write_text(yaml.safe_dump(spread))
    snakemake(tree, "tables", "--cores", "all", "--configfile", "spread.yaml")
    whole, parts = (
        pd.read_csv(folder / "tables" / "metrics.csv").query("metric != 'drift_over_training'")
        for folder in (smoke / "results" / "smoke", tree / "results" / "spread")
    )
    keys = ["experiment", "method", "n_train", "seed", "metric"]
    both = parts.merge(whole, on=keys, how="left", suffixes=("", "_whole"))
    assert (
        len(both) == len(parts) > 60
        and len(list((tree / "results").rglob("train/*/*/2.json"))) == len(SPREAD) + 2
    )
    np.testing.assert_allclose(both.value, both.value_whole, rtol=1e-4)


def test_the_test_folder_of_the_catalogue_plans_the_smoke_study(tree: Path) -> None:
    """By the command of docs/installation.md; its results would lie in that folder."""
    shutil.copytree(ROOT / ".test", tree / ".test", symlinks=True)
    page = (ROOT / "docs" / "installation.md").read_text()
    (line,) = re.findall(r"^snakemake (.*--directory \.test.*)$", page, re.MULTILINE)
    for snakefile in ("Snakefile", "workflow/Snakefile"):
        options = (*line.split(), "--snakefile", snakefile, "--dry-run", "--quiet", "rules")
        said = snakemake(tree, *options).stdout
        jobs = re.search(r"^total +(\d+)$", said, re.MULTILINE)
        assert jobs and int(jobs[1]) == planned(tree)["total"]
    assert (tree / ".test" / ".snakemake").exists()
