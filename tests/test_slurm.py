"""The smoke study as real Slurm jobs: the same tables, and one graphics card for each job."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import one_node_slurm
from conftest import snakemake

pytestmark = pytest.mark.skipif(bool(one_node_slurm.missing()), reason=one_node_slurm.missing())

PROFILE = ("--workflow-profile", "workflow/profiles/slurm", "--config", "study=smoke")
HERE = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
# As with `device: cuda`, and two samplings at once in a group, of which the profile has one.
SITE = ("--default-resources", "slurm_partition=short")
CARDS = ("--set-resources", "train:gpu=1", "sample:gpu=1", "--group-components", "measure=2")
FORMAT = "--Format=JobID:9,State:12,Partition:9,tres-per-job:24,Comment:99"
QUEUE = ("squeue", "--states=all", "--noheader", FORMAT)


@pytest.fixture(scope="module")
def env() -> Iterator[dict[str, str]]:
    """The environment of a cluster of one node, of four processors by its own account."""
    with one_node_slurm.slurm(cpus=4) as environment:
        yield environment


def queue(env: dict[str, str]) -> dict[str, list[str]]:
    """Of every job so far, by its id, what ``FORMAT`` asks for."""
    run = subprocess.run(QUEUE, env=env, capture_output=True, text=True, check=True)
    return {job: rest for job, *rest in map(str.split, run.stdout.splitlines())}


def test_the_smoke_study_runs_as_slurm_jobs(smoke: Path, tree: Path, env: dict[str, str]) -> None:
    said = snakemake(tree, *PROFILE, *HERE, *SITE, *CARDS, env=env).stdout
    submitted, jobs = set(re.findall(r"submitted with SLURM jobid (\d+)", said)), queue(env)
    assert submitted == set(jobs) and len(jobs) > 40
    cards: dict[str, set[str]] = {}
    for state, partition, asked, comment in jobs.values():
        assert state == "COMPLETED" and partition == "short"
        rule = re.sub(r"^rule_|_wildcards.*$", "", comment)
        cards.setdefault(rule, set()).add(asked)
    assert cards["train"] == {"gres:gpu:1"}
    assert cards["data"] == cards["drift"] == {"N/A"}
    assert cards["measure_evaluate_sample"] == {"gres:gpu:1"}  # without a scope the sum, two
    assert not {"aggregate", "claims", "figures"} & set(cards)  # cheap: where Snakemake runs
    for name in ("metrics", "summary", "forward", "samples/digits", "codes/digits_latent"):
        here, there = (t / "results/smoke/tables" / f"{name}.csv" for t in (smoke, tree))
        tables = [pd.read_csv(path) for path in (here, there)]
        if "metric" in tables[0]:
            tables = [table[table.metric != "drift_over_training"] for table in tables]
        pd.testing.assert_frame_equal(*tables, rtol=1e-5)


# The scripts of profiles/cluster-generic, with Slurm as the scheduler that is any.

SCRIPTS = "workflow/profiles/cluster-generic"
SUBMIT = "sbatch --parsable --output=/dev/null"


def becomes(tree: Path, env: dict[str, str], job: str, wanted: str) -> bool:
    """Whether status.sh says ``wanted`` of a job, at once or after it has run."""
    said = ""
    for _ in range(60):
        run = subprocess.run([f"{SCRIPTS}/status.sh", job], cwd=tree, env=env, capture_output=True)
        said = run.stdout.decode().strip()
        if said != "running" or wanted == "running":
            break
        time.sleep(1)
    return said == wanted


def test_status_script_tells_what_became_of_a_job(tree: Path, env: dict[str, str]) -> None:
    def submit(script: str) -> str:
        (tree / "script.sh").write_text(script)
        command = [*SUBMIT.split(), f"{SCRIPTS}/job.sh", str(tree / "script.sh")]
        run = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    assert becomes(tree, env, submit("exit 0"), "success")
    failing = submit("echo no such luck; exit 3")
    assert becomes(tree, env, failing, "failed")
    assert (tree / f".snakemake/cluster-generic/{failing}.log").read_text() == "no such luck\n"
    killed = submit("sleep 1000")
    assert becomes(tree, env, killed, "running")
    subprocess.run(["scancel", killed], env=env, check=True)
    assert becomes(tree, env, killed, "failed")  # though it left no word


def test_a_generic_cluster_runs_jobs_and_groups(tree: Path, env: dict[str, str]) -> None:
    options = ("--workflow-profile", SCRIPTS, "--config", "study=smoke", "--latency-wait", "5")
    wanted = "results/smoke/evaluate/weighted_modes/gmm/0.csv"
    submit = f"{SUBMIT} --gpus={{resources.gpu}} {SCRIPTS}/job.sh"
    options += ("--cluster-generic-submit-cmd", submit, "--set-resources", "sample:gpu=1")
    said = snakemake(tree, wanted, *options, env=env).stdout
    jobs, submitted = queue(env), re.findall(r"Submitted (\w+) .*external jobid '(\d+)'", said)
    asked = [(kind, jobs[job][2]) for kind, job in submitted]
    assert sorted(asked) == [("group", "gres:gpu:1"), *[("job", "gres:gpu:0")] * 2]
    assert (tree / wanted).exists()
