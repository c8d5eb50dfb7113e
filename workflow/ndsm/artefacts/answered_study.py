"""What the stage ``verdict`` is given: whose results answer what is asked of one's own table."""

from typing import Any

from ndsm.artefacts.given import Given
from ndsm.artefacts.judged_study import Judging


class AnsweredStudy(Given):
    """The study of a table of the user's own.

    Attributes:
        study: its name.
        experiment: the name of its one experiment.
        dataset: the path of the table, and perhaps its label and columns.
        n_train: the training sizes.
        seeds: how many replicas each size has.
        methods: their names, without those of untrained models.
        parts: into how many stacks the replicas are cut.
        verdict: how claims are judged.
        choices: what was chosen and why, a sentence each.
        columns: the names of the table's columns.
        notes: warnings on the data, a sentence each.
    """

    study: str
    experiment: str
    dataset: dict[str, Any]
    n_train: list[int]
    seeds: int
    methods: list[str]
    parts: int
    verdict: Judging
    choices: list[str]
    columns: list[str]
    notes: list[str]
