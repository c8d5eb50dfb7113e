"""Nonlinear denoising score matching: a study of it in rooms, one for each kind of thing.

What a room imports lies in it or in those below: library and stages; report and study; metrics;
data; artefacts; method; errors and vocabulary. ``from ndsm import NDSM`` is the method for your own
data (``library``). Importing the package alone starts nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ndsm.library.estimator import NDSM as NDSM

__all__ = ["NDSM"]


def __getattr__(name: str) -> Any:
    """``NDSM``, imported where it is first asked for (PEP 562): torch takes seconds to start."""
    if name != "NDSM":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ndsm.library.estimator import NDSM

    return NDSM


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
