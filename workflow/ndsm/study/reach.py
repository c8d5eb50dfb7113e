"""The settings that reach a job: its own and those of every job before it.

They are what the job is given (``job_settings``), what its record keeps, and what decides whether
a variant shares its result (``plan.home``). So whoever reads a result can check every setting that
made it. Used by the Snakefile alone; ``study`` is what ``configuration.resolve`` made.
"""

from typing import Any

from ndsm.artefacts.prepared_data import PreparedData
from ndsm.study.methods import has_likelihood, noising, settings_of
from ndsm.study.stacks import Study
from ndsm.vocabulary import CEILING, FLOOR, is_trained


def settings(
    study: Study, stage: str, experiment: str, drift: str = "", method: str = ""
) -> dict[str, Any]:
    """The settings that reach a job of an experiment, whichever its replicas.

    Args:
        study: the resolved settings.
        stage: data, latent, drift, train, score, sample or evaluate.
        experiment: the job's.
        drift: the name of the drift, of the stage drift.
        method: the name of the method, of those after it.
    """
    own = study["experiments"][experiment]
    sampling = own["sampling"]
    reached = PreparedData(
        # Random numbers are drawn by this name: a variant has those of what it varies.
        experiment=own.get("variant_of", experiment),
        dataset=own["dataset"],
        samples=sampling.get("decoded", sampling["samples"]),
        split=study.get("split", "test"),
    ).as_dict()
    if method:
        reached["method"] = method
    if stage == "evaluate":
        reached["metrics"] = own["metrics"]
    if stage == "data" or method == FLOOR:
        return reached
    if own.get("space") == "latent":
        reached["autoencoder"] = own["autoencoder"]
    if stage == "latent":
        return reached
    if stage == "drift":
        process = noising(study, experiment, drift)
        reached |= {"drift": drift, "fit": own["drifts"][drift]}
        return reached | ({"process": process} if process else {})
    if method == CEILING:
        return reached | {"sampling": _number(sampling)}
    return reached | _of_method(study, stage, experiment, method)


def _of_method(study: Study, stage: str, experiment: str, method: str) -> dict[str, Any]:
    """What a method adds to the settings of its experiment."""
    own, settings = study["methods"][method], settings_of(study, experiment, method)
    names = {key: own.get(key) for key in ("drift", "known")}
    reached = names | {
        "fits": {name: settings["drifts"][name] for name in names.values() if name},
        "objective": own["objective"],
    }
    drawn = stage in ("sample", "evaluate")
    if drawn:
        reached["likelihood"] = has_likelihood(study, experiment)
        reached["sampling"] = _number(settings["sampling"])
    if own["objective"] == "none":
        return reached | {"temperature": settings.get("temperature", 1)}
    reached |= {"stride": own.get("stride", 1), "equivariant": own.get("equivariant", False)}
    reached |= {key: settings[key] for key in ("process", "network")}
    if is_trained(study, method):
        reached |= {"alpha": own.get("alpha"), "weight": settings.get("weight", 0)}
        reached["training"] = settings["training"]
    return reached | ({"sampling": settings["sampling"]} if drawn else {})


def _number(sampling: dict[str, Any]) -> dict[str, Any]:
    """How much is sampled: all that reaches what has no sampler."""
    return {key: sampling[key] for key in ("samples", "decoded") if key in sampling}
