"""Same numbers, another shape: reshape, transpose, broadcast, split, concatenate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Shape, Spec, Tensor, apply, apply_node
from engine.graph.node import broadcast_shapes as _broadcast
from engine.graph.table import define


def _reshape(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (x,) = inputs
    shape = tuple(attrs["shape"])
    if prod(shape) != x.size:
        raise GraphError(f"reshape: {x.shape} does not hold {shape}")
    return [Spec(shape, x.dtype)]


def _transpose(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (x,) = inputs
    axes = attrs["axes"]
    if sorted(axes) != list(range(len(x.shape))):
        raise GraphError(f"transpose: axes {axes} do not fit shape {x.shape}")
    return [Spec(tuple(x.shape[axis] for axis in axes), x.dtype)]


def _broadcast_to(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (x,) = inputs
    shape = tuple(attrs["shape"])
    if _broadcast(x.shape, shape, "broadcast") != shape:
        raise GraphError(f"broadcast: {x.shape} does not broadcast to {shape}")
    return [Spec(shape, x.dtype)]


def _split(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (x,) = inputs
    sizes = attrs["sizes"]
    if x.shape[-1:] != (sum(sizes),):
        raise GraphError(f"split: {sizes} do not add up to the last of {x.shape}")
    return [Spec((*x.shape[:-1], size), x.dtype) for size in sizes]


def _concat(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    lead = {tensor.shape[:-1] for tensor in inputs}
    dtypes = {tensor.dtype for tensor in inputs}
    if len(lead) != 1 or len(dtypes) != 1 or not all(t.shape for t in inputs):
        shapes = [f"{tensor.shape} {tensor.dtype}" for tensor in inputs]
        raise GraphError(f"concat: {', '.join(shapes)} differ before their last axis")
    width = sum(tensor.shape[-1] for tensor in inputs)
    return [Spec((*inputs[0].shape[:-1], width), inputs[0].dtype)]


def _slice(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (x,) = inputs
    start, stop = attrs["start"], attrs["stop"]
    if not x.shape or not 0 <= start < stop <= x.shape[0]:
        raise GraphError(f"rows: [{start}, {stop}) is not within {x.shape}")
    return [Spec((stop - start, *x.shape[1:]), x.dtype)]


def _pad(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (x,) = inputs
    start, total = attrs["start"], attrs["total"]
    if not x.shape or not 0 <= start <= total - x.shape[0]:
        raise GraphError(f"pad_rows: {x.shape} at {start} of {total} rows")
    return [Spec((total, *x.shape[1:]), x.dtype)]


def _only(grads: Sequence[Tensor | None]) -> Tensor:
    (grad,) = grads
    assert grad is not None
    return grad


def _transpose_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    axes = node.attrs["axes"]
    back = tuple(axes.index(i) for i in range(len(axes)))
    return [transpose(_only(grads), back)]


def _split_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    parts = [
        zeros(spec.shape, spec.dtype) if grad is None else grad
        for grad, spec in zip(grads, node.specs, strict=True)
    ]
    return [concat(parts)]


def _concat_vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    sizes = [tensor.shape[-1] for tensor in node.inputs]
    return list(split(_only(grads), sizes))


define(
    "reshape",
    _reshape,
    lambda n, g: [reshape(_only(g), n.inputs[0].shape)],
)
define("transpose", _transpose, _transpose_vjp)
define(
    "broadcast",
    _broadcast_to,
    lambda n, g: [sum_to(_only(g), n.inputs[0].shape)],
)
define("split", _split, _split_vjp)
define("concat", _concat, _concat_vjp)
define(
    "rows",
    _slice,
    lambda n, g: [
        apply(
            "pad_rows",
            _only(g),
            start=n.attrs["start"],
            total=n.inputs[0].shape[0],
        )
    ],
)
define(
    "pad_rows",
    _pad,
    lambda n, g: [
        rows(_only(g), n.attrs["start"], n.attrs["start"] + n.inputs[0].shape[0])
    ],
)


def reshape(x: Tensor, shape: Shape) -> Tensor:
    """The same elements in the same order under another shape."""
    return x if x.shape == tuple(shape) else apply("reshape", x, shape=tuple(shape))


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Axis i of the result is axis `axes[i]` of x."""
    return apply("transpose", x, axes=tuple(axes))


def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """x repeated along its missing and length-one axes."""
    return x if x.shape == tuple(shape) else apply("broadcast", x, shape=tuple(shape))


def split(x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """x cut along its last axis into parts of the given widths."""
    return apply_node("split", x, sizes=tuple(sizes)).outputs()


def concat(parts: Sequence[Tensor]) -> Tensor:
    """The parts side by side along their last axis."""
    return apply("concat", *parts)


def rows(x: Tensor, start: int, stop: int) -> Tensor:
    """x[start:stop] along the first axis."""
    return apply("rows", x, start=start, stop=stop)


def zeros(shape: Shape, dtype: str = "float32") -> Tensor:
    """A tensor of zeros."""
    return broadcast_to(apply("constant", value=0.0, dtype=dtype), shape)


def sum_to(x: Tensor, shape: Shape) -> Tensor:
    """x summed over the axes along which `shape` would broadcast to it."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    axes = list(range(lead))
    axes += [
        lead + i
        for i, extent in enumerate(shape)
        if extent == 1 and x.shape[lead + i] != 1
    ]
    total = apply("sum", x, axes=tuple(axes)) if axes else x
    return reshape(total, shape)
