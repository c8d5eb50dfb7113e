"""Claims that the study cannot judge: refused before any job starts."""

import re
from typing import Any

import pytest

from ndsm import config
from test_config import changed, refusal

LATENT = {"experiment": "digits_latent", "method": "ndsm_jump", "baseline": "edm"}
ELSEWHERE = LATENT | {"baseline": "gmm_drift", "baseline_experiment": "digits"}
PLANE = {"experiment": "weighted_modes", "method": "ndsm_flow", "baseline": "dsm"}


def with_claim(claim: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The smoke study with one claim of its own, and other settings of its ``digits``."""
    raw = changed("secondary.0", {"id": "C9"} | claim)
    raw["experiments"]["digits"] |= changes
    return raw


BAD = [
    # metrics
    (LATENT | {"metric": "seconds_to:fid:1000:9"}, r"metric: 'seconds_to:fid:1000:9' is unknown; "),
    (LATENT | {"metric": "seconds_to:fid:1000:"}, r"metric: 'seconds_to:fid:1000:' is unknown; "),
    (
        LATENT | {"metric": "total_seconds_to:fid:7"},
        r"metric: .* allowed: total_seconds_to:fid:1000, .*:1, .*:edm .* in digits_latent$",
    ),
    (
        LATENT | {"metric": "points_saved:seconds_to:fid:1000"},
        r"metric: 'points_saved:seconds_to:fid:1000' is unknown; ",
    ),
    (LATENT | {"metric": "points_saved:fid"}, r"metric: .* compares sizes, .* has \[100\] alone; "),
    (LATENT | {"metric": "best_budget:drift_over_training"}, r"metric: .*; allowed: fid, nll, "),
    # the other experiment
    (ELSEWHERE | {"metric": "nll"}, r"metric: 'nll' is unknown; .* in digits$"),
    (
        ELSEWHERE | {"metric": "fid", "baseline": "edm"},
        r"baseline: 'edm' is unknown; .* in digits$",
    ),
    (
        PLANE
        | {"metric": "energy_distance", "n_train": 50}
        | {"baseline": "ndsm_jump", "baseline_experiment": "digits_symmetry"},
        r"n_train: 50 is unknown; allowed: 100 in digits_symmetry$",
    ),
]


@pytest.mark.parametrize(("claim", "line"), BAD, ids=str)
def test_what_cannot_be_compared_is_refused(claim: dict[str, Any], line: str) -> None:
    lines = refusal(with_claim(claim))
    assert any(re.match(rf"error: secondary\.0\.{line}", said) for said in lines), lines


def test_a_baseline_elsewhere_has_as_many_seeds_and_a_size_in_common() -> None:
    claim = ELSEWHERE | {"metric": "fid"}
    config.resolve(with_claim(claim))
    where = "error: secondary.0.baseline_experiment: 'digits' has"
    (line,) = refusal(with_claim(claim, seeds=5))
    assert line == f"{where} 5 seeds, digits_latent 3; allowed: as many"
    raw = with_claim(claim, n_train=[50, 90])
    raw["secondary"] = raw["secondary"][:1]
    (line,) = refusal(raw)
    said = f"{where} the training sizes [50, 90], digits_latent [100]"
    assert line == f"{said}; allowed: 1 or more in common"


def test_a_rival_is_where_the_baseline_is() -> None:
    raw = changed("primary.C9", ELSEWHERE | {"metric": "fid", "rival": "edm"})
    (line,) = refusal(raw)
    assert line.startswith("error: primary.C9.rival: 'edm' is unknown; ")
    assert line.endswith(" in digits")


@pytest.mark.parametrize("key", ["rival", "baseline_experiment"])
def test_what_goes_with_a_baseline_asks_for_one(key: str) -> None:
    claim = {"experiment": "digits_latent", "metric": "fid", "method": "ndsm_jump", "at_most": 1}
    lines = refusal(changed("primary.C9", claim | {key: "digits"}))
    assert f"error: primary.C9.{key}: 'digits' without a baseline; allowed: a baseline" in lines
