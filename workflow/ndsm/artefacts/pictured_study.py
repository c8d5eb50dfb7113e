"""What the stage ``figures`` is given: which figures and pages there are, and what they show."""

from typing import Any

from ndsm.artefacts.given import Given, Number
from ndsm.artefacts.judged_study import Frontier, Judging


class Pictured(Given):
    """What figures need to know of an experiment.

    Attributes:
        dataset: its name and parameters.
        n_train: the training sizes.
        methods: their names; each untrained model is there once.
        metrics: their names.
        latent: whether it learns in the latent space of an autoencoder.
        variant_of: the experiment that it varies, if it does.
    """

    dataset: dict[str, Any]
    n_train: list[int]
    methods: list[str]
    metrics: list[str]
    latent: bool
    variant_of: str = ""


class Picture(Given):
    """A figure.

    Attributes:
        draw: what draws it, a module and function in ``ndsm.report``.
        moves: what makes an animation of it besides, as of ``draw``, if anything does.
        experiment: which one it shows, or ``all``.
        caption: the name of its caption.
        title: of its page.
    """

    draw: str
    moves: str = ""
    experiment: str
    caption: str
    title: str


class PicturedStudy(Given):
    """The study.

    Attributes:
        study: its name.
        verdict: how its claims were judged.
        pages: the titles of the tables that are pages, by the names of the tables.
        experiments: by name.
        frontiers: of the experiments with thresholds.
        varied: of each experiment its runs with other budgets and components: their number by the
            run.
        figures: by name.
        kinds: of figures; the first part of each one's name.
    """

    study: str
    verdict: Judging
    pages: dict[str, str]
    experiments: dict[str, Pictured]
    frontiers: dict[str, Frontier]
    varied: dict[str, dict[str, dict[str, Number]]]
    figures: dict[str, Picture]
    kinds: list[str]
