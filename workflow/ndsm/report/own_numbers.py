"""The numbers of a study of one's own table, and when a difference of two methods counts as one.

That is where the corrected p-value of the seeds is below the level, the interval of ``row_gaps`` is
on one side of zero, and the better method is better than one Gaussian. Of methods that are not,
none has found a structure: they differ in what they lose by fitting noise. That the first of two
loses more counts from ``HARM`` on; that it loses less is no help. Else there is no difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ndsm.report.row_gaps import Gap, gap, verdict_of
from ndsm.vocabulary import FLOOR

Array = NDArray[np.float64]
GAUSSIAN = "one Gaussian"  # no method of the study: ``stages.verdict.one_gaussian``
HARM = 0.05  # nats a row and column
DISTANCE = "energy_distance"


@dataclass(frozen=True)
class Study:
    """What the answers are made of.

    Attributes:
        sizes: training sizes, in their order.
        methods: their names.
        log_prob: by method, ``GAUSSIAN`` among them, and size the log-densities of held-out rows
            (seeds, rows), with nan where a seed was not asked about a row.
        metrics: tidy metrics of the study.
        claims: its claims table.
        cost: what each method costs.
        components: by drift and size the number of components of each seed.
        notes: warnings on the data, a sentence each.
        level: of the tests.
        columns: how many the table has.
    """

    sizes: list[int]
    methods: list[str]
    log_prob: Mapping[tuple[str, int], Array]
    metrics: pd.DataFrame
    claims: pd.DataFrame
    cost: pd.DataFrame
    components: Mapping[tuple[str, int], list[int]]
    notes: list[str]
    level: float
    columns: int

    @property
    def most(self) -> int:
        """The largest size."""
        return self.sizes[-1]

    def mean(self, metric: str, method: str, n_train: int | None = None) -> float:
        """The mean of a metric over seeds at a size, the largest unless one is given."""
        rows = self.metrics[(self.metrics.metric == metric) & (self.metrics.method == method)]
        if method != FLOOR:
            rows = rows[rows.n_train == (n_train or self.most)]
        return float(rows.value.mean())

    def found(self, ours: str, theirs: str, p_adjusted: float) -> int:
        """1 where a method is better than another, -1 where it is worse, 0 where neither."""
        found = self.gap(ours, theirs)
        outcome = verdict_of(found, p_adjusted, self.level)
        if outcome > 0:  # less harm than another does is no help
            return outcome * self.structured(ours)
        return outcome * (self.structured(theirs) or -found.mean >= HARM * self.columns)

    def structured(self, method: str) -> bool:
        """Whether a method is better than one Gaussian."""
        found = self.gap(method, GAUSSIAN)
        return verdict_of(found, found.p_value, self.level) > 0

    def gap(self, ours: str, theirs: str, n_train: int | None = None) -> Gap:
        """The gain of a method over another at a size."""
        n = n_train or self.most
        return gap(self.log_prob[ours, n], self.log_prob[theirs, n], self.level)
