"""Where the results of other jobs lie, for the stages that gather them."""

from pathlib import Path
from typing import Any


def place(spec: dict[str, Any], stage: str, *steps: str | int) -> Path:
    """A job's result below the study's folder; that of another job if it shares it.

    Args:
        spec: with ``shared``, the place of each job that another one serves, to that one's.
        stage: whose result.
        steps: what names the job: experiment, method or drift, part.
    """
    own = "/".join(map(str, (stage, *steps)))
    return Path(spec["shared"].get(own, own) + ".safetensors")
