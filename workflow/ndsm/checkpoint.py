"""Checkpoints of a training: what an interrupted run needs to go on as if nothing had happened."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ndsm import store
from ndsm.sde import Pool
from ndsm.streams import Streams

PERIOD = 60.0  # seconds between two checkpoints


@dataclass(frozen=True)
class State:
    """A checkpoint's tensors, read back."""

    tensors: dict[str, Tensor]

    def restore(
        self,
        weights: list[Tensor],
        ema: list[Tensor],
        adam: torch.optim.Adam,
        pool: Pool,
        streams: Streams,
    ) -> int:
        """Puts everything back in place and returns the step to go on with."""
        saved = self.tensors
        state = {}
        with torch.no_grad():
            for i, (weight, average) in enumerate(zip(weights, ema, strict=True)):
                weight.copy_(saved[f"weight.{i}"])
                average.copy_(saved[f"ema.{i}"])
                state[i] = {name: saved[f"{name}.{i}"] for name in ("step", "exp_avg", "exp_avg_sq")}
        adam.load_state_dict(adam.state_dict() | {"state": state})
        pool.y, pool.index = (saved[name].to(pool.y.device) for name in ("pool.y", "pool.index"))
        streams.restore(saved["streams"])
        return int(saved["done"])


class Checkpoint:
    """A file beside the result ``out``, kept only while the training that ``spec`` describes runs."""

    def __init__(self, out: Path, spec: dict[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]
        self.path = out.with_name(f"{out.stem}.{digest}.checkpoint")
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last checkpoint is older than a minute."""
        return time.monotonic() - self.saved > PERIOD

    def save(
        self,
        done: int,
        weights: list[Tensor],
        ema: list[Tensor],
        adam: torch.optim.Adam,
        pool: Pool,
        streams: Streams,
    ) -> None:
        """Writes the state before step ``done``."""
        from safetensors.torch import save_file

        tensors = {"done": torch.tensor(done), "streams": streams.state()}
        tensors |= {"pool.y": pool.y, "pool.index": pool.index}
        for i, (weight, average) in enumerate(zip(weights, ema, strict=True)):
            tensors |= {f"weight.{i}": weight.detach(), f"ema.{i}": average}
            tensors |= {f"{name}.{i}": value for name, value in adam.state[weight].items()}
        with store.atomic(self.path) as temporary:
            save_file({name: t.contiguous() for name, t in tensors.items()}, temporary)
        self.saved = time.monotonic()

    def load(self) -> State | None:
        """The state of an interrupted run of the same specification, if there is one."""
        if not self.path.exists():
            return None
        print(f"going on from {self.path.name}", flush=True)
        return State(store.read_tensors(self.path))

    def remove(self) -> None:
        """Forgets the checkpoint, the result being there."""
        self.path.unlink(missing_ok=True)
