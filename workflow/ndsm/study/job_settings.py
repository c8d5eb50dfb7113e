"""What each job is given: the part of the settings that it needs, and no more.

So a change of the settings reruns only what it reaches. Used by the Snakefile alone; ``study`` is
what ``configuration.resolve`` made.
"""

import json
from typing import Any

from ndsm.artefacts.answered_study import AnsweredStudy
from ndsm.artefacts.files import digest
from ndsm.artefacts.judged_study import Frontier, JudgedStudy, MadeFrom
from ndsm.artefacts.pictured_study import Picture, Pictured, PicturedStudy
from ndsm.study import own_study, reach
from ndsm.study.code_dependencies import digests
from ndsm.study.configuration import ConfigError
from ndsm.study.figure_list import KINDS, PAGES, SINGLE, figures, varied
from ndsm.study.methods import null_of
from ndsm.study.plan import (
    along,
    autoencoders,
    bases,
    example_of,
    forward_drifts,
    forward_methods,
    forward_part,
    frontiers,
    is_latent,
    jobs,
    place,
    shared,
)
from ndsm.study.stacks import Study, parts
from ndsm.vocabulary import CEILING, FLOOR, JOB_ALONE, UNTRAINED

LONGEST = 2**17 - 1  # bytes that Linux allows one argument: to bash a whole command is one
REST = 2**13  # of these for all of the command that does not grow with its replicas


def text(study: Study, stage: str, **wildcards: str) -> str:
    """What one job is given, as JSON: an argument of its command.

    Raises:
        ConfigError: it is too long.
    """
    settings = spec(study, stage, **wildcards)
    argument, room = json.dumps(settings, sort_keys=True), LONGEST - REST
    if (size := len(argument) + _options(study, stage, wildcards)) > room:
        if count := len(settings.get("replicas", [])):
            given, limit = f"{count} replicas", f"up to {count * room // size}"
        else:
            given, limit = "the results", "more replicas a job, or fewer experiments"
        problem = f"{given} take {size} bytes in the command of {stage}, which has room for {room}"
        raise ConfigError(f"replicas_per_job: {problem}; allowed: {limit}")
    return argument


def _options(study: Study, stage: str, wildcards: dict[str, str]) -> int:
    """The length of a command's options that name the replicas' autoencoders."""
    named = ("drift", "train", "sample", "evaluate")
    if stage not in named or wildcards.get("method") == FLOOR:
        return 0
    experiment = wildcards["experiment"]
    names = autoencoders(study, experiment, int(wildcards["part"]))
    jobs = [{"experiment": experiment, "codes": name} for name in names]
    option = f"--autoencoder results/{study['study']}/.safetensors "
    return sum(len(option) + len(place(study, "latent", job)) for job in jobs)


def spec(study: Study, stage: str, **wildcards: str) -> dict[str, Any]:
    """What one job is given: the part of the settings that it needs, and no more.

    Args:
        study: the resolved settings.
        stage: the stage.
        wildcards: of the job, as in ``jobs``; of claims the options of Snakemake's command line.
    """
    match stage:
        case "aggregate":
            return _gathered_study(study)
        case "claims":
            return _judged(study, wildcards.get("options", "")).as_dict()
        case "figures":
            return _pictured(study).as_dict()
        case "verdict":
            return _answered(study).as_dict()
        case "gradients":
            own = study["gradients"]
            fits = study["experiments"][own["experiment"]]["drifts"]
            data = reach.settings(study, "data", own["experiment"])
            return data | own | {"fit": fits[own["drift"]]}
        case "forward":
            return _forward_spec(study)
        case "classifier":
            example = study["experiments"][example_of(study, wildcards["images"])]
            own = example["dataset"].items()
            return {"dataset": {key: value for key, value in own if key in ("name", "side")}}
    return _part_spec(study, stage, **wildcards)


def _gathered_study(study: Study) -> dict[str, Any]:
    """What ``aggregate`` is given (``artefacts.gathered_study``)."""
    sides = {
        stage: {job["experiment"]: _made(study, stage) for job in jobs(study, stage)}
        for stage in ("gradients", "forward")
    }
    return sides | {
        "study": study["study"],
        "methods": study["methods"],
        "experiments": {
            name: _shown(study, name) | _gathered(study, name) for name in study["experiments"]
        },
        "shared": shared(study),
        "nulls": {name: _nulls(study, name) for name in bases(study)},
        "frontiers": {e: own.as_dict() for e, own in _frontiers(study).items()},
        "classifiers": [job["images"] for job in jobs(study, "classifier")],
        "score": _scored(study),
    }


def _judged(study: Study, options: str) -> JudgedStudy:
    """What ``claims`` is given, with the ``options`` of Snakemake's command line."""
    return JudgedStudy(
        **{key: study[key] for key in ("scale", "claim", "claims") if key in study},
        study=study["study"],
        verdict=study["verdict"],
        primary=study.get("primary", {}),
        secondary=study.get("secondary", []),
        frontiers=_frontiers(study),
        options=options,
        made_from=MadeFrom(settings=settings_digest(study), code=digests()),
    )


def _pictured(study: Study) -> PicturedStudy:
    """What ``figures`` is given."""
    return PicturedStudy(
        study=study["study"],
        verdict=study["verdict"],
        pages=PAGES,
        experiments={name: _drawn(study, name) for name in study["experiments"]},
        frontiers=_frontiers(study),
        varied={e: varied(study, e) for e in bases(study)},
        figures=_figures(study),
        kinds=[*KINDS, *SINGLE],
    )


