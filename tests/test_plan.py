"""The plan of a study: its jobs, what each is told, what variants share, which code each needs."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from changed import DELETED, SMOKE, changed
from conftest import ROOT
from ndsm.artefacts import files, result_paths
from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.study import code_dependencies, configuration, figure_list, job_settings, plan, stacks
from ndsm.vocabulary import JOB_ALONE


def test_images_of_a_kind_share_one_classifier() -> None:
    study = configuration.resolve(SMOKE)
    assert plan.jobs(study, "classifier") == [{"images": "digits"}]
    assert job_settings.spec(study, "classifier", images="digits") == {
        "dataset": {"name": "digits"}
    }
    path = ROOT / "workflow" / "studies" / "mnist.yaml"
    mnist = configuration.resolve(yaml.safe_load(path.read_text()))
    assert plan.jobs(mnist, "classifier") == [{"images": "mnist14"}, {"images": "mnist28"}]
    told = job_settings.spec(mnist, "classifier", images="mnist14")
    assert told == {"dataset": {"name": "mnist", "side": 14}}
    assert plan.source_of(mnist, "mnist_small") == "mnist"
    assert plan.source_of(study, "digits") is None


def test_a_variant_shares_what_it_does_not_change() -> None:
    study = configuration.resolve(SMOKE)

    def serves(stage: str, experiment: str, **job: Any) -> str:
        return plan.home(study, stage, {"experiment": experiment} | job)["experiment"]

    jump, drift = {"method": "ndsm_jump", "part": 0}, {"drift": "gmm", "part": 0}
    base, budget = "digits_latent", "digits_latent_short"
    assert serves("data", budget) == serves("drift", budget, **drift) == base
    assert serves("latent", budget, codes="100-0") == base
    assert serves("train", budget, **jump) == serves("sample", budget, **jump) == budget
    prior = {"method": "vae_prior", "part": 0}  # without a network, the budget does not reach it
    assert serves("sample", budget, **prior) == serves("evaluate", budget, **prior) == base
    steps, seeing = "digits_latent_steps2", "digits_latent_all"
    assert serves("train", steps, **jump) == base and serves("sample", steps, **jump) == steps
    assert serves("data", seeing) == base and serves("drift", seeing, **drift) == seeing
    assert plan.jobs(study, "latent") == [
        *({"experiment": base, "codes": f"100-{seed}"} for seed in range(3)),
        {"experiment": seeing, "codes": "all"},
    ]
    # The same random numbers: a variant's replica is comparable with what it varies.
    told = job_settings.spec(study, "train", experiment=budget, method="ndsm_jump", part="0")
    assert told["experiment"] == base and told["training"]["evaluations"] == 20
    assert [*plan.along(study, base, "training", "evaluations").items()] == [
        (budget, 20),
        (base, 40),
    ]
    assert [*plan.along(study, base, "sampling", "steps").items()] == [(steps, 2), (base, 8)]


def test_effects_are_drawn_where_a_claim_is_decided() -> None:
    for raw, there in ((SMOKE, True), (SMOKE | {"primary": {}}, False)):
        names = [figure.name for figure in figure_list.figures(configuration.resolve(raw))]
        assert ("forest" in names) == there


def test_a_frontier_is_drawn_of_several_budgets_with_thresholds() -> None:
    def drawn(study: dict[str, Any]) -> bool:
        names = [figure.name for figure in figure_list.figures(study)]
        return "frontier_digits_latent" in names

    assert drawn(configuration.resolve(SMOKE))
    for key in ("thresholds", "variants"):
        raw = changed(f"experiments.digits_latent.{key}", DELETED)
        assert not drawn(configuration.resolve(raw | {"primary": {}, "secondary": []}))


def test_a_method_may_bring_its_own_sampler_at_the_same_cost() -> None:
    """Eight steps of one evaluation are four of two, and the other way round."""
    samplers = [("adams", "edm", 4), ("adams", "euler", 8), ("heun", "exponential", 16)]
    for usual, sampler, steps in [*samplers, ("heun", "edm", 8)]:
        raw = changed("methods.ndsm_jump.sampler", sampler)
        raw["defaults"]["sampling"]["sampler"] = usual
        study = configuration.resolve(raw)
        told = job_settings.spec(study, "sample", experiment="digits", method="ndsm_jump", part="0")
        assert told["sampling"] == {"sampler": sampler, "steps": steps, "samples": 200}


def test_parts_of_a_variant_with_fewer_sizes_are_found() -> None:
    raw = changed("experiments.digits_latent.n_train", [50, 100])
    raw["experiments"]["digits_latent"] |= {"replicas_per_job": 3, "seeds": 3}
    raw["experiments"]["digits_latent"]["variants"]["short"]["n_train"] = [100]
    study = configuration.resolve(raw | {"primary": {}, "secondary": []})
    job = {"experiment": "digits_latent_short", "drift": "gmm", "part": 0}
    assert plan.home(study, "drift", job) == job | {"experiment": "digits_latent", "part": 1}
    shared = plan.shared(study)["digits_latent_short"]
    assert shared["base"] == "digits_latent" and shared["parts"] == (1,)
    assert {"data", "latent", "drift", "sample/vae_prior"} < set(shared["results"])
    assert not {"train", "train/edm"} & set(shared["results"])


def test_what_aggregate_is_told_leads_to_the_results_of_every_variant() -> None:
    """With other sizes, seeds or stacks some parts and autoencoders are shared, others are not."""
    raw = changed("experiments.digits_latent.n_train", [40, 60, 100])
    base = raw["experiments"]["digits_latent"] | {"seeds": 2, "replicas_per_job": 2}
    raw["experiments"] = {"digits_latent": base}
    raw["primary"], raw["secondary"] = {}, []
    for side in ("score", "gradients", "forward"):
        del raw[side]
    places = set()
    for sizes, seeds, at_most in itertools.product(([40, 100], [60, 80]), (1, 3), (1, 2, 3)):
        changes = {"n_train": sizes, "seeds": seeds, "replicas_per_job": at_most}
        base["variants"] = {"v": changes, "short": changes | {"training": {"evaluations": 20}}}
        study = configuration.resolve(raw)
        told = job_settings.spec(study, "aggregate")
        gathered = GatheredStudy.model_validate(told)
        for stage in plan.PLACES:
            own = [job for job in plan.jobs(study, stage) if job["experiment"] == "digits_latent"]
            assert own == plan.own_jobs(study, stage, "digits_latent")  # and no part that it lacks
            for experiment in study["experiments"]:
                for job in plan.own_jobs(study, stage, experiment):
                    steps = [value for key, value in job.items() if key != "experiment"]
                    place = result_paths.place(gathered, stage, experiment, *steps).with_suffix("")
                    assert str(place) == plan.place(study, stage, job)
                    places.add((experiment, place.parts[1]))
                    if stage == "evaluate":
                        text = {k: str(v) for k, v in plan.home(study, stage, job).items()}
                        whole = job_settings.spec(study, stage, **text)
                        reached = {k: whole[k] for k in whole.keys() - set(JOB_ALONE)}
                        made = told["experiments"][experiment]["made"][job["method"]]
                        assert files.digest(reached) == made
    assert len(places) == 1 + 2 * 2  # each variant has results of its own and of the base


def test_parts_cut_every_replica_once() -> None:
    study = configuration.resolve(SMOKE | {"replicas_per_job": 4})
    cut = stacks.parts(study, "digits")
    assert [len(part) for part in cut] == [4, 2]
    assert sum(cut, ()) == tuple((n, seed) for n in (50, 100) for seed in range(3))


def test_a_job_is_told_only_what_it_needs() -> None:
    study = configuration.resolve(SMOKE)
    train = job_settings.spec(study, "train", experiment="digits", method="ndsm_jump", part="0")
    assert set(train) == {
        *("experiment", "method", "objective", "stride", "alpha", "equivariant", "network"),
        *("training", "process", "replicas", "device", "weight", "drift", "known", "fits"),
        *("dataset", "samples", "split"),
    }
    floor = job_settings.spec(study, "evaluate", experiment="digits", method="real", part="0")
    assert set(floor) == {"experiment", "dataset", "samples", "split", "method", "metrics"}
    used = {job["drift"] for job in plan.jobs(study, "drift") if job["experiment"] == "digits"}
    told = {
        name: job_settings.spec(study, "drift", experiment="digits", drift=name, part="0")
        for name in used
    }
    assert {name for name in used if "process" in told[name]} == {"gmm"} == used - {"mixture"}
    other = configuration.resolve(changed("defaults.sampling.steps", 9))
    assert (
        job_settings.spec(other, "train", experiment="digits", method="ndsm_jump", part="0")
        == train
    )


def test_modules_are_found_through_imports(tmp_path: Path, monkeypatch: Any) -> None:
    files = {
        "stages/train": "from ndsm.method import objectives\nfrom ndsm.method.sde import Chain\n",
        "method/objectives": "import math\ndef late():\n    import ndsm.errors\n",
        "method/sde": "",
        "errors": "",
        "stages/figures": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(code_dependencies, "PACKAGE", tmp_path)
    expected = ["errors.py", "method/objectives.py", "method/sde.py", "stages/train.py"]
    assert code_dependencies.modules("train") == expected


@pytest.mark.parametrize("stage", ["data", "drift", "train", "sample", "evaluate", "figures"])
def test_stages_do_not_depend_on_the_configuration(stage: str) -> None:
    found = code_dependencies.modules(stage)
    assert {path for path in found if path.startswith("study/")} <= {"study/code_dependencies.py"}


SIZES, BIG = [50, 100, 200, 500, 1000], {"seeds": 1000, "replicas_per_job": 50}
COMPARED = ["gmm", "dsm", "ndsm", "ndsm_cv", "ndsm_anti", "ndsm_jump"]


def big(latent: bool = False, **changes: Any) -> dict[str, Any]:
    """A study of 5,000 replicas, six methods, and a variant in all and one in one size alone."""
    methods = SMOKE["methods"] | {
        name: {"objective": name, "drift": "gmm"} for name in ("ndsm", "ndsm_cv")
    }
    name = "digits_latent" if latent else "weighted_modes"
    sizes = [100, 200, 300, 400, 500] if latent else SIZES
    experiment = SMOKE["experiments"][name] | {"n_train": sizes, "methods": COMPARED}
    experiment["dataset"] = {"name": experiment["dataset"]["name"]}
    if latent:
        experiment["thresholds"] = {"fid": [1]}
    experiment["variants"] = {
        "short": {"training": {"evaluations": 20}},
        "steps": {"n_train": sizes[3:4], "sampling": {"steps": 2}},
    }
    own = {"methods": methods, "experiments": {name: experiment}}
    raw = SMOKE | BIG | own | {"primary": {}, "secondary": []}
    for side in ("gradients", "forward", "score"):
        del raw[side]
    if not latent:
        raw["score"] = {"experiment": name, "methods": COMPARED[1:], "noise": [0.4]}
    return configuration.resolve(raw | changes)


def test_jobs_of_a_big_study() -> None:
    stages = [*plan.PLACES, "score"]
    count = {stage: len(plan.jobs(big(), stage)) for stage in stages}
    # 50 × 100 replicas in stacks of 50 are 100 parts, of the two variants 100 and 20. The shorter
    # training shares fits and the mixture's samples, the fewer steps the trainings as well.
    # The base alone has untrained models; those of ndsm and ndsm_cv are one.
    assert count == {
        "data": 1,
        "latent": 0,
        "drift": 3 * 100,
        "train": 5 * (100 + 100),
        "sample": 6 * 100 + 5 * (100 + 20) + 4 * 100,
        "evaluate": 6 * 100 + 5 * (100 + 20) + 4 * 100 + 1,
        "score": 5 * 100,
    }
    count = {stage: len(plan.jobs(big(latent=True), stage)) for stage in stages}
    assert count["latent"] == 5000 and count["drift"] == 3 * 100
    expected = 7 * 100 + 5 * (100 + 20) + 4 * 100  # and the decoded images themselves
    assert count["sample"] == expected


@pytest.mark.parametrize("latent", [False, True])
def test_a_big_study_is_cut_once(latent: bool) -> None:
    """To cut the stacks for every job would take a time that grows with the square of these."""
    study = big(latent)
    caches = [stacks.cut_parts, stacks.cut_twins, stacks.cut_codes]
    for cache in caches:
        cache.cache_clear()
    count = 0
    for stage in plan.PLACES:
        for job in plan.jobs(study, stage):
            job_settings.text(study, stage, **{key: str(value) for key, value in job.items()})
            count += "part" in job and job.get("method") != "real"
    # All sizes, and one of them alone.
    assert [cache.cache_info().misses for cache in caches] == [2, 2, 2 * latent]
    assert count > 2000 and stacks.cut_parts.cache_info().hits > count


@pytest.mark.parametrize("latent", [False, True])
def test_commands_of_a_big_study_are_short(latent: bool) -> None:
    lengths = {
        at_most: len(job_settings.text(big(latent, replicas_per_job=at_most), "aggregate"))
        for at_most in (10, 50, 100, 5000)
    }
    assert lengths[5000] < 6000
    # The number of its twin for each part of a variant, and nothing else that grows.
    assert lengths[10] - lengths[5000] < 6 * (500 + 100)
    for stage in ("drift", "train", "sample", "evaluate"):
        study = big(latent, replicas_per_job=5000)
        told = {key: str(value) for key, value in plan.jobs(study, stage)[0].items()}
        if latent:  # the command names 5,000 autoencoders
            with pytest.raises(configuration.ConfigError, match="allowed: up to 1[0-9]{3}$"):
                job_settings.text(study, stage, **told)
        else:
            assert len(job_settings.text(study, stage, **told)) < 80_000
    floor = {"experiment": told["experiment"], "method": "real", "part": "0"}
    assert len(job_settings.text(study, "evaluate", **floor)) < 300  # it has no autoencoder


def test_a_command_that_is_too_long_is_refused(monkeypatch: Any) -> None:
    study, job = big(), {"experiment": "weighted_modes", "method": "dsm", "part": "0"}
    size = len(job_settings.text(study, "train", **job))
    monkeypatch.setattr(job_settings, "LONGEST", job_settings.REST + size)
    assert len(job_settings.text(study, "train", **job)) == size
    monkeypatch.setattr(job_settings, "LONGEST", job_settings.REST + size - 1)
    with pytest.raises(configuration.ConfigError) as refused:
        job_settings.text(study, "train", **job)
    assert str(refused.value) == (
        f"error: replicas_per_job: 50 replicas take {size} bytes in the command of train, "
        f"which has room for {size - 1}; allowed: up to 49"
    )
    with pytest.raises(configuration.ConfigError, match="allowed: more replicas a job, or fewer"):
        job_settings.text(study, "aggregate")


@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") != 4096, reason="the limit is 32 pages")
def test_the_longest_command_is_what_the_system_takes() -> None:
    def run(length: int) -> None:
        subprocess.run([sys.executable, "-c", "pass", "x" * length], check=True)

    run(job_settings.LONGEST)
    with pytest.raises(OSError, match="too long"):
        run(job_settings.LONGEST + 1)


@pytest.mark.parametrize("name, given", [("smoke", {}), ("mnist", {"claim": "C8"})])
def test_claims_are_told_what_the_tables_were_made_with(name: str, given: dict[str, str]) -> None:
    """A reader refuses a table that was made with another value of a setting that both have."""
    raw = yaml.safe_load(configuration.study_file(name).read_text(encoding="utf-8"))
    study = configuration.resolve(raw | given)
    tables, claims = (job_settings.spec(study, stage) for stage in ("aggregate", "claims"))
    shared = tables.keys() & claims.keys()
    assert "frontiers" in shared
    assert {key: claims[key] for key in shared} == {key: tables[key] for key in shared}
