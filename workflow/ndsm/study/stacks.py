"""How an experiment's replicas are cut into parts, the stacks that one job trains or samples.

Every job asks, so each cut is made once, and planning takes a time that grows as the jobs do.
Used by the Snakefile alone; ``study`` is what ``configuration.resolve`` made.
"""

import functools
import itertools
from collections.abc import Collection
from typing import Any

Study = dict[str, Any]
Parts = tuple[tuple[tuple[int, int], ...], ...]
Cut = tuple[tuple[int, ...], int, int]  # training sizes, number of seeds, replicas per job


def parts(study: Study, experiment: str) -> Parts:
    """The experiment's replicas (n_train, seed), cut into parts."""
    return cut_parts(_cut(study, experiment))


def twins(study: Study, variant: str) -> tuple[int | None, ...]:
    """For each part of a variant the number of the part of what it varies with its replicas."""
    base = study["experiments"][variant]["variant_of"]
    return cut_twins(_cut(study, variant), _cut(study, base))


def codes(study: Study, experiment: str) -> Collection[str]:
    """Names of autoencoders, one for each replica, in an order and quick to search."""
    return cut_codes(_cut(study, experiment))


def _cut(study: Study, experiment: str) -> Cut:
    """What decides on an experiment's parts."""
    settings = study["experiments"][experiment]
    seeds, at_most = (settings.get(k, study[k]) for k in ("seeds", "replicas_per_job"))
    return tuple(settings["n_train"]), seeds, at_most


@functools.cache
def cut_parts(cut: Cut) -> Parts:
    """See ``parts``."""
    sizes, seeds, at_most = cut
    replicas = tuple(itertools.product(sizes, range(seeds)))
    return tuple(replicas[i : i + at_most] for i in range(0, len(replicas), at_most))


@functools.cache
def cut_twins(own: Cut, theirs: Cut) -> tuple[int | None, ...]:
    """See ``twins``; none where no part has the same replicas."""
    numbers = {part: i for i, part in enumerate(cut_parts(theirs))}
    return tuple(numbers.get(part) for part in cut_parts(own))


@functools.cache
def cut_codes(cut: Cut) -> Collection[str]:
    """See ``codes``."""
    return dict.fromkeys(f"{n}-{seed}" for part in cut_parts(cut) for n, seed in part)
