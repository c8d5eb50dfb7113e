"""What the last stages are given, with little of a study in it."""

from typing import Any

from ndsm.artefacts.judged_study import JudgedStudy
from ndsm.artefacts.pictured_study import PicturedStudy

FAST = {"level": 0.05, "resamples": 999}
JUDGED: dict[str, Any] = {
    "study": "mine",
    "verdict": FAST,
    "primary": {},
    "secondary": [],
    "frontiers": {},
    "options": "",
    "made_from": {"settings": "", "code": {}},
}
PICTURED: dict[str, Any] = {
    "study": "mine",
    "verdict": FAST,
    "pages": {},
    "experiments": {},
    "frontiers": {},
    "varied": {},
    "figures": {},
    "kinds": [],
}
EXPERIMENT: dict[str, Any] = {
    "dataset": {"name": "rings"},
    "n_train": [50],
    "methods": ["dsm"],
    "metrics": ["kl"],
    "latent": False,
}


def judged(**changes: Any) -> JudgedStudy:
    """A study whose claims are judged."""
    return JudgedStudy.of(JUDGED | changes)


def pictured(experiments: dict[str, dict[str, Any]], **changes: Any) -> PicturedStudy:
    """A study whose figures are drawn; of each experiment what is not as in ``EXPERIMENT``."""
    whole = {name: EXPERIMENT | own for name, own in experiments.items()}
    return PicturedStudy.of(PICTURED | {"experiments": whole} | changes)
