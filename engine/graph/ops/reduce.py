"""Over axes: sum, maximum, softmax, and the sum of squares of whole buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply
from engine.graph.ops.shape import broadcast_to, reshape
from engine.graph.table import define


def _reduced(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (x,) = inputs
    axes = attrs["axes"]
    inside = all(0 <= axis < len(x.shape) for axis in axes)
    if not axes or not inside or len({*axes}) != len(axes):
        raise GraphError(f"sum: axes {axes} do not fit shape {x.shape}")
    kept = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    return [Spec(kept, x.dtype)]


def _softmax(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    if not inputs[0].shape or any(t.spec != inputs[0].spec for t in inputs):
        raise GraphError(f"softmax: {[tensor.spec for tensor in inputs]}")
    return [inputs[0].spec]


def _scalar(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    return [Spec((), "float64")]


def _count(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    if inputs[0].dtype != "int32":
        raise GraphError(f"count_targets: targets are {inputs[0].dtype}, not int32")
    return [Spec((), attrs["dtype"])]


def _kept(node: Node) -> tuple[int, ...]:
    axes = node.attrs["axes"]
    return tuple(1 if i in axes else n for i, n in enumerate(node.inputs[0].shape))


def _sum_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (grad,) = grads
    assert grad is not None
    return [broadcast_to(reshape(grad, _kept(node)), node.inputs[0].shape)]


def _softmax_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (grad,) = grads
    assert grad is not None
    return [apply("softmax_grad", node.output(), grad)]


def _softmax_grad_vjp(
    node: Node, grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Of dx = y (g - sum(y g)), with respect to y and g."""
    (outer,) = grads
    assert outer is not None
    y, grad = node.inputs
    last = (len(y.shape) - 1,)
    keep = (*y.shape[:-1], 1)
    inner = reshape(apply("sum", y * grad, axes=last), keep)
    mixed = reshape(apply("sum", y * outer, axes=last), keep)
    return [outer * (grad - inner) - grad * mixed, y * (outer - mixed)]


define("sum", _reduced, _sum_vjp)
define("softmax", _softmax, _softmax_vjp)
define("softmax_grad", _softmax, _softmax_grad_vjp)
define("sum_squares", _scalar)
define("count_targets", _count)


def sum_over(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Sum over `axes` (all of them if None), which disappear."""
    if x.shape == ():
        return x
    chosen = range(len(x.shape)) if axes is None else axes
    return apply("sum", x, axes=tuple(axis % len(x.shape) for axis in chosen))


def mean(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Mean over `axes` (all of them if None), which disappear."""
    total = sum_over(x, axes)
    return total * (total.size / x.size)


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum(exp(x)) over the last axis."""
    return apply("softmax", x)


def sum_squares(x: Tensor) -> Tensor:
    """Sum of the squares of every element: float64, shape (); no gradient."""
    return apply("sum_squares", x)


def count_targets(targets: Tensor, dtype: str = "float32") -> Tensor:
    """How many targets are not -1, at least 1: shape (); no gradient."""
    return apply("count_targets", targets, dtype=dtype)
