"""What one would write without this project: DSM of one model, a plain loop in PyTorch.

The same network, optimiser, schedule, average, batch, process and data as a replica of the study's
stack, from the parts that PyTorch has for them. Run as a script it is one of the separate
processes that a stack is compared with: python bench/plain.py data.safetensors seed steps batch
"""

import math
import sys
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WIDTH, DEPTH, FREQUENCIES, RATE, EMA = 64, 3, 6, 5e-3, 0.1
T_MIN, T, N = 1e-3, 4.0, 100


def network(d: int) -> nn.Sequential:
    """The MLP of ``ndsm.method.networks``."""
    sizes = [d + 1 + 2 * FREQUENCIES] + [WIDTH] * DEPTH
    pairs = zip(sizes, sizes[1:], strict=False)
    layers = [m for a, b in pairs for m in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, d))


@torch.no_grad()
def follow(average: Any, weights: Any, before: Tensor | int) -> None:
    """Moves the average, of so many steps before, towards the weights, as ``optimiser``."""
    decay = (1 - 1 / (int(before) + 1)) ** (1 / EMA - 1)
    torch._foreach_lerp_(average, weights, 1 - decay)


def train(x: Tensor, steps: int, batch: int, seed: int = 0) -> nn.Module:
    """Trains one model on points x (n, d) and gives its average."""
    torch.manual_seed(seed)
    x = (x - x.mean(0)) / x.std()
    net = network(x.shape[1])
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=follow)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda i: min(1.0, 20 * (i + 1) / steps) * 0.5 * (1 + math.cos(math.pi * i / steps)),
    )
    times = torch.logspace(math.log10(T_MIN), math.log10(T), N)
    frequencies = torch.arange(1, FREQUENCIES + 1) * (math.pi / 2)
    for _ in range(steps):
        x_0 = x[torch.randint(len(x), (batch,))]
        t = times[torch.randint(N, (batch, 1))]
        a, v = torch.exp(-t), -torch.expm1(-2 * t)
        z = torch.randn_like(x_0)
        y = a * x_0 + v.sqrt() * z
        u = torch.log(t) / 5
        inputs = torch.cat([y, u, torch.sin(u * frequencies), torch.cos(u * frequencies)], 1)
        score = -y + a / v.sqrt() * net(inputs)
        loss = 0.5 * (v * (score + z / v.sqrt()).square()).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(net)
    return average.module


if __name__ == "__main__":
    path, seed, steps, batch = sys.argv[1], *map(int, sys.argv[2:])
    train(load_file(path)["pool"][:2000], steps, batch, seed)
