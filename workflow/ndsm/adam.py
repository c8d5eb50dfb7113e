"""Adam with averaged weights, for a stack: every operation is elementwise, so replicas stay apart.

The first use of a ``torch.optim`` optimiser imports torch's compiler, more than a second in every
job; these lines cost nothing.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first twentieth of the steps, then a cosine to zero."""
    return peak * min(1.0, 20 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))


class Adam:
    """Kingma and Ba (arXiv:1412.6980), with an exponential moving average (EMA) of the weights.

    Args:
        weights: the parameters, updated in place.
        decay: of the average.
    """

    def __init__(self, weights: Sequence[Tensor], decay: float) -> None:
        self.weights, self.decay, self.steps = list(weights), decay, 0
        self.mean = [torch.zeros_like(w) for w in weights]
        self.square = [torch.zeros_like(w) for w in weights]
        self.average = [w.detach().clone() for w in weights]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], rate: float) -> None:
        """One update with the given learning rate."""
        self.steps += 1
        steps = [torch.tensor(float(self.steps), device=w.device) for w in self.weights]
        # The fused step reads numbers in the order in which they lie, whatever their strides are.
        gradients = [
            g if g.stride() == w.stride() else torch.empty_like(w).copy_(g)
            for g, w in zip(gradients, self.weights, strict=True)
        ]
        # One pass over the memory; in separate operations it would be ten.
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
        # Early on, the average forgets quickly, so that the first weights do not linger.
        decay = min(self.decay, self.steps / (9 + self.steps))
        torch._foreach_lerp_(self.average, self.weights, 1 - decay)

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
