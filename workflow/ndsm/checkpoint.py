"""Checkpoints of a training: what an interrupted run needs to go on as if nothing had happened."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ndsm import store

PERIOD = 60.0  # seconds between two checkpoints


class Checkpoint:
    """A file beside the result ``out``, kept while the training that ``spec`` describes runs."""

    def __init__(self, out: Path, spec: dict[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]
        self.path = out.with_name(f"{out.stem}.{digest}.checkpoint")
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last checkpoint is older than ``PERIOD``."""
        return time.monotonic() - self.saved > PERIOD

    def save(self, tensors: dict[str, Tensor]) -> None:
        """Writes the state of the training."""
        from safetensors.torch import save_file

        with store.atomic(self.path) as temporary:
            save_file({name: t.contiguous() for name, t in tensors.items()}, temporary)
        self.saved = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Tensor] | None:
        """The state of an interrupted run of the same specification, if there is one."""
        from safetensors.torch import load_file

        if not self.path.exists():
            return None
        print(f"going on from {self.path.name}", flush=True)
        return {name: t.to(device) for name, t in load_file(self.path).items()}

    def remove(self) -> None:
        """Forgets the checkpoint, the result being there."""
        self.path.unlink(missing_ok=True)
