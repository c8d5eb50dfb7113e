"""Rows: many replicas at the price of few, NDSM at the price of DSM."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from bench import plain
from bench.measure import Row, ceiling, in_turns, one_thread, ratios, row, significant
from bench.models import NETWORK, TRAINING, Stack, invented, steps
from ndsm.method.training_examples import Pool
from ndsm.study import configuration, job_settings

ROOT = Path(__file__).parents[1]
REPLICAS, BATCH, BUDGET = 20, 256, 1000
POOL, LAPS = 32, 7  # batches of a pool; how often each of them moves in a timing


def study() -> dict[str, Any]:
    """The default study's ``weighted_modes`` with one method, one size and twenty seeds."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    kept = ("study", "device", "verdict", "methods", "defaults")
    own = {"dataset": raw["experiments"]["weighted_modes"]["dataset"]}
    own |= {"methods": ["dsm"], "n_train": [2000], "metrics": ["energy_distance"]}
    own["training"] = {"evaluations": BUDGET, "batch": BATCH}
    own["network"] = {"sees_drift": False}  # as in plain.py
    smaller = {"seeds": REPLICAS, "replicas_per_job": REPLICAS}
    return configuration.resolve(
        {key: raw[key] for key in kept} | smaller | {"experiments": {"weighted_modes": own}}
    )


def job(stage: str, out: Path, threads: int, *options: str, **wildcards: str) -> None:
    """Runs one job of the study as Snakemake does."""
    told = job_settings.text(study(), stage, experiment="weighted_modes", **wildcards)
    command = ["python", "-m", f"ndsm.stages.{stage}", "--out", str(out), "--spec", told, *options]
    script = f'source {ROOT}/workflow/job.sh; "$@" > /dev/null'
    process(["bash", "-c", script, "job", *command], threads)


def process(command: list[str], threads: int) -> None:
    """Runs a command with so many threads."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PATH": path}
    subprocess.run(command, check=True, env=env, cwd=ROOT)


def one_job() -> Iterator[Row]:
    """A stack as one job, against as many separate processes, two at a time."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        data, drift, weights = (
            Path(folder) / f"{name}.safetensors" for name in ("data", "drift", "weights")
        )
        job("data", data, 1)
        job("drift", drift, 1, "--data", str(data), drift="ou", part="0")

        def stacked() -> None:
            given = "--data", str(data), "--drift", str(drift)
            job("train", weights, cores, *given, method="dsm", part="0")

        def separate() -> None:
            script = str(Path(plain.__file__))
            with ThreadPoolExecutor(cores) as pool:
                for seed in range(REPLICAS):
                    told = [sys.executable, script, str(data), str(seed), str(BUDGET), str(BATCH)]
                    pool.submit(process, told, 1)

        times = ratios(stacked, separate, repeats=2)
    note = f"{BUDGET} steps, batch {BATCH}; the processes {cores} at a time, a thread each"
    yield row("a stack of 20 as one job : 20 processes of a plain loop", times, "≥ 5", note)


def steps_only() -> Iterator[Row]:
    """The same without starts of processes, a thread each."""
    number, x = 100, torch.randn(2000, 2)
    model = invented(2, replicas=REPLICAS)
    works = [
        lambda: steps(model, "dsm", number, batch=BATCH),
        lambda: plain.train(x, number, BATCH),
    ]
    with one_thread():
        plain.train(x, number, BATCH)  # imports what PyTorch's optimisers want
        times = in_turns(works)
    found = (REPLICAS * times[:, 1] / times[:, 0]).tolist()
    note = f"d = 2, batch {BATCH}; a thread each; one plain loop × 20"
    yield row("a stack of 20 : 20 plain loops, steps only", found, "≥ 3", note)


def objectives() -> Iterator[Row]:
    """A step of ``ndsm_cv`` against one of ``dsm``, per network evaluation."""
    unet = {"type": "unet", "sees_drift": False, "width": 16, "depth": 1}
    cases: list[tuple[str, int, int, int, dict[str, Any]]] = [
        ("d = 2", 2, 20, 200, NETWORK),
        ("d = 16", 16, 20, 100, NETWORK | {"width": 128}),
        ("d = 64", 64, 20, 60, NETWORK | {"width": 128}),
        ("U-Net, 14×14", 196, 1, 10, unet),
    ]
    for name, d, replicas, number, network in cases:
        dsm = invented(d, "dsm", replicas=replicas, network=network)
        cv = invented(d, "ndsm_cv", replicas=replicas, network=network)
        batch = 32 if network is unet else 128
        found = ratios(
            partial(steps, dsm, "dsm", 2 * number, batch=batch),
            partial(steps, cv, "ndsm_cv", number, batch=batch),
        )
        note = f"{replicas} replicas, 20 components, batch {batch}; the pool's start included"
        yield row(f"ndsm_cv : dsm, a step per evaluation, {name}", found, "≤ 1.15", note)


