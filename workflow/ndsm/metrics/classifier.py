"""The evaluation classifier, behind the image metrics: a small convolutional network.

It trains on images that no generator trains on or is compared with. Its penultimate layer gives
the features of the FID, its probabilities the inception score and the shares of the classes.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from ndsm.artefacts.reading import Inputs

log = logging.getLogger(__name__)

BATCH, LEARNING_RATE = 64, 4e-3


@dataclass(frozen=True)
class Seen:
    """What the classifier makes of n images.

    Attributes:
        features: the penultimate layer, (n, 64).
        probabilities: p(class | image), (n, k).
    """

    features: np.ndarray
    probabilities: np.ndarray


def build(classes: int) -> nn.Sequential:
    """The untrained network: greyscale images (n, 1, side, side) of any side to logits (n, k)."""
    body = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.SiLU(),
        nn.Conv2d(24, 32, 3, padding=1, stride=2),
        nn.BatchNorm2d(32),
        nn.SiLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 4 * 4, 64),
        nn.SiLU(),
    )
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(64, classes))
    return nn.Sequential(OrderedDict(body=body, head=head))


def as_images(rows: Tensor) -> Tensor:
    """Rows of pixels, (n, side²), as images, (n, 1, side, side)."""
    side = isqrt(rows.shape[1])
    return rows.reshape(-1, 1, side, side)


def varied(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image, (n, 1, side, side), under its own small random affine map.

    The linear part is I + 0.1 N(0, 1) in each entry; the shift is uniform up to a pixel.
    """
    n, _, _, side = images.shape
    linear = torch.eye(2) + 0.1 * torch.randn(n, 2, 2, generator=generator)
    shift = (2 / side) * (2 * torch.rand(n, 2, 1, generator=generator) - 1)
    where = affine_grid(torch.cat([linear, shift], dim=2), list(images.shape), align_corners=False)
    return grid_sample(images, where, align_corners=False)


def train(rows: Tensor, labels: Tensor, seed: int = 0) -> nn.Sequential:
    """A trained network.

    Args:
        rows: images as rows of pixels in [0, 1], (n, side²).
        labels: their classes, (n,).
        seed: of the initial weights, dropout, the minibatches and their variation.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, network = as_images(rows), build(int(labels.max()) + 1)
    steps = max(300, len(images) // 10)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    for step in range(1, steps + 1):
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        logits = network(varied(images[chosen], generator))
        loss = cross_entropy(logits, labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % (steps // 5) == 0:
            log.info("step %d/%d: loss %.3f", step, steps, loss.item())
    return network.eval()


def load(inputs: Inputs, path: Path) -> nn.Sequential:
    """The trained network of a file."""
    network = build(len(inputs.tensors(path, {"head.1.bias": "k"})["head.1.bias"]))
    inputs.weights(network, path)
    return network.eval()


@torch.inference_mode()
def see(network: nn.Sequential, rows: np.ndarray) -> Seen:
    """What the network makes of images given as rows of pixels in [0, 1], (n, side²)."""
    images = as_images(torch.from_numpy(np.ascontiguousarray(rows, np.float32)))
    body, head = network.get_submodule("body"), network.get_submodule("head")
    features = torch.cat([body(chunk) for chunk in images.split(1000)])
    return Seen(features.numpy(), head(features).softmax(1).numpy())
