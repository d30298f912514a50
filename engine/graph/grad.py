"""Reverse-mode differentiation: from a graph to a larger graph.

Gradients are ordinary nodes made by each op's rule, so that they can be fused,
planned, run on any backend, and differentiated again.
Source: Griewank and Walther, "Evaluating Derivatives", 2nd ed., ch. 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.errors import GraphError
from engine.graph.node import Node, Tensor, apply, scope_as, stage, topological
from engine.graph.ops.shape import broadcast_to
from engine.graph.table import define


def gradients(
    output: Tensor, wrt: Sequence[Tensor], seed: Tensor | None = None
) -> list[Tensor]:
    """d output / d each of `wrt`, each of its tensor's shape.

    `output` is a scalar unless `seed`, a tensor of its shape, says how each of its
    elements is weighted. One of `wrt` may depend on another: both get their total
    derivative. GraphError names an op on the way that has no rule, and a tensor on
    which `output` does not depend.
    """
    if seed is None and output.shape != ():
        raise GraphError(f"gradients: output has shape {output.shape}; pass a seed")
    if seed is not None and seed.shape != output.shape:
        raise GraphError(f"gradients: seed {seed.shape}, output {output.shape}")
    with stage(1):
        return _reverse(output, wrt, seed or _one(output))


def elementwise(
    function: Callable[..., Tensor],
    *inputs: Tensor,
    slopes: Callable[..., Sequence[Tensor]] | None = None,
) -> Tensor:
    """function(*inputs), with its derivatives computed beside the value.

    For a pointwise function of inputs of one shape. The backward pass then needs one
    product an input instead of the whole chain of rules, and keeps the derivatives in
    memory instead of the inputs. Where no gradient is taken they cost nothing.
    `slopes(*inputs)` gives the derivatives where a shorter form is known than what the
    rules derive; what it shares with the value is computed once.
    """
    value = function(*inputs)
    if any(tensor.shape != value.shape for tensor in inputs):
        shapes = [tensor.shape for tensor in inputs]
        raise GraphError(f"elementwise: {shapes} give {value.shape}; broadcast first")
    if slopes is not None:
        derivatives = list(slopes(*inputs))
    else:
        ones = broadcast_to(_one(value), value.shape)
        derivatives = _reverse(value, inputs, ones, partial=True)
    return apply("chosen", value, *inputs, *derivatives)


def _one(like: Tensor) -> Tensor:
    return apply("constant", value=1.0, dtype=like.dtype)


def _reverse(
    output: Tensor, wrt: Sequence[Tensor], seed: Tensor, *, partial: bool = False
) -> list[Tensor]:
    """The sweep itself: nodes in reverse order, gradients summed as they meet.

    With `partial` it ends at `wrt`, as if none of them depended on another.
    """
    nodes = topological([output])
    wanted = {tensor.node.id for tensor in wrt}
    active: set[int] = set()
    for node in nodes:
        if node.id in wanted or any(t.node.id in active for t in node.inputs):
            active.add(node.id)
    grads: dict[Tensor, Tensor] = {output: seed}
    for node in reversed(nodes):
        incoming = [grads.get(tensor) for tensor in node.outputs()]
        reached = any(grad is not None for grad in incoming)
        beyond = any(tensor.node.id in active for tensor in node.inputs)
        if not reached or not beyond or (partial and node.id in wanted):
            continue
        for tensor, grad in zip(node.inputs, _apply_rule(node, incoming), strict=True):
            if grad is not None and tensor.node.id in active:
                before = grads.get(tensor)
                grads[tensor] = grad if before is None else before + grad
    missing = [tensor for tensor in wrt if tensor not in grads]
    if missing:
        raise GraphError(f"gradients: the output does not depend on {missing[0]}")
    return [grads[tensor] for tensor in wrt]


def _apply_rule(
    node: Node, incoming: Sequence[Tensor | None]
) -> Sequence[Tensor | None]:
    if node.op.vjp is None:
        raise GraphError(f"{node.op.name}: no gradient rule")
    with scope_as(node.scope):
        results = node.op.vjp(node, incoming)
    for tensor, grad in zip(node.inputs, results, strict=True):
        if grad is not None and grad.shape != tensor.shape:
            raise GraphError(
                f"{node.op.name}: its gradient rule gives {grad.shape} "
                f"for an input of shape {tensor.shape}"
            )
    return results


def _chosen_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (grad,) = grads
    assert grad is not None
    count = (len(node.inputs) - 1) // 2
    derivatives = node.inputs[1 + count :]
    return [None, *[grad * d for d in derivatives], *[None] * count]


#: The value of `elementwise`: its first input; then the inputs, their derivatives.
define("chosen", lambda inputs, attrs: [inputs[0].spec], _chosen_vjp)
