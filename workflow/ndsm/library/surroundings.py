"""What the method's code meets when a library calls it: as in a job of the study, then put back.

One thread: on many cores a small network takes up to 80 times longer with torch's default. Calls
from several threads wait for each other, since all this belongs to the process.
"""

import contextlib
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Self

import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from ndsm.errors import Refused

LOCK = threading.RLock()
KEY = re.compile(r"\b(training|process|sampling)\.(?=\w)")  # of the configuration of a study


@contextlib.contextmanager
def log_shown(shown: bool) -> Iterator[None]:
    """Prints what the method's code logs, where that is asked for."""
    log, handler = logging.getLogger("ndsm"), logging.StreamHandler(sys.stdout)
    level, propagates = log.level, log.propagate
    if shown:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False  # not twice, where the caller has handlers of their own
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagates


@contextlib.contextmanager
def undisturbed(verbose: bool = False) -> Iterator[None]:
    """Runs a block as a job of the study would, whatever the caller has set, and puts it back.

    Args:
        verbose: whether lines are shown, those of the training only where there is no tqdm. That
            EM has not converged for some number of components is one of them, no warning: the
            choice among the numbers is made all the same.

    Raises:
        Refused: what the block refuses, without the prefixes of a study's configuration.
    """
    with LOCK:
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        try:
            with (
                threadpool_limits(1),
                torch.device("cpu"),
                torch.inference_mode(False),
                warnings.catch_warnings(record=True) as caught,
                log_shown(verbose and not has_tqdm()),
            ):
                warnings.simplefilter("always")
                torch.set_num_threads(1)
                torch.set_default_dtype(torch.float32)
                yield
        except Refused as problem:
            raise Refused(KEY.sub("", str(problem))) from None
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)
    for each in {str(warning.message): warning for warning in caught}.values():
        if not issubclass(each.category, ConvergenceWarning):
            warnings.warn(each.message, stacklevel=3)
        elif verbose:
            print(f"warning: {each.message}", flush=True)


def has_tqdm() -> bool:
    """Whether tqdm is installed."""
    return find_spec("tqdm") is not None


class Progress:
    """A bar of tqdm that follows a training: a ``training.Keeper`` that keeps nothing.

    Args:
        steps: of the training.
        shown: whether there is a bar, if tqdm is installed.
    """

    def __init__(self, steps: int, shown: bool) -> None:
        self.bar: Any = None
        if shown and has_tqdm():
            from tqdm.auto import tqdm

            self.bar = tqdm(total=steps, desc="NDSM", unit=" steps")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *problem: object) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.close()

    def due(self) -> bool:
        """Asked once in each step; nothing is kept."""
        if self.bar is not None:
            self.bar.update()
        return False

    def save(self, tensors: dict[str, torch.Tensor]) -> None:
        """Never asked to."""

    def load(self, device: torch.device) -> None:
        """There is nothing to go on from."""
