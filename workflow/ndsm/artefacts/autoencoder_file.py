"""A trained autoencoder, read from its file."""

from pathlib import Path

from ndsm.artefacts import reading
from ndsm.method.autoencoder import Autoencoder
from ndsm.method.settings import AutoencoderSettings


def read(path: Path, device: str) -> Autoencoder:
    """The autoencoder of a file that the stage ``latent`` wrote."""
    own = AutoencoderSettings.model_validate(reading.read_record(path)["spec"]["autoencoder"])
    pixels = reading.read_tensors(path, {"pixels": ""})["pixels"]
    network = Autoencoder(int(pixels), own.latent, own.type, own.width)
    reading.load_weights(network, path)
    return network.eval().to(device)
