"""A trained autoencoder, read from its file."""

from pathlib import Path

from ndsm.artefacts import reading
from ndsm.method.autoencoder import Autoencoder


def read(path: Path, device: str) -> Autoencoder:
    """The autoencoder of a file that the stage ``latent`` wrote."""
    told = reading.read_record(path)["spec"]["autoencoder"]
    shape = {key: told[key] for key in ("latent", "type", "width")}
    pixels = reading.read_tensors(path, {"pixels": ""})["pixels"]
    network = Autoencoder(int(pixels), **shape)
    reading.load_weights(network, path)
    return network.eval().to(device)
