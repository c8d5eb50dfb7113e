"""Distances between many points: the relative energy distance, and nearest neighbours.

    (2 E|X − Y| − E|X − X'| − E|Y − Y'|) / E|Y − Y'|

A module of its own: fitting a drift measures its mismatch with it, and must not depend on the
other metrics. NumPy, in single-precision blocks that fit the cache: quick enough for 10,000
against 10,000 points.
"""

import numpy as np

Array = np.ndarray

BLOCK = 512  # points; a block of 512 × 512 squared distances (1 MB) stays in the cache
ROWS = 32  # of all squared distances to some thousand points, likewise


def energy_distance(x: Array, y: Array, y_spread: float | None = None) -> float:
    """Relative energy distance by U-statistics: zero on average if X and Y have the same law.

    Being unbiased it may be negative. Székely and Rizzo (2013), "Energy statistics".

    Args:
        x: samples, (n, d).
        y: held-out data, (m, d).
        y_spread: ``spread(y)`` if it is known already: it is half of the cost, and all samples
            of an experiment share it.
    """
    y_spread = spread(y) if y_spread is None else y_spread
    return (2 * mean_distance(x, y) - spread(x)) / y_spread - 1


def mean_distance(x: Array, y: Array) -> float:
    """E|X − Y| over all pairs of x (n, d) and y (m, d), to a relative error of about 1e-6."""
    left, right = _factors(x, y)
    workspace = np.empty(BLOCK * BLOCK, np.float32)
    total = 0.0
    for i in range(0, len(x), BLOCK):
        for j in range(0, len(y), BLOCK):
            total += _sum(_distances(left[i : i + BLOCK], right[:, j : j + BLOCK], workspace))
    return total / (len(x) * len(y))


def spread(x: Array) -> float:
    """E|X − X'| over the n (n − 1) pairs of different points of x, (n, d)."""
    left, right = _factors(x, x)
    workspace = np.empty(BLOCK * BLOCK, np.float32)
    total = 0.0
    for i in range(0, len(x), BLOCK):
        rows = left[i : i + BLOCK]
        block = _distances(rows, right[:, i : i + BLOCK], workspace)
        np.fill_diagonal(block, 0)  # a point and itself: zero but for rounding
        total += _sum(block)
        for j in range(i + BLOCK, len(x), BLOCK):
            total += 2 * _sum(_distances(rows, right[:, j : j + BLOCK], workspace))
    return total / (len(x) * (len(x) - 1))


def _factors(x: Array, y: Array) -> tuple[Array, Array]:
    """[x, |x|², 1] (n, d + 2) and [−2y, 1, |y|²] (d + 2, m): their product is |x − y|²."""
    centre = y.mean(axis=0, dtype=np.float64)  # less to cancel in single precision
    x, y = x - centre, y - centre
    x_square, y_square = (x**2).sum(1, keepdims=True), (y**2).sum(1, keepdims=True)
    left = np.concatenate([x, x_square, np.ones_like(x_square)], axis=1)
    right = np.concatenate([-2 * y, np.ones_like(y_square), y_square], axis=1)
    return left.astype(np.float32), np.ascontiguousarray(right.T, np.float32)


def _distances(left: Array, right: Array, workspace: Array) -> Array:
    """Distances between the points of two blocks, written to ``workspace``."""
    n, m = len(left), right.shape[1]
    block = np.matmul(left, right, out=workspace[: n * m].reshape(n, m))
    # Rounding leaves some tiny squares negative; |·| serves as well as a clamp, at a sixth of it.
    np.abs(block, out=block)
    return np.sqrt(block, out=block)


def _sum(block: Array) -> float:
    """Sum in double precision of short sums in single precision."""
    return float((block @ np.ones(block.shape[1], np.float32)).sum(dtype=np.float64))


def nearest(x: Array, y: Array) -> Array:
    """The index of the nearest of the points y (m, d) to each of x (n, d)."""
    left, right = _factors(x, y)
    # A row's argmin needs all of its columns, so these blocks are low and wide.
    rows = range(0, len(x), ROWS)
    return np.concatenate([(left[i : i + ROWS] @ right).argmin(1) for i in rows])
