"""What the stage ``aggregate`` is given: whose results it gathers, and which settings made them."""

from typing import Any

from ndsm.artefacts.judged_study import Frontier
from ndsm.method.settings import Settings
from ndsm.vocabulary import is_trained


class Experiment(Settings):
    """What names an experiment's results.

    Attributes:
        dataset: its name and parameters.
        methods: their names, those of untrained models among them.
        n_train: the training sizes.
        metrics: their names.
        seeds: how many replicas each size has.
        parts: into how many stacks the replicas are cut.
        made: of each method the digest of the settings that reach its evaluation.
        latent: whether it learns in the latent space of an autoencoder.
        autoencoders: one for ``all``, or one for each ``subset`` of the training points.
        variant_of: the experiment that it varies.
    """

    dataset: dict[str, Any]
    methods: list[str]
    n_train: list[int]
    metrics: list[str]
    seeds: int
    parts: int
    made: dict[str, str]
    latent: bool
    autoencoders: str | None = None
    variant_of: str | None = None


class Shared(Settings):
    """Which results of the experiment ``base`` serve one that varies it.

    Attributes:
        base: the experiment that is varied.
        results: stage/name (of a drift, method or autoencoder), or the stage for all its results.
        parts: for each part of the variant the number of the part there, or none.
    """

    base: str
    results: list[str]
    parts: list[int | None]


class Scored(Settings):
    """The experiment whose score errors are studied; of each method the digest of its settings."""

    experiment: str
    methods: dict[str, str]


class GatheredStudy(Settings):
    """The study.

    Attributes:
        study: its name.
        methods: the settings of each method.
        experiments: by name.
        shared: of each variant what it shares.
        nulls: of each experiment the untrained methods whose results are another's, and whose.
        frontiers: of the experiments with thresholds.
        classifiers: the names of the images that have an evaluation classifier.
        score: the study of score errors, if there is one.
        gradients: the digest of the settings of each experiment's study of gradients.
        forward: the same of the forward process.
    """

    study: str
    methods: dict[str, dict[str, Any]]
    experiments: dict[str, Experiment]
    shared: dict[str, Shared]
    nulls: dict[str, dict[str, str]]
    frontiers: dict[str, Frontier]
    classifiers: list[str] = []
    score: Scored | None = None
    gradients: dict[str, str] = {}
    forward: dict[str, str] = {}

    def is_trained(self, method: str) -> bool:
        """Whether a method has a trained network."""
        return is_trained({"methods": self.methods}, method)
