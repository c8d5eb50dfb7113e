"""A fitted drift as a file: the mixtures of a job's replicas and their working coordinates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ndsm.artefacts import files
from ndsm.artefacts.reading import Inputs
from ndsm.method.fitted_drift import Fitted
from ndsm.method.mixture import Mixture

SHAPES = {"log_weights": "R K", "means": "R K d", "shift": "R 1 d", "factor": "R a a"}
# Settings in which a drift's fit and whatever reads it agree, beside those of the fit itself.
SAME = ("experiment", "dataset", "samples", "split", "autoencoder", "replicas")


def write(path: Path, fitted: Fitted, record: dict[str, Any]) -> None:
    """Writes a fitted drift and its provenance."""
    maps = {"shift": fitted.shift, "factor": fitted.factor}
    files.write_tensors(path, fitted.mixture.tensors() | maps, record)


def read(
    inputs: Inputs, path: Path, device: str, spec: Mapping[str, Any], name: str = "drift"
) -> Fitted:
    """Reads the fitted drift of a job's replicas onto ``device``.

    Args:
        inputs: what the job reads.
        path: what the stage ``drift`` wrote.
        device: cpu or cuda.
        spec: the settings of the job, with ``replicas``.
        name: the setting that names the drift, if the job has it: ``drift`` or ``known``.
    """
    # The process is the method's own: its drift was fitted with that of the experiment.
    same = {key: spec[key] for key in SAME if key in spec}
    if name in spec:
        same |= {"drift": spec[name], "fit": spec["fits"][spec[name]]}
    tensors = inputs.tensors(path, SHAPES, same, R=len(spec["replicas"]))
    shift, factor = tensors.pop("shift"), tensors.pop("factor")
    return Fitted(Mixture(**tensors), shift, factor).to(device)
