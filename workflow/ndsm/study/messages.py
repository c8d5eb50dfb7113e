"""The lines that say what is wrong with a configuration.

Each has the key, its value, what is allowed and, for a name, the nearest match.
"""

import difflib
from collections.abc import Iterable
from textwrap import shorten
from typing import Any


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def short(text: str) -> str:
    """The text on one line, without its end if it is long."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:60])
    return text if len(text) < 60 else f"{text[:59]}…"


def shown(value: Any) -> str:
    """A value as a message shows it."""
    return short(repr(value))


def allowed(value: Any, names: Iterable[Any]) -> str:
    """``allowed: a, b, c (did you mean b?)``."""
    names = [str(name) for name in names]
    near = difflib.get_close_matches(str(value)[:60], names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    listed = shorten(", ".join(names), 200, placeholder=" …") or "nothing"
    return f"allowed: {listed}{hint}"


def unknown(key: str, value: Any, names: Iterable[Any]) -> str:
    """The line for a name that does not exist."""
    return f"{key}: {shown(value)} is unknown; {allowed(value, names)}"
