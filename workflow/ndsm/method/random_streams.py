"""One random generator per replica, so that a replica's numbers do not depend on its stack."""

import hashlib
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ndsm.errors import Refused


class Streams:
    """Random numbers for R replicas, drawn from R generators.

    Args:
        keys: one key per replica, e.g. ("train", "pinwheel", 200, 3); equal keys, equal numbers.
        device: where the numbers are drawn; CPU and GPU streams differ.
    """

    def __init__(self, keys: Sequence[tuple[object, ...]], device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.generators = [
            torch.Generator(self.device).manual_seed(
                int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
            )
            for key in keys
        ]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (R, *shape)."""
        return self._fill(shape, Tensor.normal_)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (R, *shape)."""
        return self._fill(shape, Tensor.uniform_)

    def permutation(self, n: int) -> Tensor:
        """Random orders of 0, …, n − 1, (R, n)."""
        orders = [torch.randperm(n, generator=g, device=self.device) for g in self.generators]
        return torch.stack(orders)

    def fork(self) -> "Streams":
        """Further generators, seeded by one number of each of these.

        A computation whose length depends on the stack draws from them: what its replicas draw
        afterwards does not depend on their stack then.
        """
        seeds = (self.uniform(2) * 2**24).long().tolist()
        return Streams([tuple(pair) for pair in seeds], str(self.device))

    def _fill(self, shape: tuple[int, ...], fill: Callable[..., Tensor]) -> Tensor:
        out = torch.empty(len(self.generators), *shape, device=self.device)
        for row, generator in zip(out, self.generators, strict=True):
            fill(row, generator=generator)
        return out

    def state(self) -> Tensor:
        """The generators' states, for a checkpoint, (R, bytes)."""
        return torch.stack([generator.get_state() for generator in self.generators])

    def restore(self, state: Tensor) -> None:
        """Continues from a checkpoint's states."""
        for generator, row in zip(self.generators, state, strict=True):
            generator.set_state(row.clone())  # set_state ignores the offset of a view


def pick_device(name: str) -> str:
    """``auto`` is a GPU if there is one, else the CPU.

    Raises:
        Refused: ``cuda`` where torch finds no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise Refused("device: 'cuda', but torch finds no GPU; give auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def clock(device: str) -> float:
    """Seconds that this process has computed on a CPU; on a GPU those that have passed.

    Without its waiting for a core, so that a cost does not depend on what else the machine does.
    """
    return time.process_time() if device == "cpu" else time.perf_counter()
