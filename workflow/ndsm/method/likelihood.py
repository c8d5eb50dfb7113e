r"""The density of a trained model, by its probability flow, in nats and in data units.

Along the flow dy/dφ = −F from data (φ = 0) to the prior (φ_T) the log-density changes by the
divergence (arXiv:1806.07366, arXiv:2011.13456):

    log p(x) = log π(y(φ_T)) − ∫_0^{φ_T} div F(y(φ), φ) dφ − log |det A|,    x = shift + A y(0).

It is the density of what the flow makes of π. Samples of the chain's methods start from π pushed
through the chain, which differs from it by no more than the stage ``drift`` allows.

The divergence is exact up to ``EXACT`` dimensions. Above it is Hutchinson's estimate vᵀ(∂F/∂y) v, a
mean over ``PROBES`` vectors v of random signs, the same along a path, so that log p(x) is unbiased.

The path is solved by the classical Runge–Kutta method, its integral by Simpson's rule, so that of
five evaluations in a step two ask for the divergence, which costs most. Order four. Steps shorten
towards the data, where the flow turns fastest, and less so towards the prior (``nodes``). Each
point has the fewest that are enough for it (``settled``), whatever the others of its stack need: a
few far ones in narrow components ask for many. torchdiffeq's solvers would take one step size for
all, and ask for the divergence each time.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ndsm.method.fitted_drift import Fitted
from ndsm.method.forward_process import Chain, angle_of_time
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.method.samplers import angles, flow

EXACT = 16  # dimensions up to which the divergence is exact
PROBES = 8  # of Hutchinson's estimate
STEPS = [16, 32, 64, 128, 256, 512, 1024]  # of the solver; the next until they change no more
TOLERANCE, ENOUGH = 0.05, 0.005  # nats: what may change in a point; what in a mean, without a line
CHECKED = 100  # points whose estimate is compared with that of other probes
CHUNK = 800  # points of a replica whose flow is solved together, times directions of each
Departure = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def settled(
    net: ScoreNet, chain: Chain, fit: Fitted, x: Tensor, streams: Streams
) -> tuple[Tensor, Tensor, Tensor]:
    """Log densities as ``log_prob`` has them, with as many steps as each point needs.

    A point has settled when twice as many steps change it by less than ``TOLERANCE``; the method
    has order four, so that the finer of the two values is right to about a fifteenth of that. Above
    ``EXACT`` dimensions all have ``STEPS[1]``: the probes change them more.

    Returns:
        log densities (R, m); the most steps of a point (R,); what the last doubling changes in the
        mean of those that have not settled, or above ``EXACT`` other probes, in nats (R,).
    """
    replicas, m, d = x.shape
    few = STEPS[0] if d <= EXACT else STEPS[1]
    found = log_prob(net, chain, fit, x, streams, few)
    steps = torch.full((replicas,), few)
    if d > EXACT:
        again = log_prob(net, chain, fit, x[:, :CHECKED], streams, few)
        return found, steps, (again - found[:, :CHECKED]).mean(1).abs()
    waiting = torch.arange(m, device=x.device).expand(replicas, m)  # points, (R, k)
    late = torch.ones_like(waiting, dtype=torch.bool)  # not those that fill up the stack
    for more in STEPS[1:]:
        points = x.gather(1, waiting.unsqueeze(-1).expand(-1, -1, d))
        coarse, fine = found.gather(1, waiting), log_prob(net, chain, fit, points, streams, more)
        found.scatter_(1, waiting, torch.where(late, fine, coarse))
        steps[late.any(1).cpu()] = more
        change = torch.where(late, (fine - coarse).abs(), 0)
        late = change > TOLERANCE
        left = int(late.sum(1).max())
        unsure = torch.where(late, change, 0).sum(1) / m
        if not left:
            break
        order = change.argsort(1, descending=True)[:, :left]
        waiting, late = waiting.gather(1, order), late.gather(1, order)
    return found, steps, unsure


def log_prob(
    net: ScoreNet, chain: Chain, fit: Fitted, x: Tensor, streams: Streams, steps: int = STEPS[0]
) -> Tensor:
    """Log density of the model at points x (R, m, d) in data units, (R, m).

    Args:
        net: the score network.
        chain: its forward process.
        fit: the drift, with the working coordinates.
        x: the points.
        streams: one generator per replica, for Hutchinson's estimate.
        steps: of the solver.
    """
    points = CHUNK // (x.shape[-1] if x.shape[-1] <= EXACT else PROBES)
    parts = [
        _log_prob(net, chain, fit.to_working(part), streams, steps) for part in x.split(points, 1)
    ]
    return torch.cat(parts, 1) - fit.log_det()


def nodes(chain: Chain, steps: int) -> Tensor:
    """Angles from 0 to φ_T, (steps + 1,) in float64: φ_T s² (2 − s), s in equal steps.

    The nearest is moved to that of t_1, where the network's time stops, so that F has a kink.
    """
    phi = angles(chain, steps).flip(0)
    share = phi / phi[-1]
    phi = phi * share * (2 - share)
    kink = angle_of_time(chain.times[1].double()).to(phi)
    nearest = int((phi - kink).abs().argmin())
    if 0 < nearest < steps:
        phi[nearest] = kink
    return phi


def estimated(net: ScoreNet, y: Tensor, streams: Streams) -> Departure:
    """F and Hutchinson's estimate of its divergence, with probes for as many points as y has."""
    u = streams.uniform(PROBES, *y.shape[1:])
    probes = torch.where(u < 0.5, -1.0, 1.0).to(y).unbind(1)

    @torch.enable_grad()
    def with_divergence(y: Tensor, t: Tensor, asked: Tensor | None) -> tuple[Tensor, Tensor]:
        y = y.detach().requires_grad_()
        value, total = net.departure(y, t, asked), torch.zeros(y.shape[:2]).to(y)
        for v in probes:
            (row,) = torch.autograd.grad(value, y, v, retain_graph=True)
            total += (row * v).sum(-1)
        return value.detach(), total / PROBES

    return with_divergence


def _log_prob(net: ScoreNet, chain: Chain, y: Tensor, streams: Streams, steps: int) -> Tensor:
    """The same of y (R, B, d), in working coordinates."""
    exact = y.shape[-1] <= EXACT
    departure = flow(net.departure, chain)
    with_divergence = flow(net.with_divergence if exact else estimated(net, y, streams), chain)
    phi = nodes(chain, steps)
    integral, (f, div) = torch.zeros(y.shape[:2]).to(y), with_divergence(y, phi[0])
    for here, there in zip(phi[:-1], phi[1:], strict=True):
        h, middle = there - here, (here + there) / 2
        f_2 = departure(y - h / 2 * f, middle)
        f_3 = departure(y - h / 2 * f_2, middle)
        f_4 = departure(y - h * f_3, there)
        y_next = y - h / 6 * (f + 2 * f_2 + 2 * f_3 + f_4)
        f_next, div_next = with_divergence(y_next, there)
        # On the way, by Hermite's cubic through both ends.
        half_way = (y + y_next) / 2 + h / 8 * (f_next - f)
        integral += h / 6 * (div + 4 * with_divergence(half_way, middle)[1] + div_next)
        y, f, div = y_next, f_next, div_next
    return chain.drift.log_prob(y) - integral
