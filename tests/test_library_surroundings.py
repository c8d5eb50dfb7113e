"""What use of the library leaves as it was, and what a fit says of its progress."""

import logging
import re
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from ndsm import NDSM
from ndsm.errors import Refused

SMALL: dict[str, Any] = {"evaluations": 400, "batch": 50, "width": 8, "depth": 1, "random_state": 0}
SMALL |= {"n_components": 2}
MOONS = make_moons(300, noise=0.1, random_state=0)[0]


def surroundings() -> list[Any]:
    """What a library must leave as it was."""
    random = [torch.random.get_rng_state().tolist(), str(np.random.get_state())]
    hooks = [sys.excepthook, sys.stdout, sys.stderr, list(warnings.filters), np.geterr()]
    printed = [torch.get_printoptions() if hasattr(torch, "get_printoptions") else None]
    log = logging.getLogger("ndsm")
    logs = [log.level, log.propagate, list(log.handlers)]
    modes = [torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()]
    return [
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        *random,
        *hooks,
        *printed,
        *modes,
        *logs,
    ]


@pytest.mark.usefixtures("unusual")
def test_use_changes_nothing_global(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = surroundings()
    model = NDSM(**SMALL | {"random_state": None}, objective="ndsm_cv").fit(MOONS)
    model.sample(10)
    model.log_prob(MOONS)
    model.save(tmp_path / "model")
    NDSM.load(tmp_path / "model").sample(3)
    with pytest.raises(
        Refused, match="^training diverged .*: lower learning_rate .* or raise t_min"
    ):
        NDSM(**SMALL | {"learning_rate": 1e9}).fit(MOONS)
    assert surroundings() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("unusual")
def test_the_surroundings_change_no_number() -> None:
    inside = NDSM(**SMALL, objective="ndsm_cv").fit(MOONS)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    usual = NDSM(**SMALL, objective="ndsm_cv").fit(MOONS)
    np.testing.assert_array_equal(inside.sample(50), usual.sample(50))
    np.testing.assert_array_equal(inside.log_prob(MOONS), usual.log_prob(MOONS))


def test_fits_in_several_threads_do_not_disturb_each_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before, found = surroundings(), dict[int, Any]()

    def run(seed: int) -> None:
        found[seed] = NDSM(**SMALL | {"random_state": seed}).fit(MOONS).sample(10)

    workers = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for k in range(20):
        print(f"mine {k}")
    for worker in workers:
        worker.join()
    assert surroundings() == before
    assert capfd.readouterr().out == "".join(f"mine {k}\n" for k in range(20))
    np.testing.assert_array_equal(
        found[2], NDSM(**SMALL | {"random_state": 2}).fit(MOONS).sample(10)
    )


BAR = """
import sys


class tqdm:
    def __init__(self, total, **_):
        self.total, self.done = total, 0
    def update(self):
        self.done += 1
    def close(self):
        print(f"bar {self.done} of {self.total}", file=sys.stderr)
"""


def test_a_fit_shows_how_far_it_is_if_asked(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, also where the caller has a handler of all logs, as pytest has."""
    monkeypatch.setattr("ndsm.library.surroundings.has_tqdm", lambda: False)
    NDSM(**SMALL, verbose=True, objective="ndsm_cv").fit(MOONS)
    said = capsys.readouterr().out
    assert not caplog.text
    assert "pool of " in said and re.search(r"^100 %  step 4/4  loss ", said, re.MULTILINE)
    (tmp_path / "tqdm").mkdir()
    (tmp_path / "tqdm" / "__init__.py").touch()
    (tmp_path / "tqdm" / "auto.py").write_text(BAR)
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.split(".")[0] == "tqdm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    NDSM(**SMALL, verbose=True).fit(MOONS)
    assert capsys.readouterr() == ("", "bar 8 of 8\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "tqdm"]:
        monkeypatch.delitem(sys.modules, name)
