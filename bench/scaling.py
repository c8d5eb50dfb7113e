"""Rows: how the cost of a training step grows, as slopes of log seconds against log size.

Steps have a fixed cost of their own (the calls of PyTorch), so a slope is taken where the size
dominates; up to one is linear.
"""

from collections.abc import Callable, Iterator
from functools import partial

from bench.measure import Row, row, slopes
from bench.models import Stack, invented, steps

NUMBER = 10  # steps
OBJECTIVE = "ndsm_flow"  # it has no pool, whose start would take longer than they do


def growth(name: str, sizes: list[int], model: Callable[[int], Stack], note: str) -> Row:
    """The row of one size that grows."""
    works = [partial(steps, model(size), OBJECTIVE, NUMBER) for size in sizes]
    told = f"{sizes[0]:,} to {sizes[-1]:,}; {note}"
    return row(f"slope of a step's seconds in the {name}", slopes(sizes, works), "≤ 1", told)


def rows() -> Iterator[Row]:
    """All rows of this module."""
    yield growth(
        "dimension",
        [64, 256, 1024, 4096],
        lambda d: invented(d, OBJECTIVE, replicas=4, n=500),
        "4 replicas, 20 components",
    )
    yield growth(
        "components",
        [20, 50, 100, 200],
        lambda k: invented(16, OBJECTIVE, components=k, replicas=20),
        "20 replicas, d = 16",
    )
    yield growth(
        "training size",
        [100, 1000, 10_000, 100_000, 1_000_000],
        lambda n: invented(2, OBJECTIVE, n=n, replicas=4),
        "4 replicas, d = 2",
    )
    yield growth(
        "replicas",
        [10, 50, 100, 200],
        lambda r: invented(2, OBJECTIVE, n=500, replicas=r),
        "d = 2",
    )
