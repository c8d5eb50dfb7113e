"""A trained autoencoder, read from its file."""

from pathlib import Path

from ndsm.artefacts.reading import Inputs
from ndsm.method.autoencoder import Autoencoder
from ndsm.method.settings import AutoencoderSettings


def read(inputs: Inputs, path: Path, device: str) -> Autoencoder:
    """The autoencoder of a file that the stage ``latent`` wrote."""
    own = AutoencoderSettings.model_validate(inputs.record(path)["spec"]["autoencoder"])
    pixels = inputs.tensors(path, {"pixels": ""})["pixels"]
    network = Autoencoder(int(pixels), own.latent, own.type, own.width)
    inputs.weights(network, path)
    return network.eval().to(device)
