"""Reverse-mode differentiation: from a graph to a larger graph.

Gradients are ordinary nodes made by each op's rule, so that they can be fused,
planned, run on any backend, and differentiated again.
Source: Griewank and Walther, "Evaluating Derivatives", 2nd ed., ch. 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import GraphError
from engine.graph.node import Tensor, apply, scope, stage, topological


def gradients(
    output: Tensor, wrt: Sequence[Tensor], seed: Tensor | None = None
) -> list[Tensor]:
    """d output / d each of `wrt`, each of its tensor's shape.

    `output` is a scalar unless `seed`, a tensor of its shape, says how each of its
    elements is weighted. GraphError names an op on the way that has no rule, and a
    tensor on which `output` does not depend.
    """
    if seed is None and output.shape != ():
        raise GraphError(f"gradients: output has shape {output.shape}; pass a seed")
    nodes = topological([output])
    wanted = {tensor.node.id for tensor in wrt}
    active: set[int] = set()
    for node in nodes:
        if node.id in wanted or any(t.node.id in active for t in node.inputs):
            active.add(node.id)
    with stage(1):
        grads: dict[Tensor, Tensor] = {}
        grads[output] = seed or apply("constant", value=1.0, dtype=output.dtype)
        for node in reversed(nodes):
            if node.id not in active:
                continue
            incoming = [grads.get(tensor) for tensor in node.outputs()]
            if node.id in wanted or all(grad is None for grad in incoming):
                continue
            if node.op.vjp is None:
                raise GraphError(f"{node.op.name}: no gradient rule")
            with scope(node.scope):
                results = node.op.vjp(node, incoming)
                for tensor, grad in zip(node.inputs, results, strict=True):
                    if grad is None or tensor.node.id not in active:
                        continue
                    if grad.shape != tensor.shape:
                        raise GraphError(
                            f"{node.op.name}: its gradient rule gives {grad.shape} "
                            f"for an input of shape {tensor.shape}"
                        )
                    before = grads.get(tensor)
                    grads[tensor] = grad if before is None else before + grad
    missing = [tensor for tensor in wrt if tensor not in grads]
    if missing:
        raise GraphError(f"gradients: the output does not depend on {missing[0]}")
    return [grads[tensor] for tensor in wrt]
