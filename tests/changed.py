"""The smoke study with a change, and how it is refused."""

import copy
from typing import Any

import pytest
import yaml

from conftest import ROOT
from ndsm.study import configuration

SMOKE = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
DELETED = object()


def changed(key: str, value: Any) -> dict[str, Any]:
    """The smoke study with one setting changed; ``key`` is its path, with dots."""
    raw: dict[str, Any] = copy.deepcopy(SMOKE)
    *path, last = (int(step) if step.isdigit() else step for step in key.split("."))
    place: Any = raw
    for step in path:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    return raw


def refusal(raw: dict[str, Any]) -> list[str]:
    """The lines with which a configuration is refused."""
    with pytest.raises(configuration.ConfigError) as caught:
        configuration.resolve(raw)
    return str(caught.value).splitlines()
