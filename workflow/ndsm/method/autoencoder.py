r"""A variational autoencoder of images, whose latent space a study may noise and learn in.

    −ELBO = E_{z ~ q(z|x)}[−log p(x|z)] + β KL(q(z|x) ‖ N(0, I)),    q(z|x) = N(m(x), diag s²(x)),

with a Bernoulli likelihood of the pixels (Kingma and Welling, arXiv:1312.6114; β of Higgins et al.
2017). An image's *code* is m(x). β is small: the space need not be Gaussian, that is the
generator's business, but its decoder should be smooth.
"""

import logging
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from ndsm.method.optimiser import Adam, learning_rate
from ndsm.method.settings import AutoencoderSettings
from ndsm.method.unet import has_bfloat16

log = logging.getLogger(__name__)

CHUNK = 1000  # images that pass the network together outside training
BOTTOM = 7  # a convolutional network halves the side while it is even and larger than this


class Autoencoder(nn.Module):
    """Encoder and decoder of greyscale images.

    Args:
        pixels: of an image, a square.
        latent: dimension of a code.
        type: ``conv``, or ``mlp`` for small images.
        width: channels at half resolution (twice as many below it), or units of a hidden layer.
    """

    def __init__(self, pixels: int, latent: int, type: str, width: int) -> None:  # noqa: A002
        super().__init__()
        layers = {"conv": _convolutional, "mlp": _dense}[type]
        self.encoder, self.decoder = layers(pixels, latent, width)

    def encode(self, x: Tensor) -> Tensor:
        """Codes (n, latent) of images (n, pixels) with values in [0, 1]."""
        return torch.cat([self.encoder(part).chunk(2, 1)[0] for part in x.split(CHUNK)])

    def decode(self, z: Tensor) -> Tensor:
        """Images (n, pixels), with values in [0, 1], of codes (n, latent)."""
        return torch.cat([self.decoder(part).sigmoid() for part in z.split(CHUNK)])

    def loss(self, x: Tensor, noise: Tensor, kl: float) -> Tensor:
        """−ELBO with the weight β = ``kl``, mean over images x (n, pixels); noise (n, latent)."""
        mean, log_variance = self.encoder(x).float().chunk(2, 1)
        logits = self.decoder(mean + torch.exp(log_variance / 2) * noise).float()
        bits = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()
        return (bits + kl * divergence) / len(x)


def _dense(pixels: int, latent: int, width: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder with two hidden layers each."""

    def layers(*sizes: int) -> nn.Sequential:
        pairs = zip(sizes, sizes[1:], strict=False)
        return nn.Sequential(*[m for a, b in pairs for m in (nn.Linear(a, b), nn.SiLU())][:-1])

    return layers(pixels, width, width, 2 * latent), layers(latent, width, width, pixels)


def _convolutional(pixels: int, latent: int, width: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder with convolutions of stride two, and a dense layer at the bottom."""
    side, channels = isqrt(pixels), [1]
    encoder: list[nn.Module] = [nn.Unflatten(1, (1, side, side))]
    decoder: list[nn.Module] = []
    while side % 2 == 0 and side > BOTTOM:
        side, above = side // 2, channels[-1]
        channels.append(width * len(channels))
        encoder += [nn.Conv2d(above, channels[-1], 4, 2, 1), nn.SiLU()]
        decoder = [nn.ConvTranspose2d(channels[-1], above, 4, 2, 1), nn.SiLU(), *decoder]
    decoder[-1] = nn.Flatten()  # in place of the last SiLU: logits come out
    flat, hidden = channels[-1] * side**2, 8 * width
    encoder += [nn.Flatten(), nn.Linear(flat, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent)]
    bottom = [nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, flat), nn.SiLU()]
    unflatten = nn.Unflatten(1, (channels[-1], side, side))
    return nn.Sequential(*encoder), nn.Sequential(*bottom, unflatten, *decoder)


def train(x: Tensor, settings: AutoencoderSettings, seed: int) -> Autoencoder:
    """An autoencoder trained on images.

    Args:
        x: images (n, pixels) with values in [0, 1].
        settings: of the network and its training; ``kl`` is β.
        seed: of the initial weights, the minibatches and the noise.
    """
    torch.manual_seed(seed)
    latent, steps = settings.latent, settings.steps
    network = Autoencoder(x.shape[1], latent, settings.type, settings.width).to(x.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = list(network.parameters())
    adam, device = Adam(weights, ema=0.04), x.device.type
    # Half precision pays where the arithmetic takes longer than its conversions.
    half = settings.type == "conv" and has_bfloat16(device)
    for step in range(steps):
        images = x[torch.randint(len(x), (settings.batch,), device=x.device)]
        noise = torch.randn(settings.batch, latent, device=x.device)
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = network.loss(images, noise, settings.kl)
        gradients = torch.autograd.grad(loss, weights)
        adam.step(list(gradients), learning_rate(step, steps, settings.learning_rate))
        if (step + 1) % max(1, steps // 5) == 0:
            log.info("step %d/%d: loss %.2f nats", step + 1, steps, loss.item())
    with torch.no_grad():
        for weight, average in zip(weights, adam.average, strict=True):
            weight.copy_(average)
    return network.eval()
