"""Rows: many replicas at the price of few, NDSM at the price of DSM."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from bench import plain
from bench.measure import Row, ceiling, in_turns, one_thread, ratios, row, significant
from bench.models import invented, steps
from ndsm import config, specs
from ndsm.sde import Chain, Pool

ROOT = Path(__file__).parents[1]
REPLICAS, BATCH, BUDGET = 20, 256, 1000
MLP = {"type": "mlp", "width": 64, "depth": 3}


def study() -> dict[str, Any]:
    """The default study's ``weighted_modes`` with one method, one size and twenty seeds."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    kept = ("study", "device", "verdict", "methods", "defaults")
    own = raw["experiments"]["weighted_modes"]
    own |= {"methods": ["dsm"], "n_train": [2000], "metrics": ["energy_distance"]}
    own["training"] = {"evaluations": BUDGET, "batch": BATCH}
    smaller = {"seeds": REPLICAS, "replicas_per_job": REPLICAS}
    return config.resolve(
        {key: raw[key] for key in kept} | smaller | {"experiments": {"weighted_modes": own}}
    )


def job(stage: str, out: Path, threads: int, *options: str, **wildcards: str) -> None:
    """Runs one job of the study as Snakemake does."""
    told = specs.text(study(), stage, experiment="weighted_modes", **wildcards)
    command = ["python", "-m", f"ndsm.{stage}", "--out", str(out), "--spec", told, *options]
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
    model = invented(2, replicas=REPLICAS, network=MLP)
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
    unet = {"type": "unet", "width": 16, "depth": 1}
    cases: list[tuple[str, int, int, int, dict[str, Any]]] = [
        ("d = 2", 2, 20, 200, MLP),
        ("d = 16", 16, 20, 100, MLP | {"width": 128}),
        ("d = 64", 64, 20, 60, MLP | {"width": 128}),
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
    particles = Pool(chain, model.data, BATCH, streams)

    def moved() -> None:
        for _ in range(10):
            jump = particles.jump(*streams.uniform(2, BATCH).unbind(1))
            particles.move(jump, streams.normal(*particles.y.shape[1:]))

    def simulated() -> None:
        x_0 = model.data(streams.uniform(BATCH))
        n = 1 + (streams.uniform(BATCH) * chain.steps).long()
        Chain.jump(chain, chain.simulate(x_0, n - 1, streams), n - 1, n)

    found = [10 * ratio for ratio in ratios(moved, simulated)]
    note = "20 replicas, batch 256, d = 16, 20 components, to a uniform n of 50; stride 1"
    yield row("pool : full simulation, per iteration", found, "≥ 10", note)


def arithmetic() -> Iterator[Row]:
    """The arithmetic rate of a whole training step over that of a large matrix product."""
    number, width, d = 60, 128, 2
    model = invented(d, replicas=REPLICAS, network=MLP | {"width": width})
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
    for part in (one_job, steps_only, objectives, pool, arithmetic):
        yield from part()
