r"""The score network for images: a compact U-Net, stacked over replicas.

    side        stem → block ───────────── concatenate → block → head
    side / 2          └→ blocks → grow ────────┘

with one level more for sides above 16. A block is twice norm, SiLU and a 3×3 convolution, with a
scale and a shift from log t in between (arXiv:2006.11239, arXiv:2105.05233).
"""

import math
from math import isqrt

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from ndsm.method.networks import FREQUENCIES, fourier
from ndsm.method.random_streams import Streams

GROUPS = 8  # groups of channels that are normalised together; a width is a multiple of it


class Block(nn.Module):
    """A residual block from ``inputs`` to ``outputs`` channels."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.norm_in, self.norm_out = nn.GroupNorm(GROUPS, inputs), nn.GroupNorm(GROUPS, outputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_zero = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Maps images (B, inputs, h, w) and times (B, embedding) to (B, outputs, h, w)."""
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv_in(functional.silu(self.norm_in(x)))
        h = torch.addcmul(shift, self.norm_out(h), 1 + scale)
        return self.skip(x) + self.conv_zero(functional.silu(h))


class UNet(nn.Module):
    """One U-Net for greyscale images.

    Args:
        side: of the images, even; a multiple of four above 16.
        width: channels at full resolution, twice as many below it.
        depth: blocks at the lowest resolution.
    """

    def __init__(self, side: int, width: int, depth: int) -> None:
        super().__init__()
        channels = [width] + [2 * width] * (1 if side <= 16 else 2)
        levels, embedding = list(zip(channels, channels[1:], strict=False)), 2 * width
        self.embed = nn.Linear(1 + 2 * FREQUENCIES, embedding)
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.ModuleList(Block(c, c, embedding) for c, _ in levels)
        self.shrink = nn.ModuleList(nn.Conv2d(c, below, 2, stride=2) for c, below in levels)
        bottom = channels[-1]
        self.middle = nn.ModuleList(Block(bottom, bottom, embedding) for _ in range(depth))
        self.grow = nn.ModuleList(nn.Conv2d(below, 4 * c, 1) for c, below in reversed(levels))
        self.up = nn.ModuleList(Block(2 * c, c, embedding) for c, _ in reversed(levels))
        self.norm = nn.GroupNorm(GROUPS, width)
        self.head_zero = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Maps images (B, 1, side, side) at times t (B, 1) to images."""
        embedding, skips = functional.silu(self.embed(fourier(t))), []
        h = self.stem(x)
        for block, shrink in zip(self.down, self.shrink, strict=True):
            skips.append(block(h, embedding))
            h = shrink(skips[-1])
        for block in self.middle:
            h = block(h, embedding)
        for grow, block in zip(self.grow, self.up, strict=True):
            h = functional.pixel_shuffle(grow(h), 2)
            h = block(torch.cat([h, skips.pop()], 1), embedding)
        return self.head_zero(functional.silu(self.norm(h)))


class StackedUNet(nn.Module):
    """F_θ for images: R independent U-Nets, one after the other, in bfloat16 where that is quick.

    Args:
        d: pixels of an image, a square.
        width: channels at full resolution.
        depth: blocks at the lowest resolution.
        streams: one random generator per replica, for the initial weights.
    """

    def __init__(self, d: int, width: int, depth: int, streams: Streams) -> None:
        super().__init__()
        with torch.device("meta"):
            unet = UNet(isqrt(d), width, depth)
        self.layers = [unet]  # in a list, which hides its weights: they are the stack's
        self.weights = nn.ParameterDict()
        for name, weight in unet.named_parameters():
            if weight.dim() > 1 and "_zero" not in name:
                stack = streams.normal(*weight.shape) / math.sqrt(weight[0].numel())
            else:  # F_θ = 0 and every block the identity at first; norms do not rescale
                ones = ".norm" in f".{name}" and name.endswith("weight")
                stack = torch.full((len(streams.generators), *weight.shape), float(ones))
            self.weights[name.replace(".", "-")] = nn.Parameter(stack)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """F_θ at y (R, B, d) and t (R, B, 1), giving (R, B, d)."""
        side, device = isqrt(y.shape[-1]), y.device.type
        images = y.unflatten(-1, (1, side, side))
        stacks = {name.replace("-", "."): w.unbind(0) for name, w in self.weights.items()}
        with torch.autocast(device, torch.bfloat16, enabled=has_bfloat16(device)):
            out = [
                functional_call(
                    self.layers[0],
                    {name: stack[r] for name, stack in stacks.items()},
                    (images[r].contiguous(memory_format=torch.channels_last), t[r]),
                )
                for r in range(len(y))
            ]
        return torch.stack(out).to(y.dtype).flatten(2)


def has_bfloat16(device: str) -> bool:
    """Whether the device multiplies matrices of bfloat16 faster than those of float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
