"""A trained model of one data set, by the code that the study's stages call.

    x = mean + scale z,    log p(x) = log p(z) − Σ log scale,

x in the data's units, z standardised: what a drift is fitted to and a network is trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ndsm.errors import Refused
from ndsm.library import own_drift
from ndsm.library.plan import Plan
from ndsm.library.surroundings import Progress
from ndsm.method import likelihood, samplers, training
from ndsm.method.drift_fits import fit_part
from ndsm.method.fitted_drift import Fitted, data_sampler
from ndsm.method.forward_process import Chain
from ndsm.method.mixture import Mixture
from ndsm.method.model import build, initial_network, with_network
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.method.registry import OBJECTIVES
from ndsm.method.settings import FitSettings, ModelSettings, SamplingSettings, TrainingSettings

Array = np.ndarray
ALIKE = 2  # ratio of deviations up to which columns are taken for coordinates of one unit


@dataclass(frozen=True)
class Trained:
    """What a fit finds; all that samples and densities need.

    Attributes:
        mean: of the data, (d,), in float64.
        scale: of each column, (d,).
        fit: the drift, fitted to standardised points, R = 1.
        known: the mixture whose score is known.
        model: settings of network and chain; None if there is no network.
        weights: of the network, by name.
        losses: their mean at twenty moments of the training.
    """

    mean: Array
    scale: Array
    fit: Fitted
    known: Fitted | None
    model: ModelSettings | None
    weights: dict[str, Tensor]
    losses: Array

    @property
    def objective(self) -> str:
        """The objective of the network, or ``none``."""
        return self.model.objective if self.model else "none"

    @property
    def has_centre(self) -> bool:
        """Whether the drift is a mixture whose components share their covariance."""
        return isinstance(mixture := self.fit.mixture, Mixture) and mixture.scale_tril is None

    def network(self) -> tuple[ScoreNet, Chain]:
        """The score network with its trained weights, and the chain."""
        assert self.model is not None
        device = str(self.fit.shift.device)
        network = initial_network(self.fit, self.model, Streams([("replaced",)], device))
        network.load_state_dict(self.weights)
        return with_network(network.to(device), self.fit, self.model, self.known)

    @torch.no_grad()
    def sample(self, settings: SamplingSettings, seed: int) -> Tensor:
        """Samples (n, d) in the data's units, in float64.

        Raises:
            Refused: they have run away.
        """
        streams = Streams([("sample", seed)], str(self.fit.shift.device))
        if self.model is None:
            y = self.fit.mixture.sample(settings.samples, streams)
        else:
            y = samplers.draw(*self.network(), settings, streams)
        z = self.fit.to_data(y)[0].double().cpu()
        x: Tensor = torch.as_tensor(self.mean) + torch.as_tensor(self.scale) * z
        if not x.isfinite().all():
            raise Refused(
                "samples are not finite: raise steps, lower T, or fit again with a lower "
                "learning_rate"
            )
        return x

    @torch.no_grad()
    def log_prob(self, x: Array, seed: int) -> Tensor:
        """Log-densities (n,) of points x (n, d) in the data's units, in float64, in nats."""
        device = self.fit.shift.device
        z = torch.as_tensor((x - self.mean) / self.scale).float().to(device).unsqueeze(0)
        if self.model is None:
            found = self.fit.log_prob(z)
        else:
            streams = Streams([("log_prob", seed)], str(device))
            found, _, _ = likelihood.settled(*self.network(), self.fit, z, streams)
        return found[0].double().cpu() - float(np.log(self.scale).sum())


def standard(x: Array, by_column: bool) -> tuple[Array, Array]:
    """Mean and scale (d,) of points (n, d).

    Each column has its own scale if their deviations differ by more than ``ALIKE``. Else, as for
    coordinates of one unit, all have one, as in the study: on weighted_modes, whose two differ by a
    fifth, ``dsm`` ended at 0.11 nats with one scale and at 0.28 with two. A column that does not
    vary has the scale one.
    """
    mean, scale = x.mean(0), x.std(0)
    varies = scale[scale > 0]
    if not by_column or varies.max() <= ALIKE * varies.min():
        scale = np.full_like(scale, np.sqrt((scale**2).mean()))
    return mean, np.where(scale > 0, scale, 1.0)


def fit(
    x: Array, drift: Any, plan: Plan, seed: int, device: str, bar: Callable[[int], Progress]
) -> Trained:
    """Fits the drift and trains the network.

    Args:
        x: (n, d) points, in the data's units.
        drift: an object of the user's, where the plan has no fit.
        plan: the settings.
        seed: of all that is random.
        device: cpu or cuda.
        bar: what follows a training of so many steps.

    Raises:
        Refused: the training diverges.
    """
    mean, scale = standard(x, plan.by_column)
    z = (x - mean) / scale
    # Selection holds out the first rows, and a user's may be sorted.
    shuffled = np.random.default_rng(seed).permutation(z)

    def fitted(settings: FitSettings) -> Fitted:
        points = shuffled if len(settings.n_components) > 1 else z
        return fit_part(points, settings, seed).to(device, torch.float32)

    known = fitted(plan.known) if plan.known else None
    if plan.fit:
        found = fitted(plan.fit)
    else:
        found = own_drift.fitted(drift, z, mean, scale, seed, device)
    weights, losses = dict[str, Tensor](), np.zeros(0)
    if plan.model and plan.training:
        points = torch.as_tensor(z).float()
        streams = Streams([("train", seed)], device)
        weights, losses = trained_weights(
            points, found, known, plan.model, plan.training, plan.weight, streams, bar
        )
    return Trained(mean, scale, found, known, plan.model, weights, losses)


def trained_weights(
    z: Tensor,
    fit: Fitted,
    known: Fitted | None,
    model: ModelSettings,
    settings: TrainingSettings,
    weight: float,
    streams: Streams,
    bar: Callable[[int], Progress],
) -> tuple[dict[str, Tensor], Array]:
    """Averaged weights by name, and the losses at log ticks; as in the stage ``train``."""
    net, chain = build(fit, model, streams, known)
    names = [name for name, _ in net.network.named_parameters()]
    goal = model.objective
    with torch.enable_grad(), bar(settings.evaluations // OBJECTIVES[goal].evaluations) as follows:
        source = training.examples(chain, data_sampler([z], fit), goal, settings, streams)
        ema, losses = training.train(
            net, source, goal, settings, streams, checkpoint=follows, weight=weight
        )
    ticks = np.array([float(each[0]) for each in losses])
    return dict(zip(names, ema, strict=True)), ticks