def _answered(study: Study) -> AnsweredStudy:
    """What ``verdict`` is given."""
    own, table = study["experiments"][own_study.EXPERIMENT], own_study.table_of(study)
    return AnsweredStudy(
        study=study["study"],
        experiment=own_study.EXPERIMENT,
        dataset=own["dataset"],
        n_train=own["n_train"],
        seeds=own.get("seeds", study["seeds"]),
        methods=[m for m in own["methods"] if not m.endswith(UNTRAINED)],
        parts=len(parts(study, own_study.EXPERIMENT)),
        verdict=study["verdict"],
        choices=own_study.choices(study),
        columns=[*table.columns],
        notes=[*table.notes],
    )


def settings_digest(study: Study) -> str:
    """A digest of the resolved settings that may change a number."""
    asked = {key: value for key, value in study.items() if key not in ("mnist_dir", "device")}
    return digest(asked)


def _shown(study: Study, experiment: str) -> dict[str, Any]:
    """What tables and figures need to know of an experiment."""
    settings = study["experiments"][experiment]
    keys = ("dataset", "n_train", "methods", "metrics", "variant_of")
    shown = {key: settings[key] for key in keys if key in settings}
    return shown | {"latent": is_latent(study, experiment)}


def _drawn(study: Study, experiment: str) -> Pictured:
    """The same for figures, in which each untrained model is drawn once."""
    shown, same = _shown(study, experiment), _nulls(study, experiment)
    methods = [name for name in shown["methods"] if name not in same]
    return Pictured(**(shown | {"methods": methods}))


def _nulls(study: Study, experiment: str) -> dict[str, str]:
    """Those untrained methods whose results are another's, and whose."""
    methods = study["experiments"][experiment]["methods"]
    found = {m: null_of(study, experiment, m) for m in methods if m.endswith(UNTRAINED)}
    return {name: null for name, null in found.items() if null != name}


def _gathered(study: Study, experiment: str) -> dict[str, Any]:
    """What names an experiment's results, without a list that grows with its replicas."""
    settings = study["experiments"][experiment]
    sees = settings["autoencoder"]["sees"] if is_latent(study, experiment) else None
    nulls = _nulls(study, settings.get("variant_of", experiment))
    methods = [*settings["methods"], FLOOR, *[CEILING] * is_latent(study, experiment)]
    return {
        "made": {
            name: _made(study, "evaluate", experiment=experiment, method=nulls.get(name, name))
            for name in methods
        },
        "seeds": settings.get("seeds", study["seeds"]),
        "parts": len(parts(study, experiment)),
        "autoencoders": sees,
    }


def _scored(study: Study) -> dict[str, Any] | None:
    """Whose score errors are studied, and in what."""
    if not (own := study.get("score")):
        return None
    e = own["experiment"]
    methods = {name: _made(study, "score", experiment=e, method=name) for name in own["methods"]}
    return {"experiment": e, "methods": methods}


def _made(study: Study, stage: str, **names: str) -> str:
    """A digest of the settings that reach a result, whichever its replicas."""
    settings = spec(study, stage, **names, part="0")
    return digest({key: value for key, value in settings.items() if key not in JOB_ALONE})


def _figures(study: Study) -> dict[str, Picture]:
    """What draws each figure, of which experiment, and what the report says of it."""
    return {
        figure.name: Picture(
            draw=figure.draw,
            **({"moves": figure.moves} if figure.moves else {}),
            experiment=figure.labels["experiment"],
            caption=figure.caption,
            title=f"{figure.labels['experiment']}: {figure.labels['shows']}",
        )
        for figure in figures(study)
    }


def _frontiers(study: Study) -> dict[str, Frontier]:
    """Experiments with thresholds: these, their runs at other budgets and with other steps."""
    return {
        e: Frontier(
            budgets=list(along(study, e, "training", "evaluations")),
            steps=list(along(study, e, "sampling", "steps")),
            thresholds=study["experiments"][e]["thresholds"],
        )
        for e in frontiers(study)
    }


def _forward_spec(study: Study) -> dict[str, Any]:
    """What the forward process is given: its two drifts, and the methods that lead back."""
    name = study["forward"]["experiment"]
    own, drifts = study["experiments"][name], forward_drifts(study)
    given = reach.settings(study, "data", name) | study["forward"] | drifts
    given |= {"fits": {drift: own["drifts"][drift] for drift in drifts.values()}}
    methods = {
        process: reach.settings(study, "train", name, method=method)
        for process, method in forward_methods(study).items()
    }
    given |= {"seed": 0, "process": own["process"], "methods": methods}
    return given | {"replicas": parts(study, name)[forward_part(study)]}


def _part_spec(study: Study, stage: str, experiment: str, **wildcards: str) -> dict[str, Any]:
    """What a job of one experiment, or of one part of it, is given."""
    names = {key: wildcards[key] for key in ("drift", "method") if key in wildcards}
    given = reach.settings(study, stage, experiment, **names)
    if stage in ("latent", "train", "score", "sample"):
        given["device"] = study["device"]
    if stage == "score":
        given["noise"] = study["score"]["noise"]
    if stage == "latent":
        codes = wildcards["codes"]
        replica = None if codes == "all" else [int(number) for number in codes.split("-")]
        return given | {"replica": replica}
    if stage == "data" or wildcards.get("method") == FLOOR:
        return given
    return given | {"replicas": parts(study, experiment)[int(wildcards["part"])]}
