"""Adam with averaged weights, for a stack: every operation is elementwise, so replicas stay apart.

The first use of a ``torch.optim`` optimiser imports torch's compiler, more than a second in every
job; these lines cost nothing.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
# The fused step is a private function of torch: it is called as this version has it.
FUSED = torch.__version__.startswith("2.13.")


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first twentieth of the steps, then a cosine to zero."""
    return peak * min(1.0, 20 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))


class Adam:
    r"""Kingma and Ba (arXiv:1412.6980), with a running average of the weights.

    After n steps the average weighs step i by about (i/n)^{γ}, γ = 1/ema − 2, so that the mean age
    of what it holds is the share ``ema`` of the steps made, however few (arXiv:2312.02696, section
    3.1): it forgets the start of a short training as it does that of a long one.

    Args:
        weights: the parameters, updated in place.
        ema: the mean age of the average, as a share of the steps made; less than a half.
    """

    def __init__(self, weights: Sequence[Tensor], ema: float) -> None:
        self.weights, self.ema, self.steps = list(weights), ema, 0
        self.mean = [torch.zeros_like(w) for w in weights]
        self.square = [torch.zeros_like(w) for w in weights]
        self.average = [w.detach().clone() for w in weights]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], rate: float) -> None:
        """One update with the given learning rate."""
        self.steps += 1
        (self._fused if FUSED else self._plain)(gradients, rate)
        decay = (1 - 1 / self.steps) ** (1 / self.ema - 1)
        torch._foreach_lerp_(self.average, self.weights, 1 - decay)

    def _plain(self, gradients: list[Tensor], rate: float) -> None:
        """The update as the paper has it."""
        for w, g, m, v in zip(self.weights, gradients, self.mean, self.square, strict=True):
            m.lerp_(g, 1 - BETA_1)
            v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
            root = (v / (1 - BETA_2**self.steps)).sqrt().add(EPSILON)
            w.addcdiv_(m, root, value=-rate / (1 - BETA_1**self.steps))

    def _fused(self, gradients: list[Tensor], rate: float) -> None:
        """The same in one pass over the memory; in separate operations it would be ten."""
        # One tensor for all: on a graphics card each would be a transfer of its own.
        steps = [torch.tensor(float(self.steps), device=self.weights[0].device)] * len(self.weights)
        # The fused step reads numbers in the order in which they lie, whatever their strides are.
        gradients = [
            g if g.stride() == w.stride() else torch.empty_like(w).copy_(g)
            for g, w in zip(gradients, self.weights, strict=True)
        ]
        torch._fused_adam_(
            self.weights,
            gradients,
            self.mean,
            self.square,
            [],
            steps,
            lr=rate,
            beta1=BETA_1,
            beta2=BETA_2,
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint needs."""
        named = {"weight": self.weights, "mean": self.mean, "square": self.square}
        return {
            f"{name}.{i}": tensor.detach()
            for name, tensors in (named | {"average": self.average}).items()
            for i, tensor in enumerate(tensors)
        } | {"steps": torch.tensor(self.steps)}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Continues from a checkpoint's state."""
        for name, tensor in self.state().items():
            if name != "steps":
                tensor.copy_(state[name])
        self.steps = int(state["steps"])
