"""Where the results of other jobs lie, for the stages that gather them."""

from pathlib import Path

from ndsm.artefacts.gathered_study import GatheredStudy
from ndsm.artefacts.reading import Inputs
from ndsm.vocabulary import FLOOR


def place(study: GatheredStudy, stage: str, experiment: str, *steps: str | int) -> Path:
    """A job's result below the study's folder; that of another experiment if it shares it.

    Args:
        study: whose results are gathered.
        stage: whose result.
        experiment: the job's.
        steps: what else names the job: the autoencoder, or method or drift, and part.
    """
    path = [stage, experiment, *map(str, steps)]
    if len(path) > 2:
        path[2] = study.nulls.get(experiment, {}).get(path[2], path[2])
    shared = study.shared.get(experiment)
    if shared and {stage, "/".join([stage, *path[2:3]])} & {*shared.results}:
        match steps:
            case (name, int(part)) if name != FLOOR:
                if (twin := shared.parts[part]) is not None:
                    path[1], path[3] = shared.base, str(twin)
            case _:  # the floor has one part
                path[1] = shared.base
    return Path("/".join(path) + ".safetensors")


def fit_seconds(
    inputs: Inputs, results: Path, study: GatheredStudy, experiment: str, method: str, part: int
) -> list[float]:
    """What the fits behind a method took, for each replica of a part: its drift, and what it knows.

    Args:
        inputs: what the job reads.
        results: the study's folder.
        study: whose results are gathered.
        experiment: the part's experiment.
        method: its method.
        part: its number.
    """
    own = study.methods[method]
    names = [own[key] for key in ("drift", "known") if key in own]
    paths = [results / place(study, "drift", experiment, name, part) for name in names]
    return [sum(each) for each in zip(*(fits_of(inputs, path) for path in paths), strict=True)]


def fits_of(inputs: Inputs, path: Path) -> list[float]:
    """The seconds that the fits of a drift's file took."""
    return inputs.record(path)["measured"]["fit_seconds"]


def autoencoder(study: GatheredStudy, experiment: str, n_train: int, seed: int) -> Path:
    """The autoencoder behind a replica: one for all, or for its training subset alone."""
    sees = study.experiments[experiment].autoencoders
    return place(study, "latent", experiment, sees if sees == "all" else f"{n_train}-{seed}")
