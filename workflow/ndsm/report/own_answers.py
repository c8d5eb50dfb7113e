"""What a study of one's own table says, in sentences for somebody who has not read the paper.

Every sentence is computed, from ``own_numbers``.
"""

from typing import Any

import numpy as np
import pandas as pd

from ndsm.report.claim_documents import PRIMARY
from ndsm.report.own_numbers import DISTANCE, GAUSSIAN, Study
from ndsm.report.row_gaps import Gap, gap, verdict_of
from ndsm.report.verdict import holm
from ndsm.vocabulary import FLOOR, UNTRAINED

WORDS = {
    "gmm": "the mixture alone",
    "gmm_drift": "the mixture that drives the noise, alone",
    "dsm": "plain score matching, linear noise",
    "dsm_mixture": "linear noise, the mixture known to the network",
    "ndsm_cv": "nonlinear noise, the paper's method",
    "one Gaussian": "no structure: mean and covariance of the rows",
    "ndsm_flow": "nonlinear noise in one jump, this study's variant",
}
# Of each claim the question, and what to say if the method wins, if it loses, if neither.
QUESTIONS = {
    "D1": "Does the structure help on these data, against plain score matching?",
    "D2": "Does the trained network add to the mixture alone?",
    "D3": "Does the *nonlinear* noise add to what the same mixture gives under linear noise?",
}
SAID = {1: "Yes", -1: "No, it is worse", 0: "No difference was found"}
PLAIN = "dsm"
MIXTURES = {"mixture": "The mixture alone", "gmm": "The one behind the noise"}  # by their drifts


def answers(study: Study) -> list[tuple[str, str]]:
    """The questions with their answers, in the order of the page."""
    decided = _decided(study).set_index("id")
    found = [(QUESTIONS[id_], _claim(study, decided.loc[id_])) for id_ in decided.index]
    order = ranked(study)
    return [
        *found,
        ("Which method is best here, and does it differ from the others?", _best(study, order)),
        ("How many components did the mixture take?", _components(study)),
        ("How many rows would be enough?", _enough(study, order[0])),
        ("How long did it take?", _time(study)),
        ("What is there to know about the data?", " ".join(study.notes) or "Nothing unusual."),
    ]


def _decided(study: Study) -> pd.DataFrame:
    """The primary comparisons of the claims that this page asks about."""
    claims = study.claims
    return claims[(claims.role == PRIMARY) & claims.id.isin(QUESTIONS)]


def headline(study: Study) -> str:
    """The three claims in a sentence."""
    decided = _decided(study)
    outcomes = {row.id: _outcome(study, row) for row in decided.itertuples()}
    if not any(outcomes.values()):
        found = "**No difference was found** in any of the three declared comparisons."
        return f"{found} {_standing(study, ranked(study), in_words=True)}"
    words = {
        "D1": "structure {} against plain score matching",
        "D2": "the network {} against the mixture alone",
        "D3": "nonlinear noise {} against linear noise with the same mixture",
    }
    verbs = {1: "helps", -1: "hurts", 0: "makes no difference that was found"}
    said = [words[id_].format(f"**{verbs[outcome]}**") for id_, outcome in outcomes.items()]
    method = decided.iloc[0].method
    standing = _standing(study, ranked(study), in_words=True)
    return f"With `{method}` ({_words(method)}) {'; '.join(said)}. {standing}"


def _plain(study: Study, best: str) -> str:
    """That even the best method is not better than one Gaussian."""
    return (
        "Even the best could not be shown to be better than one Gaussian, so that no structure was "
        f"found: `{best}` gains {_interval(study.gap(best, GAUSSIAN))} nats a row over it."
    )


def _outcome(study: Study, row: Any) -> int:
    """1, -1 or 0 for a primary comparison: by the corrected p-value of its claim."""
    return study.found(row.method, row.baseline, row.p_adjusted)


def _claim(study: Study, row: pd.Series) -> str:
    """The answer to a claim's question, with its numbers."""
    found, outcome = study.gap(row.method, row.baseline), _outcome(study, row)
    ours, theirs = (study.mean("nll", name) for name in (row.method, row.baseline))
    near, far = (study.mean(DISTANCE, name) for name in (row.method, row.baseline))
    null = study.mean("nll", row.method + UNTRAINED)
    real = study.metrics.query("method == @FLOOR and metric == @DISTANCE").value
    gains = study.log_prob[row.method, study.most] - study.log_prob[row.baseline, study.most]
    likelier = np.nanmean(gains[:, ~np.isnan(gains).all(0)], 0) > 0
    apart = verdict_of(found, row.p_adjusted, study.level) != 0 and not outcome
    why = " The two differ, but neither could be shown to be better than one Gaussian."
    return (
        f"**{SAID[outcome]}.**{why * apart} With {study.most} training rows `{row.method}` "
        f"({_words(row.method)}) gains {_interval(found)} nats a row over `{row.baseline}` "
        f"({_words(row.baseline)}), and is likelier in {likelier.mean():.0%} of {likelier.size} "
        f"held-out rows; {_p(row.p_adjusted)} after correction. Mean −log p: {ours:.2f} against "
        f"{theirs:.2f}. Before its network was trained `{row.method}` had {null:.2f} (null). "
        f"Energy distance: {_four(near)} against {_four(far)}; real rows have "
        f"{_four(real.mean())} (the floor; sets of them deviate by {_four(real.std())})."
    )


