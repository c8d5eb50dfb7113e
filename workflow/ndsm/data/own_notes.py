"""What makes likelihoods of a table of the user's own say less than they seem to, in sentences."""

from collections.abc import Iterator, Sequence

import numpy as np

from ndsm.data.laws import Array
from ndsm.data.table_file import named

DUPLICATES = 0.01  # the share of rows from which on they are told
ALIKE = 0.995  # a correlation of two columns that is told
FEW_VALUES = 0.1  # the share of rows with the commonest value from which on a column is told


def repeated(points: Array) -> Iterator[str]:
    """That rows are there more than once."""
    same = 1 - len(np.unique(points, axis=0)) / len(points)
    if same > DUPLICATES:
        yield (
            f"{same:.0%} of the rows repeat another one. A repeated row may be both trained on and "
            "held out, which favours what memorises; and no density describes it."
        )


def of_columns(names: Sequence[str], points: Array) -> Iterator[str]:
    """Columns that have few values, or that say the same as another."""
    commonest = [np.unique(column, return_counts=True)[1].max() for column in points.T]
    few = [
        name
        for name, count in zip(names, commonest, strict=True)
        if count > FEW_VALUES * len(points)
    ]
    if few:
        yield (
            f"In {len(few)} of {len(names)} columns one value is that of more than "
            f"{FEW_VALUES:.0%} of the rows ({named(few)}). Such a column has no density there: "
            "a narrow component on that value gains likelihood without end. Trust the energy "
            "distance more, or leave such columns out."
        )
    correlation = np.triu(np.abs(np.corrcoef(points, rowvar=False)), 1)
    i, j = divmod(int(correlation.argmax()), len(names))
    if correlation[i, j] > ALIKE or np.isclose(correlation[i, j], 1):
        yield (
            f"Columns {names[i]!r} and {names[j]!r} have the correlation {correlation[i, j]:.5f}: "
            "likelihoods tell of little else. Leave one of them out."
        )
