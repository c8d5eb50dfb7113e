"""Claims that the study cannot judge: refused before any job starts."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from changed import changed, refusal
from ndsm.artefacts.judged_study import Claim
from ndsm.errors import Refused
from ndsm.report.comparisons import compared
from ndsm.study import configuration, methods
from ndsm.study.claim_checks import GRADIENT_METRICS, NONLINEAR, claim_problems
from ndsm.vocabulary import BEST, FIT_SHARE, POINTS, SECONDS, UNTRAINED

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
    configuration.resolve(with_claim(claim))
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


# Every claim that is accepted can be judged, of many that name what there is.


def judged_study() -> dict[str, Any]:
    """The smoke study with two sizes in latent space, five seeds of the digits, and budgets."""
    raw = changed("experiments.digits.seeds", 5)
    raw["experiments"]["digits_latent"]["n_train"] = [50, 100]
    raw["experiments"]["digits_symmetry"]["metrics"] += ["fid"]
    return configuration.resolve(raw | {"primary": {}, "secondary": []})


def metrics_of(study: dict[str, Any]) -> pd.DataFrame:
    """Values as a run of the study and its frontier leave them for the claims."""
    rows: list[tuple] = []

    def add(e: str, methods: list[str], sizes: list[int], seeds: int, metrics: list[str]) -> None:
        rows.extend(itertools.product([e], methods, sizes, range(seeds), metrics))

    for e, settings in study["experiments"].items():
        names, sizes = settings["methods"], settings["n_train"]
        seeds, own = settings.get("seeds", study["seeds"]), settings["metrics"]
        add(e, names, sizes, seeds, own)
        add(e, methods.trained(study, e), sizes, seeds, [FIT_SHARE])
        if "thresholds" in settings and "variant_of" not in settings:
            goals = [f"fid:{goal}" for goal in ("1000", "1", "edm")]
            derived = [prefix + goal for prefix in SECONDS for goal in goals]
            add(e, names, sizes, seeds, derived + [BEST + metric for metric in own])
    score, gradients = study["score"], study["gradients"]
    both = [name for m in score["methods"] for name in (m, m + UNTRAINED)]
    add(score["experiment"], both, [50, 100], study["seeds"], ["score_error"])
    sides = gradients["experiment"], NONLINEAR, [gradients["n_train"]], gradients["seeds"]
    add(*sides, GRADIENT_METRICS)
    table = pd.DataFrame(rows, columns=["experiment", "method", "n_train", "seed", "metric"])
    values = np.random.default_rng(0).uniform(1, 2, len(table))
    timed = {"censored": False, "early": False, "rate_error": 0.1, "budgets": 2}
    return table.assign(value=values, **timed).astype({"n_train": "Int64"})


def claims() -> Iterator[dict[str, Any]]:
    """Claims with every kind of metric, experiments and sizes, most of them odd."""
    metrics = ["kl", "fid", "nll", "energy_distance", FIT_SHARE, "score_error", "gradient_bias"]
    metrics += [f"{BEST}{m}" for m in ("fid", "nll", FIT_SHARE)]
    metrics += [f"{prefix}fid:{goal}" for prefix in SECONDS for goal in ("1000", "edm", "7", "1:2")]
    metrics += [f"{POINTS}{m}" for m in metrics]
    places = ["weighted_modes", "digits", "digits_symmetry", "digits_latent", "digits_latent_short"]
    pairs = [("ndsm_jump", "edm"), ("ndsm_flow", "dsm"), ("ndsm_anti", "ndsm_anti_untrained")]
    pairs += [("ndsm_cv", "ndsm"), ("ndsm_jump", "gmm_drift")]
    elsewhere = [None, "digits", "digits_latent", "digits_symmetry"]
    for metric, at, pair, other, n in itertools.product(
        metrics, places, pairs, elsewhere, [None, 50, 100]
    ):
        claim = {"id": "C1", "metric": metric, "experiment": at, "method": pair[0]}
        optional = {"baseline_experiment": other, "n_train": n}
        given = {key: value for key, value in optional.items() if value is not None}
        yield claim | {"baseline": pair[1]} | given


def test_what_is_accepted_can_be_judged() -> None:
    study = judged_study()
    metrics = metrics_of(study)
    accepted = [each for each in claims() if not any(claim_problems("secondary.0", each, study))]
    kinds = {each["metric"].split(":")[0] for each in accepted}
    assert {"points_saved", "best_budget", "seconds_to", "fid", "score_error"} <= kinds
    assert {each.get("baseline_experiment") for each in accepted} >= {None, "digits_latent"}
    for each in accepted:
        compared(Claim.of(each), metrics, 0.05, 9)


def test_what_is_refused_cannot_be_judged() -> None:
    """But for quotients of seconds, and sizes that are given and not looked at."""
    study = judged_study()
    metrics = metrics_of(study)
    meaningless = tuple(POINTS + prefix for prefix in SECONDS)
    for each in itertools.islice(claims(), 0, None, 7):
        odd = each["metric"].startswith(POINTS) and "n_train" in each
        odd |= each["metric"].startswith(meaningless)
        if not odd and any(claim_problems("secondary.0", each, study)):
            with pytest.raises(Refused):
                compared(Claim.of(each), metrics, 0.05, 9)
