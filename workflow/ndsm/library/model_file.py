"""A fitted ``NDSM`` as one file: safetensors, with JSON in its header and no pickle.

The header has ``format``, ``version``, ``about`` (parameters and settings, JSON) and ``sha256``, of
``about`` and the tensors: what is damaged is refused. Reading runs no code of the file.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ndsm.artefacts import files
from ndsm.errors import Refused
from ndsm.library import own_drift
from ndsm.library.points import Form
from ndsm.library.trained import Trained
from ndsm.method.fitted_drift import Fitted
from ndsm.method.mixture import Mixture
from ndsm.method.settings import ModelSettings

FORMAT, VERSION = "ndsm model", 1  # the version rises when an older reader would misread a file
OWN = "own:"  # before the class of a drift of the user's


@dataclass(frozen=True)
class Saved:
    """What a file holds beside the model.

    Attributes:
        params: of the estimator; a generator in place of a seed is kept as None.
        seed: of the fit.
        form: of the points of the fit.
        columns: their names, if they had some.
    """

    params: dict[str, Any]
    seed: int
    form: Form
    columns: list[str] | None


def write(path: str | PathLike[str], saved: Saved, model: Trained) -> None:
    """Writes a model, whole or not at all.

    Raises:
        Refused: the file cannot be written.
    """
    params = dict(saved.params)
    if isinstance(params["random_state"], np.random.Generator | np.random.RandomState):
        params["random_state"] = None
    if not isinstance(params["drift"], str):
        params["drift"] = OWN + type(params["drift"]).__qualname__
    settings = model.model.model_dump() if model.model else None
    about = json.dumps(asdict(saved) | {"params": params, "model": settings}, default=plain)
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors_of(model).items()}
    header = {"format": FORMAT, "version": str(VERSION), "about": about}
    header["sha256"] = digest(about, tensors)
    try:
        with files.atomic(Path(path)) as temporary:
            temporary.write_bytes(save(tensors, header))
    except (OSError, files.Unwritable) as problem:
        cause = problem if isinstance(problem, OSError) else problem.__context__
        said = getattr(cause, "strerror", None) or cause
        raise Refused(f"path: {fspath(path)!r} cannot be written ({said}); give another") from None


def plain(value: Any) -> Any:
    """A number or array of numpy's as JSON has it."""
    return value.tolist()


def tensors_of(model: Trained) -> dict[str, Tensor]:
    """The tensors of a model by name."""
    named = {name: getattr(model, name) for name in ("mean", "scale", "losses")}
    tensors = {name: torch.as_tensor(array) for name, array in named.items()}
    for role in ("fit", "known"):
        if (fit := getattr(model, role)) is None:
            continue
        if isinstance(fit.mixture, own_drift.OwnDrift):
            parts = {"own": torch.cat([fit.factor.view(1), fit.mixture.deviation.view(1)])}
        else:
            parts = fit.mixture.tensors() | {"shift": fit.shift, "factor": fit.factor}
        tensors |= {f"{role}.{name}": tensor for name, tensor in parts.items()}
    return tensors | {f"network.{name}": tensor for name, tensor in model.weights.items()}


def digest(about: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of what a file holds."""
    found = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        array = tensors[name].numpy()
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def read(
    path: str | PathLike[str], drift: Any, device_of: Callable[[Any], str]
) -> tuple[Saved, Trained]:
    """What ``write`` wrote, on the device of its parameters.

    Args:
        path: the file.
        drift: the drift of the fit, if that was an object of the user's.
        device_of: from the parameter ``device`` to the device that is there.

    Raises:
        Refused: there is no such file, or it is broken, foreign or newer.
    """
    name = repr(fspath(path))
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except OSError as problem:
        said = problem.strerror or "there is none"
        raise Refused(f"path: {name} cannot be read ({said}); give a file of NDSM.save") from None
    except SafetensorError:
        raise Refused(f"path: {name} is broken or no file of NDSM.save; save it again") from None
    if header.get("format") != FORMAT:
        raise Refused(f"path: {name} is of another program; give a file of NDSM.save")
    if header.get("version") != str(VERSION):
        newer = f"has version {header.get('version')}, this ndsm reads {VERSION}"
        raise Refused(f"path: {name} {newer}; install a newer ndsm")
    about = header.get("about", "")
    if header.get("sha256") != digest(about, tensors):
        raise Refused(f"path: {name} is damaged, its SHA-256 is another; save it again")
    found = json.loads(about)
    settings = found.pop("model")
    params, form = found.pop("params"), Form(**found.pop("form"))
    if (was := params["drift"]).startswith(OWN):
        if drift is None:
            own = was.removeprefix(OWN)
            raise Refused(f"drift: that of {name} was your own {own}; give it: load(path, drift=…)")
        params["drift"] = drift
    elif drift is not None:
        raise Refused(f"drift: that of {name} is {was!r} and in the file; give None")
    device = device_of(params["device"])
    tensors = {key: tensor.to(device) for key, tensor in tensors.items()}
    model = model_of(tensors, settings and ModelSettings.model_validate(settings), drift)
    return Saved(params=params, form=form, **found), model


def model_of(tensors: Mapping[str, Tensor], model: ModelSettings | None, drift: Any) -> Trained:
    """The model that ``tensors_of`` took apart."""

    def part(role: str) -> dict[str, Tensor]:
        prefix = f"{role}."
        return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}

    mean, scale, losses = (tensors[name].cpu().numpy() for name in ("mean", "scale", "losses"))

    def fitted(role: str) -> Fitted | None:
        found = part(role)
        if "own" in found:
            return own_drift.rebuilt(drift, mean, scale, found["own"])
        if not found:
            return None
        shift, factor = found.pop("shift"), found.pop("factor")
        return Fitted(Mixture(**found), shift, factor)

    fit = fitted("fit")
    assert fit is not None
    return Trained(mean, scale, fit, fitted("known"), model, part("network"), losses)
