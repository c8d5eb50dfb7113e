"""The grid of a process, for checks of a configuration that do not wait for torch to start."""

import math
from itertools import pairwise
from statistics import NormalDist
from typing import Any


def times_of(process: dict[str, Any]) -> list[float]:
    """The times t_1 = t_min, …, t_N = T, as ``forward_process.time_grid`` has them.

    Args:
        process: with ``t_min`` below ``T``, ``steps`` and perhaps ``log_noise``.
    """
    first, last, count = process["t_min"], process["T"], process["steps"]
    shares = [n / (count - 1) for n in range(count)]
    if "log_noise" not in process:
        return [first * (last / first) ** share for share in shares]
    law = NormalDist(*process["log_noise"])
    low, high = (law.cdf(math.log(math.expm1(2 * t)) / 2) for t in (first, last))
    inner = (law.inv_cdf(low + (high - low) * share) for share in shares[1:-1])
    return [first, *(math.log1p(math.exp(2 * log_sigma)) / 2 for log_sigma in inner), last]


def steps_of(process: dict[str, Any]) -> tuple[float, float]:
    """The shortest step of the grid, as a share of the time that it leads to, and the longest."""
    times = times_of(process)
    steps = [(t - before, t) for before, t in pairwise([0.0, *times])]
    return min(h / t for h, t in steps), max(h for h, _ in steps)
