"""Muon: hidden matrices move along their momentum's nearest orthogonal matrix.

Embeddings, the head, gains and biases are left to AdamW. Of a fused matrix (queries,
keys and values; gate and up) each part is orthogonalised by itself: they are different
maps, and together they would share one budget of singular values.
Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks"
(kellerjordan.github.io/posts/muon, 2024): iteration, momentum, scale; decoupled decay:
Liu et al., "Muon is Scalable for LLM Training", 2025 (arXiv 2502.16982), section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt as root

from engine.config import OptimConfig
from engine.graph import Tensor, concat, matmul, rsqrt, split, square, sum_over
from engine.graph.node import Shape
from engine.model.parameters import Kind, Parameter
from engine.optim.adamw import AdamW
from engine.optim.base import Group, Optimizer, Tensors, optimizers

#: The quintic's coefficients and how often it is applied (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
#: Keeps the norm of a zero gradient from dividing by zero.
EPS = 1e-14


@optimizers.register("muon")
class Muon(Optimizer):
    """momentum: a running sum of gradients; its Nesterov look-ahead is followed."""

    elementwise = False

    def __init__(self, config: OptimConfig) -> None:
        super().__init__(config)
        self.rest = AdamW(config)

    def rule(self, parameter: Parameter) -> Optimizer:
        """Muon for the blocks' matrices, AdamW for all else."""
        return self if parameter.kind is Kind.MATRIX else self.rest

    def scalars(self, lr: float, update: int) -> dict[str, float]:
        """Muon's own rate follows the same schedule as the other."""
        rate = self.config.muon_lr * (lr / self.config.lr)
        keep = 1.0 - rate * self.config.weight_decay
        own = {"muon.rate": rate, "muon.keep": keep}
        return own | self.rest.scalars(lr, update)

    def slots(self, group: Group) -> dict[str, Shape]:
        """One number for every parameter."""
        return {"momentum": group.shape}

    def update(
        self,
        group: Group,
        param: Tensor,
        grad: Tensor,
        slots: Mapping[str, Tensor],
        scalars: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensors]:
        """Each part moves by the rate times sqrt(max(1, outputs / inputs))."""
        beta = self.config.momentum
        momentum = slots["momentum"] * beta + grad
        ahead = momentum * beta + grad
        parts = split(ahead, group.parts) if len(group.parts) > 1 else [ahead]
        steps = []
        for part in parts:
            inputs, outputs = part.shape
            scale = root(max(1.0, outputs / inputs))
            steps.append(orthogonalise(part) * (scale * scalars["muon.rate"]))
        kept = param * scalars["muon.keep"] if group.decay else param
        step = concat(steps) if len(steps) > 1 else steps[0]
        return kept - step, {"momentum": momentum}


def orthogonalise(x: Tensor) -> Tensor:
    """x (M, N) with its singular values brought near 1 (to about 0.7 ... 1.2).

    The Newton-Schulz iteration X <- a X + (b A + c A A) X with A = X X^T, on the side
    on which A is smaller.
    """
    a, b, c = QUINTIC
    wide = x.shape[0] <= x.shape[1]
    x = x * rsqrt(sum_over(square(x)) + EPS)
    for _ in range(ITERATIONS):
        gram = matmul(x, x, tb=True) if wide else matmul(x, x, ta=True)
        poly = gram * b + matmul(gram, gram) * c
        x = x * a + (matmul(poly, x) if wide else matmul(x, poly))
    return x
