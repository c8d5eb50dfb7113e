"""The lines that say what is wrong with a configuration.

Each has the key, its value, what is allowed and, for a name, the nearest match.
"""

from collections.abc import Iterable
from textwrap import shorten
from typing import Any

from ndsm.errors import nearest


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
    listed = shorten(", ".join(names), 200, placeholder=" …") or "nothing"
    return f"allowed: {listed}{nearest(value, names)}"


def unknown(key: str, value: Any, names: Iterable[Any]) -> str:
    """The line for a name that does not exist."""
    return f"{key}: {shown(value)} is unknown; {allowed(value, names)}"
