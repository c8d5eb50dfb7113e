"""Evaluate stage: the metrics of the samples of one part, against held-out data.

Images are clipped to the range of pixels, [0, 1], before anything is measured.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import typer

from ndsm.artefacts import files
from ndsm.artefacts.metric_table import COLUMNS
from ndsm.artefacts.reading import Inputs
from ndsm.data.datasets import DATASETS
from ndsm.data.images import is_inverted, rarest, upright
from ndsm.data.training_subset import training_subset
from ndsm.errors import Refused
from ndsm.method.settings import Settings
from ndsm.metrics import registry
from ndsm.metrics.distances import spread
from ndsm.metrics.image_metrics import class_shares
from ndsm.vocabulary import FLOOR, Replicas, likelihood_points

if TYPE_CHECKING:
    from torch import nn

    from ndsm.metrics.classifier import Seen

Array = np.ndarray


class Job(Settings):
    """What a job is given; the floor has no replicas."""

    experiment: str
    dataset: dict[str, Any]
    method: str
    metrics: list[str]
    replicas: Replicas = []


@dataclass(frozen=True)
class Reference:
    """The held-out side of every comparison; what several replicas need is computed once.

    Attributes:
        inputs: what the job reads.
        data: the arrays of a file of data (see ``datasets``).
        dataset: the name of the dataset.
        weights: the evaluation classifier, for images.
        symmetric: whether some of the images are inverted; the classifier sees them upright.
        shares: the true shares of the classes, if they are unequal.
    """

    inputs: Inputs
    data: dict[str, Array]
    dataset: str
    weights: Path | None = None
    symmetric: bool = False
    shares: Sequence[float] = ()

    @property
    def points(self) -> Array:
        """Held-out data, (m, d)."""
        return self.data["held_out"]

    @property
    def labels(self) -> Array:
        """Their modes or classes, (m,)."""
        return self.data["held_out_labels"]

    @cached_property
    def spread(self) -> float:
        """E|Y − Y'|."""
        return spread(self.points)

    @cached_property
    def log_density(self) -> Array:
        """The true log p of the held-out data, (m,)."""
        return DATASETS[self.dataset].log_density(self.points)

    @cached_property
    def classifier(self) -> "nn.Sequential":
        """The trained classifier."""
        from ndsm.metrics.classifier import load  # torch starts only where images are measured

        if self.weights is None:
            raise Refused("metrics: some need the classifier; give it with --classifier")
        return load(self.inputs, self.weights)

    def see(self, images: Array) -> "Seen":
        """What the classifier makes of images (n, d)."""
        from ndsm.metrics.classifier import see

        return see(self.classifier, upright(images) if self.symmetric else images)

    @cached_property
    def seen(self) -> "Seen":
        """What the classifier makes of the held-out images."""
        return self.see(self.points)

    @property
    def rare_class(self) -> int:
        """The class with the smallest share."""
        return rarest(self.shares)

    @property
    def rare_share(self) -> float:
        """Its share."""
        return self.shares[self.rare_class]

    @cached_property
    def rarest(self) -> "Seen":
        """What it makes of the held-out images of the rarest class."""
        return self.see(self.data["rarest"])

    @cached_property
    def inverted(self) -> Array:
        """Which of the held-out images are inverted, (m,)."""
        return is_inverted(self.points)

    @cached_property
    def ink(self) -> Array:
        """Their mean ink, the inversion undone, (m,)."""
        return upright(self.points).mean(1)


@dataclass(frozen=True)
class Replica:
    """One set of samples, and by name all that a metric may need (see ``registry.METRICS``).

    Attributes:
        reference: what to compare with.
        samples: (n, d).
        seed: of the replica; for real data their number.
        n_train: its training points, or None for real data.
        log_prob: the model's log-density of its seed's held-out points, (m,).
        codes: in latent space those of the samples, (n, d).
        held_out_codes: those of the held-out images, by the replica's autoencoder, (m, d).
    """

    reference: Reference
    samples: Array
    seed: int
    n_train: int | None = None
    log_prob: Array | None = None
    codes: Array | None = None
    held_out_codes: Array | None = None

    @property
    def log_density(self) -> Array:
        """The true log p of the samples, (n,)."""
        return DATASETS[self.reference.dataset].log_density(self.samples)

    @property
    def true_log_prob(self) -> Array:
        """The true log p of the seed's held-out points, (m,)."""
        return self.reference.log_density[
            likelihood_points(self.seed, *self.reference.points.shape)
        ]

    @cached_property
    def seen(self) -> "Seen":
        """What the classifier makes of the samples."""
        return self.reference.see(self.samples)

    @cached_property
    def inverted(self) -> Array:
        """Which of the samples are inverted, (n,)."""
        return is_inverted(self.samples)

    @cached_property
    def ink(self) -> Array:
        """Their mean ink, the inversion undone, (n,)."""
        return upright(self.samples).mean(1)

    @property
    def training(self) -> Array:
        """The training points, (n_train, d).

        Real data have none: the held-out points, which they have not seen, stand for them, and
        give the rate at which a resemblance comes about without any memory.
        """
        if self.n_train is None:
            return self.reference.points
        return training_subset(self.reference.data, self.n_train, self.seed)

    def measure(self, metric: str) -> float:
        """The value of a metric, by its name in ``registry.METRICS``.

        Raises:
            Refused: it is not finite, as where the samples have run away.
        """
        entry = registry.METRICS[metric]
        with np.errstate(over="ignore", invalid="ignore"):  # answered for below
            value = entry.function(*(attrgetter(need)(self) for need in entry.needs))
        if not np.isfinite(value):
            raise Refused(
                f"{metric} of n_train={self.n_train}, seed={self.seed}: {value}; the largest "
                f"sample is {np.abs(self.samples).max():.3g}: lower training.learning_rate"
            )
        return value


