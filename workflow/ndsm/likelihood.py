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
replica has the fewest that are enough for it (``settled``), whatever the others of its stack need;
torchdiffeq's solvers would take one step size for all, and ask for the divergence each time.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ndsm.fitted import Fitted
from ndsm.nets import ScoreNet
from ndsm.samplers import angles, flow
from ndsm.sde import Chain, angle_of_time
from ndsm.streams import Streams

EXACT = 16  # dimensions up to which the divergence is exact
PROBES = 8  # of Hutchinson's estimate
STEPS = [16, 32, 64, 128, 256]  # of the solver; the next while twice as many change the result
CHECKED, TOLERANCE = 100, 0.005  # by more, in nats, the mean of this number of points
CHUNK = 800  # points of a replica whose flow is solved together, times directions of each
Departure = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def settled(
    net: ScoreNet, chain: Chain, fit: Fitted, x: Tensor, streams: Streams
) -> tuple[Tensor, Tensor, Tensor]:
    """Log densities as ``log_prob`` has them, with as many steps as each replica needs.

    Above ``EXACT`` dimensions all have the fewest steps: the probes change them more.

    Returns:
        log densities (R, m); the numbers of steps (R,); what twice as many steps, or above
        ``EXACT`` other probes, change in the mean of the first points, in nats (R,).
    """
    steps = torch.full(x.shape[:1], STEPS[0])
    if x.shape[-1] > EXACT:
        model = net, chain, fit
        found = log_prob(*model, x, streams)
        again = log_prob(*model, x[:, :CHECKED], streams)
        return found, steps, (again - found[:, :CHECKED]).mean(1).abs()

    def at(steps: int, rows: Tensor, points: slice) -> Tensor:
        """Log densities of some replicas' points, which no stream has a part in."""
        model = net.rows(rows), chain.rows(rows), fit.rows(rows)
        return log_prob(*model, x[rows, points], streams, steps)

    first, others = slice(CHECKED), slice(CHECKED, None)
    change, found = torch.zeros(len(x)).to(x), torch.zeros_like(x[..., 0])
    waiting = torch.arange(len(x), device=x.device)
    coarse = at(STEPS[0], waiting, first)
    for few in STEPS:
        fine = at(2 * few, waiting, first)
        found[waiting, first], steps[waiting.cpu()] = coarse, few
        change[waiting] = (fine - coarse).mean(1).abs()
        more = change[waiting] > TOLERANCE
        coarse, waiting = fine[more], waiting[more]
        if not len(waiting):
            break
    for few in steps.unique().tolist() if x.shape[1] > CHECKED else []:
        rows = (steps == few).nonzero().squeeze(1).to(x.device)
        found[rows, others] = at(few, rows, others)
    return found, steps, change


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
