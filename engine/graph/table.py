"""The op table: one row per operation, with its shape rule and its gradient rule.

An op is added by a row here (through `define`), a function in the NumPy backend, a
kernel in helios and a row in the tests; nothing else knows the list of ops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.graph.node import Node, Spec, Tensor
from engine.registry import Registry

ShapeRule = Callable[[Sequence[Tensor], Mapping[str, Any]], Sequence[Spec]]
GradientRule = Callable[[Node, Sequence[Tensor | None]], Sequence[Tensor | None]]
FlopRule = Callable[[Node], int]


@dataclass(frozen=True)
class Op:
    """One row.

    infer      shapes and dtypes of the outputs; raises GraphError on bad inputs
    vjp        from the node and the gradients of its outputs (None: not needed) to
               the gradients of its inputs, as new nodes; absent: no gradient exists
    pointwise  each output element needs the same element of every input
    flops      floating-point operations of a node, multiply and add counted as two
    """

    name: str
    infer: ShapeRule
    vjp: GradientRule | None = None
    pointwise: bool = False
    flops: FlopRule | None = None


ops: Registry[Op] = Registry("op")


def define(
    name: str,
    infer: ShapeRule,
    vjp: GradientRule | None = None,
    *,
    pointwise: bool = False,
    flops: FlopRule | None = None,
) -> Op:
    """Add a row to the table."""
    op = Op(name, infer, vjp, pointwise, flops)
    ops.register(name)(op)
    return op


def node_flops(node: Node) -> int:
    """Floating-point operations of one node by its row; 1 an element if silent."""
    if node.op.flops is not None:
        return node.op.flops(node)
    return sum(spec.size for spec in node.specs) if node.op.pointwise else 0
