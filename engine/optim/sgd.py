"""Stochastic gradient descent with heavy-ball momentum and decoupled decay.

Sources: Polyak 1964, as in Sutskever et al., ICML 2013, section 2; decay as in SGDW,
Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.graph import Tensor
from engine.graph.node import Shape
from engine.optim.base import Group, Optimizer, Tensors, optimizers


@optimizers.register("sgd")
class SGD(Optimizer):
    """velocity: the sum of past gradients, each older one weighing less."""

    def scalars(self, lr: float, update: int) -> dict[str, float]:
        """The learning rate, and what decay leaves of a weight."""
        return {"sgd.rate": lr, "sgd.keep": 1.0 - lr * self.config.weight_decay}

    def slots(self, group: Group) -> dict[str, Shape]:
        """One number for every parameter; none without momentum."""
        return {"velocity": group.shape} if self.config.momentum else {}

    def update(
        self,
        group: Group,
        param: Tensor,
        grad: Tensor,
        slots: Mapping[str, Tensor],
        scalars: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensors]:
        """v = momentum v + g; the parameter moves by -lr v."""
        new_slots = {}
        velocity = grad
        if slots:
            velocity = slots["velocity"] * self.config.momentum + grad
            new_slots["velocity"] = velocity
        kept = param * scalars["sgd.keep"] if group.decay else param
        return kept - velocity * scalars["sgd.rate"], new_slots
