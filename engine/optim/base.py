"""What an optimizer is: the state it keeps, and an update made of graph operations.

An update is traced once, fused by the compiler and replayed; what changes from step to
step comes in as scalars. Knows no model, device or training loop. A third party
subclasses `Optimizer` and registers the class in `optimizers`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from engine.config import OptimConfig
from engine.graph import Tensor
from engine.graph.node import Shape
from engine.model.parameters import Parameter
from engine.registry import Registry

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Group:
    """What one update works on: a whole parameter, or a stretch of many, flat.

    decay  whether weight decay applies
    parts  widths of the matrices side by side in it (see `Parameter.parts`)
    """

    shape: Shape
    decay: bool
    parts: tuple[int, ...] = ()


class Optimizer(ABC):
    """How parameters follow from gradients.

    An optimizer that is `elementwise` treats every number alike: it is given stretches
    of the flat buffers, (N,), and its slots have the group's shape. Any other is given
    one parameter at a time, in its own shape.
    """

    elementwise: bool = True

    def __init__(self, config: OptimConfig) -> None:
        self.config = config

    def rule(self, parameter: Parameter) -> Optimizer:
        """The optimizer that updates `parameter`: this one, or one that it holds."""
        return self

    @abstractmethod
    def scalars(self, lr: float, update: int) -> dict[str, float]:
        """What changes from step to step, by name; `update` counts from 1.

        Includes what the optimizers that `rule` gives need.
        """

    @abstractmethod
    def slots(self, group: Group) -> dict[str, Shape]:
        """Names and shapes of the float32 tensors kept between steps, 0 at first."""

    @abstractmethod
    def update(
        self,
        group: Group,
        param: Tensor,
        grad: Tensor,
        slots: Mapping[str, Tensor],
        scalars: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensors]:
        """The new parameter and the new content of every slot.

        param and grad have the group's shape; grad is clipped already; `scalars` are
        tensors of shape () that will hold what `self.scalars` gives.
        """


#: name -> class (or function) from an OptimConfig to an Optimizer.
optimizers: Registry[type[Optimizer]] = Registry("optimizer")


def make_optimizer(config: OptimConfig) -> Optimizer:
    """The optimizer that `config` names; ConfigError for an unknown name."""
    return optimizers.get(config.optimizer)(config)
