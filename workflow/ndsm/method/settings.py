"""The settings of a method: its drift's fit, its process, network, training and sampling.

The names are those of the configuration, where each has its meaning and unit
(docs/configuration.md). A stage makes them of what its job is given, ``model_validate``, and takes
no notice of what else that is. What can be left out there has its value here.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def listed(value: Any) -> list[Any]:
    """A list as it is, one value as a list of one."""
    return value if isinstance(value, list) else [value]


class Settings(BaseModel):
    """Settings that do not change."""

    model_config = ConfigDict(frozen=True)


class FitSettings(Settings):
    """How a drift's mixture is fitted (see ``drift_fits``); a fit of one's own may ask for more."""

    model_config = ConfigDict(frozen=True, extra="allow")

    fit: str
    covariance: str = "spherical"
    n_components: Annotated[list[int], BeforeValidator(listed)] = []
    selection: str = "bic"
    labelled: int = 0
    symmetric: bool = False


class ProcessSettings(Settings):
    """The forward chain: its kernel and its grid of times (see ``forward_process.time_grid``)."""

    kernel: str
    steps: int
    t_min: float
    T: float
    log_noise: tuple[float, float] | None = None


class NetworkSettings(Settings):
    """The network F_θ, a ``unet`` or an ``mlp``."""

    type: str
    sees_drift: bool
    width: int
    depth: int


class ModelSettings(Settings):
    """A method's model: the network and the chain, and what joins them (see ``model``)."""

    objective: str
    process: ProcessSettings
    network: NetworkSettings
    stride: int
    equivariant: bool


class TrainingSettings(Settings):
    """How a network is trained (see ``training``)."""

    evaluations: int
    batch: int
    learning_rate: float
    ema: float
    pool: int


class AmountSettings(Settings):
    """How many samples a replica draws, and of how many codes it decodes the images."""

    samples: int
    decoded: int | None = None


class SamplingSettings(AmountSettings):
    """How samples are drawn (see ``samplers``)."""

    sampler: str
    steps: int


class AutoencoderSettings(Settings):
    """The autoencoder of a latent space and its training (see ``autoencoder``)."""

    type: str
    latent: int
    width: int
    kl: float
    steps: int
    batch: int
    learning_rate: float
