"""A trained model, read from the file of its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ndsm.artefacts.reading import Inputs
from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import Chain
from ndsm.method.model import initial_network, with_network
from ndsm.method.networks import Odd, ScoreNet, Zero
from ndsm.method.random_streams import Streams
from ndsm.method.settings import ModelSettings


def read(
    inputs: Inputs,
    path: Path | None,
    fit: Fitted,
    spec: Mapping[str, Any],
    streams: Streams,
    known: Fitted | None = None,
) -> tuple[ScoreNet, Chain]:
    """The score network and the chain, averaged over the group where the method is equivariant.

    Args:
        inputs: what the job reads.
        path: the weights that the stage ``train`` wrote; none for the untrained model, F_θ = 0.
        fit: the fitted drift.
        spec: the settings of the job, with the settings of the model.
        streams: one generator per replica; the weights that they would give are replaced.
        known: the fitted mixture of ``dsm_mixture``.
    """
    model = ModelSettings.model_validate(spec)
    if path is None:
        return with_network(Zero(fit.shift.shape[-1]), fit, model, known)
    network = initial_network(fit, model, streams)
    inputs.weights(network, path, spec)
    return with_network(Odd(network) if model.equivariant else network, fit, model, known)
