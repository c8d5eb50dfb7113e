"""What the parts of the study refuse."""

import difflib
from collections.abc import Iterable


class Refused(ValueError):
    """Input that cannot be used; the message is one line: what, its value, and the remedy."""


def nearest(name: object, there: Iterable[object]) -> str:
    """`` (did you mean 'x'?)``, or nothing where none of those that are there is like the name."""
    near = difflib.get_close_matches(str(name)[:60], map(str, there), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
