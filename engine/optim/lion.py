"""Lion: the sign of an interpolated momentum.

Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023
(arXiv 2302.06675), program 1. Its learning rate is a third to a tenth of AdamW's.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.graph import Tensor, sign
from engine.graph.node import Shape
from engine.optim.base import Group, Optimizer, Tensors, optimizers


@optimizers.register("lion")
class Lion(Optimizer):
    """m: a running mean of the gradient, slower than the one whose sign is taken."""

    def scalars(self, lr: float, update: int) -> dict[str, float]:
        """The learning rate, and what decay leaves of a weight."""
        return {"lion.rate": lr, "lion.keep": 1.0 - lr * self.config.weight_decay}

    def slots(self, group: Group) -> dict[str, Shape]:
        """One number for every parameter."""
        return {"m": group.shape}

    def update(
        self,
        group: Group,
        param: Tensor,
        grad: Tensor,
        slots: Mapping[str, Tensor],
        scalars: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensors]:
        """The step is the learning rate, up or down, for every number."""
        fast, slow, m = self.config.beta1, self.config.beta2, slots["m"]
        direction = sign(m * fast + grad * (1.0 - fast))
        kept = param * scalars["lion.keep"] if group.decay else param
        new = kept - direction * scalars["lion.rate"]
        return new, {"m": m * slow + grad * (1.0 - slow)}
