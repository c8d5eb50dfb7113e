r"""The density of a trained model, by its probability flow, in nats and in data units.

Along the flow dy/dφ = −F from data (φ = 0) to the prior (φ_T) the log-density changes by the
divergence (arXiv:1806.07366, arXiv:2011.13456):

    log p(x) = log π(y(φ_T)) − ∫_0^{φ_T} div F(y(φ), φ) dφ − log |det A|,    x = shift + A y(0).

The divergence is exact up to ``EXACT`` dimensions. Above it is Hutchinson's estimate vᵀ(∂F/∂y) v, a
mean over ``PROBES`` vectors v of random signs, the same along a path, so that log p(x) is unbiased.
The path is solved by the classical Runge–Kutta method of order four. torchdiffeq has it too; here a
stack's replicas must not share a step size, which leaves of a solver the four lines of ``solve``.
"""


import torch
from torch import Tensor

from ndsm.fitted import Fitted
from ndsm.nets import ScoreNet
from ndsm.samplers import angles, flow
from ndsm.sde import Chain
from ndsm.streams import Streams

EXACT = 16  # dimensions up to which the divergence is exact
PROBES = 8  # of Hutchinson's estimate
STEPS = 24  # of Runge–Kutta
CHUNK = 250  # points of a replica whose flow is solved together


def log_prob(
    net: ScoreNet, chain: Chain, fit: Fitted, x: Tensor, streams: Streams, steps: int = STEPS
) -> Tensor:
    """Log density of the model at points x (R, m, d) in data units, (R, m).

    Args:
        net: the score network.
        chain: its forward process.
        fit: the drift, with the working coordinates.
        x: the points.
        streams: one generator per replica, for Hutchinson's estimate.
        steps: of the solver; each asks for four evaluations of the network.
    """
    parts = [
        _log_prob(net, chain, fit.to_working(part), streams, steps) for part in x.split(CHUNK, 1)
    ]
    return torch.cat(parts, 1) - fit.log_det()


def _log_prob(net: ScoreNet, chain: Chain, y: Tensor, streams: Streams, steps: int) -> Tensor:
    """The same of y (R, B, d), in working coordinates."""
    d, departure = y.shape[-1], flow(net, chain)
    probes = None
    if d > EXACT:
        u = streams.uniform(PROBES, *y.shape[1:])
        probes = torch.where(u < 0.5, -1.0, 1.0).to(y).unbind(1)

    def slope(y: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            value = departure(y, phi)
            directions = torch.eye(d).to(y) if probes is None else probes
            products = [
                (torch.autograd.grad(value, y, v.expand_as(y), retain_graph=True)[0] * v).sum(-1)
                for v in directions
            ]
        total = torch.stack(products).sum(0)
        return -value.detach(), total if probes is None else total / PROBES

    phi, divergence = angles(chain, steps).flip(0), y.new_zeros(y.shape[:2])
    for here, there in zip(phi[:-1], phi[1:], strict=True):
        h = there - here
        k1, d1 = slope(y, here)
        k2, d2 = slope(y + h / 2 * k1, here + h / 2)
        k3, d3 = slope(y + h / 2 * k2, here + h / 2)
        k4, d4 = slope(y + h * k3, there)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        divergence = divergence + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
    return chain.drift.log_prob(y) - divergence