def pool() -> Iterator[Row]:
    """One move of the pool against a simulation from t = 0 for every iteration, N = 50."""
    process = {"kernel": "exponential", "steps": 50, "t_min": 1e-2, "T": 4.0}
    model = invented(16, "ndsm", process=process, stride=1)
    chain, streams = model.chain, model.streams
    particles = Pool(chain, model.data, BATCH, 10, streams)

    def moved() -> None:
        particles.shuffle(streams)
        for k in range(particles.block):
            jump = particles.draw(k, streams.uniform(2, BATCH))
            particles.move(jump, streams.normal(*jump.mu.shape[1:]))

    def simulated() -> None:
        x_0 = model.data(streams.uniform(BATCH))
        n = 1 + (streams.uniform(BATCH) * chain.steps).long()
        chain.jump(chain.simulate(x_0, n - 1, streams), n - 1, n)

    found = [particles.block * ratio for ratio in ratios(moved, simulated)]
    note = "20 replicas, batch 256, d = 16, 20 components, to a uniform n of 50; stride 1"
    yield row("pool : full simulation, per iteration", found, "≥ 10", note)


def moving(model: Stack, laps: int) -> Callable[[], None]:
    """Steps of ``ndsm_cv`` with a pool of so many batches, which is there before they start."""
    number, batch = LAPS * POOL, TRAINING["batch"]
    source = Pool(model.chain, model.data, batch, laps, model.streams)
    return lambda: steps(model, "ndsm_cv", number, source=source)


def parts_of_cv() -> Iterator[Row]:
    """What a step of ``ndsm_cv`` costs with the drift as an input, and with a pool of batches."""
    replicas = 10
    for d, width in ((2, 64), (16, 128)):
        network = NETWORK | {"width": width}
        blind = invented(d, "ndsm_cv", replicas=replicas, network=network)
        network |= {"sees_drift": True}
        seeing = invented(d, "ndsm_cv", replicas=replicas, network=network)
        with one_thread():
            works = [moving(seeing, POOL), moving(blind, POOL), moving(seeing, 1)]
            times = in_turns(works, repeats=5).T
        title = "a step of ndsm_cv whose network sees the drift : one that does not"
        note = f"{replicas} replicas, 20 components, batch {TRAINING['batch']}, width {width}"
        note += f", {LAPS * POOL} steps; a thread; the pool's start excluded"
        yield row(f"{title}, d = {d}", (times[0] / times[1]).tolist(), "≤ 1.1", note)
        title = f"a step with a pool of {POOL} batches : a pool of one batch"
        note = f"ndsm_cv, whose network sees the drift; {note}"
        yield row(f"{title}, d = {d}", (times[0] / times[2]).tolist(), "≤ 1.1", note)


def arithmetic() -> Iterator[Row]:
    """The arithmetic rate of a whole training step over that of a large matrix product."""
    number, width, d = 60, 128, 2
    model = invented(d, replicas=REPLICAS, network=NETWORK | {"width": width})
    weights = sum(w[0].numel() for w in model.net.parameters() if w.shape[1] > 1)
    first = (d + 13) * width  # of its inputs no gradient is taken
    work = 2 * (3 * weights - first) * BATCH * REPLICAS * number
    times, bounds = [], []
    for _ in range(7):
        bounds.append(ceiling(repeats=3))
        times.append(in_turns([lambda: steps(model, "dsm", number, batch=BATCH)], 1)[0, 0])
    found = [work / time / bound for time, bound in zip(times, bounds, strict=True)]
    peak = significant(sorted(bounds)[3] / 1e9)
    note = f"width 128, d = 2, batch {BATCH}; the ceiling is {peak} GFLOP/s"
    yield row("arithmetic rate of a step : large matrix product", found, "≥ 0.6", note)


def rows() -> Iterator[Row]:
    """All rows of this module."""
    for part in (one_job, steps_only, objectives, parts_of_cv, pool, arithmetic):
        yield from part()
