"""Common subexpressions, neutral elements, constants, needless copies.

Every rule keeps the values bit for bit, except that constants are folded in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.graph.node import Node, Tensor, apply, broadcast_shapes, constant_value
from engine.graph.ops.shape import reshape
from engine.graph.passes.rewrite import rebuild, scope_of, with_inputs

_FOLD: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b if b else float("nan"),
}


def simplify(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The same values from fewer nodes."""
    seen: dict[Any, Node] = {}

    def replace(node: Node, inputs: tuple[Tensor, ...]) -> Sequence[Tensor]:
        if node.op.name == "chosen":
            return [inputs[0]]
        if node.op.pointwise:
            inputs = tuple(_through_broadcast(node, inputs))
        short = _shorter(node, inputs)
        if short is not None:
            return [short]
        key = (node.op.name, inputs, tuple(sorted(node.attrs.items())))
        if key not in seen:
            seen[key] = with_inputs(node, inputs)
        return seen[key].outputs()

    return rebuild(outputs, replace)


def _through_broadcast(node: Node, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Pointwise ops broadcast by themselves, as long as the shape stays."""
    chosen = list(inputs)
    for index, tensor in enumerate(inputs):
        if tensor.node.op.name != "broadcast":
            continue
        inner = tensor.node.inputs[0]
        others = [t.shape for i, t in enumerate(chosen) if i != index]
        shape = inner.shape
        for other in others:
            shape = broadcast_shapes(shape, other, node.op.name)
        if shape == node.specs[0].shape:
            chosen[index] = inner
    return chosen


def _shorter(node: Node, inputs: tuple[Tensor, ...]) -> Tensor | None:
    """A tensor already there, or a constant, that equals the node's output."""
    name, spec = node.op.name, node.specs[0]
    if name in ("reshape", "broadcast") and inputs[0].shape == spec.shape:
        return inputs[0]
    if name == "reshape" and inputs[0].node.op.name == "reshape":
        with scope_of(node):
            return reshape(inputs[0].node.inputs[0], spec.shape)
    if name == "linear" and inputs[1].node.op.name == "transpose":
        x, weight = inputs[0], inputs[1].node.inputs[0]
        with scope_of(node):
            flip = not node.attrs["transposed"]
            return apply("linear", x, weight, transposed=flip)
    if len(inputs) != 2 or name not in _FOLD:
        return None
    a, b = (constant_value(tensor) for tensor in inputs)
    if a is not None and b is not None:
        with scope_of(node):
            value = _FOLD[name](a, b)
            return apply("constant", value=value, dtype=spec.dtype)
    neutral = 1.0 if name in ("mul", "div") else 0.0
    if b == neutral and inputs[0].shape == spec.shape:
        return inputs[0]
    if a == neutral and name in ("add", "mul") and inputs[1].shape == spec.shape:
        return inputs[1]
    return None
