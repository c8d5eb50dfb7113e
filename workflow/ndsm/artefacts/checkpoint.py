"""Checkpoints of a training: what an interrupted run needs to go on as if nothing had happened."""

import glob
import hashlib
import json
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ndsm.artefacts import files
from ndsm.method.random_streams import clock

PERIOD = 60.0  # seconds between two checkpoints


class Checkpoint:
    """A file beside the result ``out``, kept while the training runs that writes it.

    As a context it lets SIGTERM and SIGINT end the training with a checkpoint, at its next step,
    and forgets all checkpoints when the block has written the result.

    Args:
        out: the result.
        spec: the settings of the training.
        files: what else its numbers depend on. Where these or ``spec`` differ, it starts over.
        device: what it trains on, for its cost.
    """

    def __init__(
        self, out: Path, spec: dict[str, Any], files: Iterable[Path] = (), device: str = "cpu"
    ) -> None:
        version = hashlib.sha256(json.dumps(spec, sort_keys=True).encode())
        for path in files:
            version.update(path.read_bytes())
        self.out = out
        self.path = out.with_name(f"{out.stem}.{version.hexdigest()[:12]}.checkpoint")
        self.signal = 0  # that asks the training to end
        self.device = device
        self.start, self.saved = clock(self.device), time.monotonic()
        self.earlier = 0.0

    def __enter__(self) -> Self:
        """Takes over the two signals."""
        signals = signal.SIGTERM, signal.SIGINT
        self.usual = {number: signal.signal(number, self._ask) for number in signals}
        return self

    def _ask(self, number: int, _: FrameType | None) -> None:
        self.signal = number

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Gives the signals back; a result that is there needs no checkpoints."""
        for number, handler in self.usual.items():
            signal.signal(number, handler)
        if kind is None:
            for dot in ("", "."):  # with one, the temporary file of a run that was killed
                for path in self.out.parent.glob(f"{dot}{glob.escape(self.out.stem)}.*.checkpoint"):
                    path.unlink(missing_ok=True)

    @property
    def seconds(self) -> float:
        """What the training has cost, the part before an interruption included."""
        return self.earlier + clock(self.device) - self.start

    def due(self) -> bool:
        """Whether the last checkpoint is older than ``PERIOD``, or the job is asked to end."""
        return self.signal > 0 or time.monotonic() - self.saved > PERIOD

    def save(self, tensors: dict[str, Tensor]) -> None:
        """Writes the state of the training, and ends the job if it is asked to end."""
        tensors = tensors | {"seconds": torch.tensor(self.seconds, dtype=torch.float64)}
        with files.atomic(self.path) as temporary:
            temporary.write_bytes(save({name: t.contiguous() for name, t in tensors.items()}))
        self.saved = time.monotonic()
        if self.signal:
            raise SystemExit(128 + self.signal)

    def load(self, device: torch.device) -> dict[str, Tensor] | None:
        """The state of an interrupted run of the same training, if there is one that is whole."""
        if not self.path.exists():
            return None
        try:
            found = load_file(self.path)
        except SafetensorError as problem:
            print(f"warning: {self.path} is damaged ({problem}); the training starts over")
            return None
        print(f"going on from {self.path.name}", flush=True)
        self.earlier = found.pop("seconds").item()
        return {name: t.to(device) for name, t in found.items()}
