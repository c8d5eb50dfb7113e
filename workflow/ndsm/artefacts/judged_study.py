"""What the stage ``claims`` is given: the comparisons, and how they are judged."""

import itertools
from collections.abc import Iterator

from ndsm.artefacts.given import Given, Number
from ndsm.method.settings import listed


class Judging(Given):
    """How claims are judged: the level of tests and intervals, how many bootstrap resamples."""

    level: float
    resamples: int


class Frontier(Given):
    """An experiment's runs with several budgets and steps of the sampler, and its thresholds."""

    budgets: list[str]
    steps: list[str]
    thresholds: dict[str, list[Number | str]]


class Against(Given):
    """What a method is compared with.

    Attributes:
        baseline: a method; empty where there is a threshold.
        baseline_experiment: where the baseline is, if not in the same experiment.
        at_most: the threshold, if there is one.
    """

    baseline: str = ""
    baseline_experiment: str = ""
    at_most: Number | None = None


class Claim(Against):
    """One comparison.

    Attributes:
        id: of the claim that it belongs to; of those that decide a claim it is their key.
        experiment: where the method is.
        metric: what is compared.
        method: what the claim is about.
        n_train: the training size, where it is given.
        rival: the method with the same mixture under linear noise, a second baseline, if any.
        control: one without the property that the claim is about, a third baseline, if any.
    """

    id: str = ""
    experiment: str
    metric: str
    method: str
    n_train: int | None = None
    rival: str = ""
    control: str = ""


class Comparisons(Against):
    """Comparisons of one claim: of each list every entry with every one of the others."""

    id: str
    experiment: str | list[str]
    metric: str | list[str]
    method: str | list[str]
    n_train: int | list[int] | None = None

    def each(self) -> Iterator[Claim]:
        """Them one by one."""
        named = (self.metric, self.experiment, self.method, self.n_train)
        for metric, experiment, method, n_train in itertools.product(*map(listed, named)):
            yield Claim(
                id=self.id,
                experiment=experiment,
                metric=metric,
                method=method,
                n_train=n_train,
                baseline=self.baseline,
                baseline_experiment=self.baseline_experiment,
                at_most=self.at_most,
            )


class MadeFrom(Given):
    """What the numbers are made from: digests of the settings, and of the code of each stage."""

    settings: str
    code: dict[str, str]


class JudgedStudy(Given):
    """The study.

    Attributes:
        study: its name.
        scale: that at which it runs, if it has several.
        claim: the one claim that it is run for, if so.
        claims: what the ids of its own claims stand for; empty if they are the paper's.
        verdict: how claims are judged.
        primary: the comparison that decides each claim, by its id.
        secondary: the others.
        frontiers: of the experiments with thresholds.
        options: those of Snakemake's command line that say which study this is.
        made_from: digests, by which what is kept of the study is known to be out of date.
    """

    study: str
    scale: str = ""
    claim: str = ""
    claims: dict[str, str] = {}
    verdict: Judging
    primary: dict[str, Claim]
    secondary: list[Comparisons]
    frontiers: dict[str, Frontier]
    options: str
    made_from: MadeFrom
