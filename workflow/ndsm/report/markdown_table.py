"""A table in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False
) -> list[str]:
    """The lines of a table.

    Args:
        header: the names of its columns.
        rows: their cells, as text.
        numbers: whether all columns but the first stand on the right.
    """
    rule = ["---", *["---:" if numbers else "---"] * (len(header) - 1)]
    return [f"| {' | '.join(line)} |" for line in [header, rule, *rows]]