def _words(method: str) -> str:
    """What a method is."""
    return WORDS.get(method, "a method of yours")


def _four(value: float) -> str:
    """To four places, without a minus before zero."""
    return f"{round(value, 4) + 0.0:.4f}"


def _interval(found: Gap) -> str:
    return f"{found.mean:+.3g} ({found.low:+.3g} to {found.high:+.3g})"


def _p(p_value: float) -> str:
    if np.isnan(p_value):
        return "too few seeds for a test"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def ranked(study: Study) -> list[str]:
    """The methods from the best on, by likelihood at the largest size."""
    return sorted(study.methods, key=lambda name: study.mean("nll", name))


def _best(study: Study, order: list[str]) -> str:
    """What can be said of the best method, and of the second."""
    best, second = order[:2]
    return (
        f"`{best}` ({_words(best)}) has the least mean −log p, {study.mean('nll', best):.2f}. Over "
        f"the second, `{second}`, it gains {_interval(study.gap(best, second))} nats a row. "
        f"{_standing(study, order)}"
    )


def _standing(study: Study, order: list[str], in_words: bool = False) -> str:
    """From which methods the best one differs, p-values corrected for their number."""
    best, others = order[0], order[1:]
    name_of_best = f"`{best}` ({_words(best)})" if in_words else f"`{best}`"
    plain = "" if study.structured(best) else f" {_plain(study, best)}"
    gaps = {name: study.gap(best, name) for name in others}
    adjusted = holm(pd.Series({name: each.p_value for name, each in gaps.items()}))
    apart = [name for name in others if study.found(best, name, adjusted[name]) == 1]
    if not apart:
        return (
            f"**No difference was found** between the best, {name_of_best}, and any other method."
            f"{plain}"
        )
    told = ", ".join(f"`{name}`" for name in apart)
    alike = ", ".join(f"`{name}`" for name in others if name not in apart)
    rest = f"; not from {alike}" if alike else ""
    return f"The best, {name_of_best}, differs from {told}{rest}.{plain}"


def _components(study: Study) -> str:
    """How many components the mixtures have at the largest size."""
    parts = []
    there = [drift for drift in MIXTURES if (drift, study.most) in study.components]
    for drift in there:
        counts = study.components[drift, study.most]
        low, high = min(counts), max(counts)
        said = f"{low}" if low == high else f"{low} to {high}, by the seed"
        parts.append(f"{MIXTURES[drift]}: {said}.")
    if set(study.components.get(("gmm", study.most), ())) == {1}:
        parts.append(
            "One component is a single Gaussian: the noise is then linear, shaped by the columns' "
            "covariance, and there were no clusters to keep."
        )
    return " ".join(parts)


def _enough(study: Study, best: str) -> str:
    """From which size on the best method's learning curve does not rise beyond its interval."""
    curve = ", ".join(f"{study.mean('nll', best, n):.2f} with {n}" for n in study.sizes)
    text = f"`{best}` has a mean −log p of {curve} rows. "
    if len(study.sizes) < 2:
        return text + "There were too few rows for a second size."
    steps = {
        n: gap(study.log_prob[best, study.most], study.log_prob[best, n], study.level)
        for n in study.sizes[:-1]
    }
    enough = [n for n, step in steps.items() if not verdict_of(step, step.p_value, study.level)]
    if not enough:
        last = steps[study.sizes[-2]]
        return text + (
            "More than you have: from the last size but one to the last it still gained "
            f"{_interval(last)} nats a row."
        )
    return text + f"From about {enough[0]} rows on no further gain was found."


def _time(study: Study) -> str:
    cost = study.cost[["drift_seconds", "training_seconds", "sampling_seconds"]]
    fits, training, sampling = cost.sum()
    seeds = study.cost.replicas.max() // len(study.sizes)
    return (
        f"{len(study.methods)} methods, {len(study.sizes)} sizes and {seeds} seeds together: "
        f"{fits:.0f} s for the mixtures, {training:.0f} s for training, {sampling:.0f} s for "
        "samples; likelihoods and metrics come on top."
    )


def table(study: Study) -> pd.DataFrame:
    """The numbers behind the answers: each method at the largest size, its null, and the floor."""
    rows = []
    for method in study.methods:
        own, null = study.metrics[study.metrics.method == method], method + UNTRAINED
        own = own[(own.n_train == study.most) & (own.metric == "nll")].value
        has_null = null in set(study.metrics.method)
        rows.append(
            {
                "method": method,
                "in words": _words(method),
                "−log p": f"{own.mean():.3f} ± {own.std():.3f}",
                "null −log p": f"{study.mean('nll', null):.3f}" if has_null else "",
                "energy distance": _four(study.mean(DISTANCE, method)),
                "null distance": _four(study.mean(DISTANCE, null)) if has_null else "",
                "floor": _four(study.mean(DISTANCE, FLOOR)),
            }
        )
    gaussian = np.nanmean(study.log_prob[GAUSSIAN, study.most], 1)
    text = f"{-gaussian.mean():.3f} ± {gaussian.std():.3f}"
    rows.append({"method": GAUSSIAN, "in words": _words(GAUSSIAN), "−log p": text})
    return (
        pd.DataFrame(rows)
        .fillna("")
        .sort_values("−log p", key=lambda c: c.str.split().str[0].map(float))
    )
