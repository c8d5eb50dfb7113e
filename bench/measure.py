"""How things are measured: ratios within one run, in turns, so that a noisy machine troubles all.

Every row is a ratio of two times or, for a slope, of their logarithms. Repeats are interleaved, a
first run of each is thrown away, and the row has the median and the quartiles of the repeats.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

Work = Callable[[], object]
REPEATS = 7


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: what is compared.
        ratio: the median over the repeats.
        low: the lower quartile.
        high: the upper quartile.
        goal: the bound that the median is held to, e.g. "≥ 5"; empty if there is none.
        met: yes, no, or nothing without a goal.
        note: sizes, and what else a reader needs.
    """

    name: str
    ratio: float
    low: float
    high: float
    goal: str
    met: str
    note: str


def row(name: str, ratios: list[float], goal: str = "", note: str = "") -> Row:
    """The row of some repeats.

    Args:
        name: what is compared.
        ratios: one for each repeat.
        goal: "≥ number" or "≤ number"; nothing for a row that only reports.
        note: for the reader.
    """
    low, ratio, high = (float(f"{q:.3g}") for q in np.quantile(ratios, [0.25, 0.5, 0.75]))
    met = ""
    if goal:
        sign, bound = goal.split()
        met = "yes" if (ratio >= float(bound) if sign == "≥" else ratio <= float(bound)) else "no"
    result = Row(name, ratio, low, high, goal, met, note)
    print(f"{name}: {ratio:g} [{low:g}, {high:g}]  {goal}  {met}", flush=True)
    return result


@contextmanager
def one_thread() -> Iterator[None]:
    """What is within has one thread, as the study's jobs have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def seconds(work: Work) -> float:
    """How long the work takes, the device's part of it included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turns(works: Sequence[Work], repeats: int = REPEATS, warm: bool = True) -> np.ndarray:
    """Seconds of each work in each repeat, (repeats, works)."""
    if warm:
        for work in works:
            work()
    return np.array([[seconds(work) for work in works] for _ in range(repeats)])


def ratios(ours: Work, theirs: Work, repeats: int = REPEATS) -> list[float]:
    """Theirs over ours in each repeat: above one where ours is faster."""
    times = in_turns([ours, theirs], repeats)
    return (times[:, 1] / times[:, 0]).tolist()


def slopes(sizes: list[int], works: Sequence[Work], repeats: int = REPEATS) -> list[float]:
    """The slope of log seconds against log size in each repeat."""
    logs = np.log(in_turns(works, repeats))
    return [float(np.polyfit(np.log(sizes), log, 1)[0]) for log in logs]


def ceiling(side: int = 2048, repeats: int = REPEATS) -> float:
    """The arithmetic rate of a large float32 matrix product, in operations a second."""
    a, b = torch.randn(2, side, side).unbind()
    return 2 * side**3 / float(np.median(in_turns([lambda: a @ b], repeats)))


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits."""
    return f"{value:.{digits}g}" if math.isfinite(value) else str(value)
