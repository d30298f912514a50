"""AdamW: Adam with weight decay apart from the gradient.

Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019
(arXiv 1711.05101), algorithm 2, with the decay multiplied by the learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from engine.graph import Tensor, square
from engine.graph import sqrt as root
from engine.graph.node import Shape
from engine.optim.base import Group, Optimizer, Tensors, optimizers


@optimizers.register("adamw")
class AdamW(Optimizer):
    """m, v: running means of the gradient and of its square."""

    def scalars(self, lr: float, update: int) -> dict[str, float]:
        """Bias corrections are folded into the step size and into epsilon."""
        config = self.config
        root = sqrt(1.0 - config.beta2**update)
        return {
            "adamw.rate": lr * root / (1.0 - config.beta1**update),
            "adamw.eps": config.eps * root,
            "adamw.keep": 1.0 - lr * config.weight_decay,
        }

    def slots(self, group: Group) -> dict[str, Shape]:
        """Two numbers for every parameter."""
        return {"m": group.shape, "v": group.shape}

    def update(
        self,
        group: Group,
        param: Tensor,
        grad: Tensor,
        slots: Mapping[str, Tensor],
        scalars: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensors]:
        """Algorithm 2, lines 6 to 12."""
        config = self.config
        m = slots["m"] * config.beta1 + grad * (1.0 - config.beta1)
        v = slots["v"] * config.beta2 + square(grad) * (1.0 - config.beta2)
        step = m / (root(v) + scalars["adamw.eps"])
        kept = param * scalars["adamw.keep"] if group.decay else param
        return kept - step * scalars["adamw.rate"], {"m": m, "v": v}
