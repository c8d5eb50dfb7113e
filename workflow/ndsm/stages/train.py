"""Stage ``train``: one job trains a stack of score networks, one per replica [n_train, seed]."""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ndsm.artefacts import drift_file, files
from ndsm.artefacts.checkpoint import Checkpoint
from ndsm.artefacts.reading import Inputs
from ndsm.data.training_subset import of_each, training_subset
from ndsm.method import training
from ndsm.method.control_variate import LearnedAlpha
from ndsm.method.fitted_drift import data_sampler
from ndsm.method.model import build
from ndsm.method.random_streams import Streams, pick_device
from ndsm.method.registry import OBJECTIVES
from ndsm.method.settings import ModelSettings, TrainingSettings
from ndsm.study import code_dependencies
from ndsm.vocabulary import Replicas


class Job(ModelSettings):
    """What a job is given."""

    experiment: str
    replicas: Replicas
    training: TrainingSettings
    weight: float
    alpha: str | None


def main(
    data: Annotated[list[Path], typer.Option(help="one file, or one for each replica")],
    drift: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
    known: Annotated[Path | None, typer.Option(help="the mixture of dsm_mixture")] = None,
) -> None:
    """Trains one part of one method."""
    job, device, inputs = Job.model_validate(spec), pick_device(spec["device"]), Inputs()
    fit, replicas = drift_file.read(inputs, drift, device, spec), job.replicas
    tables = of_each(inputs, data, spec)
    subsets = [training_subset(t, *r) for t, r in zip(tables, replicas, strict=True)]
    streams = Streams([("train", job.experiment, *r) for r in replicas], device)
    mixture = drift_file.read(inputs, known, device, spec, "known") if known else None
    net, chain = build(fit, job, streams, mixture)
    learned = LearnedAlpha(len(subsets), chain.times) if job.alpha else None
    if job.equivariant:  # the orbits under g x = 1 − x; sampling averages the network over g
        subsets = [torch.cat([subset, 1 - subset]) for subset in subsets]
    points = data_sampler(subsets, fit)
    cost = OBJECTIVES[job.objective].evaluations
    steps = job.training.evaluations // cost
    names = [name for name, _ in net.network.named_parameters()]
    spec = spec | {"device": device}
    read = [*data, drift, *([known] if known else []), *code_dependencies.files("train")]
    with Checkpoint(out, spec, read, device) as checkpoint:
        source = training.examples(chain, points, job.objective, job.training, streams)
        ema, losses = training.train(
            net,
            source,
            job.objective,
            job.training,
            streams,
            checkpoint=checkpoint,
            learned=learned,
            weight=job.weight,
        )
        files.write_tensors(
            out,
            {name: weight.cpu() for name, weight in zip(names, ema, strict=True)},
            files.provenance(
                spec,
                inputs.digests,
                seconds=round(checkpoint.seconds, 3),
                replicas=len(subsets),
                parameters=sum(w[0].numel() for w in ema),
                network_evaluations=steps * cost * job.training.batch,
                iterations=steps,
                final_loss=[round(value, 6) for value in losses[-1].tolist()],
            ),
        )


if __name__ == "__main__":
    files.run(main)