def real_replicas(reference: Reference) -> Iterator[Replica]:
    """The floor: sets of real data, whose density is the true one."""
    known = DATASETS[reference.dataset].has_density
    for seed, points in enumerate(reference.data["real"]):
        plain = Replica(reference, points, seed)
        yield replace(plain, log_prob=plain.true_log_prob) if known else plain


def replicas(
    reference: Reference,
    sampled: Mapping[str, Array],
    autoencoders: Sequence[Path],
    names: Replicas,
) -> Iterator[Replica]:
    """The replicas of a part.

    Args:
        reference: what to compare with.
        sampled: what the stage ``sample`` wrote: ``samples`` (R, n, d), and if they are there
            ``log_prob`` (R, m) and ``codes`` (R, n, latent).
        autoencoders: of the replicas, or one for all, in latent space.
        names: n_train and seed of each, R in number.
    """
    for r, (n_train, seed) in enumerate(names):
        own = {name: array[r] for name, array in sampled.items()}
        if DATASETS[reference.dataset].image:
            own["samples"] = own["samples"].clip(0, 1)
        if autoencoders:
            path = autoencoders[r % len(autoencoders)]
            own["held_out_codes"] = reference.inputs.arrays(path, {"held_out": "m d"})["held_out"]
        yield Replica(reference, seed=seed, n_train=n_train, **own)


def asked(metric: str, replica: Replica) -> bool:
    """Whether a row has the metric: real data are no model, and have no codes of their own."""
    of = registry.METRICS[metric].of
    if of == "samples" or (of == "method" and replica.n_train is not None):
        return True
    return of == "model" and replica.log_prob is not None


def main(
    data: Annotated[Path, typer.Option(help="data of the experiment")],
    out: Annotated[Path, typer.Option(help="CSV to write")],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    samples: Annotated[Path | None, typer.Option(help="samples of one part")] = None,
    classifier: Annotated[Path | None, typer.Option(help="classifier, for images")] = None,
    autoencoder: Annotated[list[Path], typer.Option(help="one file, or one per replica")] = [],  # noqa: B006
) -> None:
    """Measures the samples of one part, or with the method ``real`` further real data: the floor.

    The samples' leading axis is that of the replicas.
    """
    start, job, inputs = time.perf_counter(), Job.model_validate(spec), Inputs()
    shapes = {"held_out": "m d", "held_out_labels": "m", "real": "s n d"}
    arrays = inputs.arrays(data, shapes, spec)
    dataset = job.dataset
    symmetric, shares = "symmetry" in dataset, dataset.get("shares", ())
    reference = Reference(inputs, arrays, dataset["name"], classifier, symmetric, shares)
    if job.method == FLOOR:
        measured = real_replicas(reference)
    elif samples is None:
        raise Refused(f"samples: none are given for {job.method}; use --samples")
    else:
        sizes = {"R": len(job.replicas), "d": arrays["held_out"].shape[1]}
        sampled = inputs.arrays(samples, {"samples": "R n d"}, spec, **sizes)
        measured = replicas(reference, sampled, autoencoder, job.replicas)
    rows = []
    for replica in measured:
        values = {m: replica.measure(m) for m in job.metrics if asked(m, replica)}
        text = ", ".join(f"{metric} {value:.4g}" for metric, value in values.items())
        print(f"n_train {replica.n_train}, seed {replica.seed}: {text}", flush=True)
        if "class_tv" in job.metrics:  # for the figure that shows what it comes from
            own = enumerate(class_shares(replica.seen.probabilities).tolist())
            values |= {f"class_share_{k}": share for k, share in own}
        rows += [
            (job.experiment, job.method, replica.n_train, replica.seed, metric, value)
            for metric, value in values.items()
        ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    seconds = time.perf_counter() - start
    files.write_table(out, table, files.provenance(spec, inputs.digests, seconds=seconds))


if __name__ == "__main__":
    files.run(main)
