"""Tasks for ops that run by themselves: one call each, or several independent ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.calls import attention_shape
from engine.backends.numpy.crew import Task
from engine.backends.numpy.kernels import attention as attention_kernels
from engine.backends.numpy.kernels import cached, rows, whole
from engine.backends.numpy.kernels.attention import AttentionShape
from engine.backends.numpy.pointwise import emit_pointwise
from engine.errors import GraphError
from engine.graph.node import Node

Array = NDArray[Any]

#: Columns of a weight gradient that one task computes, at least.
TILE_COLUMNS = 512
#: Tasks that one weight gradient is cut into, at most.
MAX_TILES = 8


@dataclass
class Context:
    """What a single op may use: its arrays, thread scratch, and how to deliver.

    accumulate  whether this run adds to what the target holds (for `direct` outputs)
    scratch     thread -> flat uint8 memory of `scratch_bytes(node)` at least
    """

    inputs: Sequence[Array]
    outputs: Sequence[Array]
    accumulate: Callable[[], bool]
    scratch: Callable[[int], Array]


def scratch_bytes(node: Node) -> int:
    """Thread memory a node's tasks need."""
    item = np.dtype(node.specs[0].dtype).itemsize
    name = node.op.name
    if name == "weight_grad":
        _, tile = _tiles(*node.specs[0].shape)
        return node.specs[0].shape[0] * tile * item
    if name == "embedding_grad":
        return 2 * node.inputs[1].size * item
    if name in ("attention", "attention_grad"):
        shape = attention_shape(node)
        return shape.work * item
    if name == "attention_cached":
        shape = attention_shape(node)
        span = node.inputs[1].shape[1] + shape.size + 1
        return shape.heads * shape.block * span * item
    if name == "rotary":
        return prod(node.specs[0].shape[1:]) // 2 * item
    if name in ("softmax_grad", "softmax"):
        return prod(node.specs[0].shape[:-1]) * item
    return 0


def runs_alone(node: Node) -> bool:
    """Whether the node can be a task on whole tensors, whatever their strides."""
    return node.op.pointwise or node.op.name in _BUILDERS


def tasks(node: Node, context: Context) -> list[Task]:
    """The tasks that compute `node`; they may run at the same time."""
    build = _BUILDERS.get(node.op.name)
    if build is not None:
        return build(node, context)
    if node.op.pointwise:
        return [_pointwise(node, context)]
    raise GraphError(f"{node.op.name}: the numpy backend has no kernel for it")


def _pointwise(node: Node, context: Context) -> Task:
    names = ["a", "b", "c"][: len(context.inputs)]
    lines = emit_pointwise(node, "o", names)
    text = f"def run({', '.join(['o', *names])}):\n" + "".join(
        f"    {line}\n" for line in lines
    )
    space: dict[str, Any] = {name: getattr(np, name) for name in np.__all__}
    exec(compile(text, f"<{node.op.name}>", "exec"), space)
    run, out, inputs = space["run"], context.outputs[0], context.inputs
    return lambda thread: run(out, *inputs)


def _tiles(rows_: int, columns: int) -> tuple[int, int]:
    """(number, width) of the column tiles of a weight gradient."""
    count = min(MAX_TILES, max(1, columns // TILE_COLUMNS))
    return count, -(-columns // count)


def _weight_grad(node: Node, context: Context) -> list[Task]:
    x, dy = context.inputs
    x2, dy2 = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    out = context.outputs[0]
    _, width = _tiles(*out.shape)

    def tile(start: int) -> Task:
        part, right = out[:, start : start + width], dy2[:, start : start + width]

        def run(thread: int) -> None:
            if not context.accumulate():
                np.matmul(x2.T, right, part)
                return
            flat = context.scratch(thread).view(out.dtype)
            work = flat[: part.size].reshape(part.shape)
            np.matmul(x2.T, right, work)
            np.add(part, work, part)

        return run

    return [tile(start) for start in range(0, out.shape[1], width)]


def _embedding_grad(node: Node, context: Context) -> list[Task]:
    ids, dy = context.inputs
    flat, dy2 = ids.reshape(-1), dy.reshape(-1, dy.shape[-1])
    out = context.outputs[0]

    def run(thread: int) -> None:
        memory = context.scratch(thread).view(dy.dtype)[: 2 * dy2.size]
        work = memory.reshape(2, *dy2.shape)
        whole.embedding_grad(flat, dy2, out, work, add=context.accumulate())

    return [run]


def _attention(node: Node, context: Context) -> list[Task]:
    """One task a sequence; heads of one sequence are not shared out."""
    shape = attention_shape(node)
    count = 3 if node.op.name == "attention" else 6
    kernel = getattr(attention_kernels, node.op.name)
    mask = attention_kernels.causal_mask(shape.queries, node.specs[0].dtype)
    counter = list(context.inputs[count:])
    arrays = [*context.inputs[:count], *context.outputs]

    def sequence(index: int) -> Task:
        parts = [array[index] for array in arrays]

        def run(thread: int) -> None:
            work = context.scratch(thread).view(parts[0].dtype)
            tail = [*counter, index] if counter else []
            kernel(*parts, shape, mask, work, *tail)

        return run

    return [sequence(index) for index in range(node.inputs[0].shape[0])]


def _attention_cached(node: Node, context: Context) -> list[Task]:
    """A single new row each: one task a sequence; more: all sequences in one."""
    q, keys, values, starts = context.inputs
    out, shape = context.outputs[0], attention_shape(node)
    if shape.block == 1:
        return [_row_attention(i, context, shape) for i in range(len(q))]
    attend = cached.CachedAttention(q, keys, values, out, shape)

    def run(thread: int) -> None:
        attend(starts.tolist(), context.scratch(thread).view(q.dtype))

    return [run]


def _row_attention(index: int, context: Context, shape: AttentionShape) -> Task:
    q, keys, values, starts = context.inputs
    arrays = q[index, 0], keys[index], values[index], context.outputs[0][index, 0]
    attend, start = cached.RowAttention(*arrays, shape), starts[index : index + 1]
    return lambda thread: attend(start.item(), context.scratch(thread).view(q.dtype))


def _cache_write(node: Node, context: Context) -> list[Task]:
    cache, new, starts = context.inputs
    out = context.outputs[0]
    copies = out.ctypes.data != cache.ctypes.data
    if not copies and new.shape[:2] == (1, 1):
        line, row = out[0], new[0, 0]
        return _one(lambda: line.__setitem__(starts.item(), row))
    write = cached.CacheWrite(out, new)

    def run(thread: int) -> None:
        if copies:
            np.copyto(out, cache)
        write(starts.tolist())

    return [run]


def _rotary(node: Node, context: Context) -> list[Task]:
    x, out = context.inputs[0], context.outputs[0]
    starts = context.inputs[1] if len(context.inputs) > 1 else np.zeros(len(x), "i4")
    attrs = node.attrs
    size, dtype = x.shape[-1] // attrs["heads"], node.specs[0].dtype
    tables = _rotary_tables(size, attrs["theta"], attrs["inverse"], dtype)

    def run(thread: int) -> None:
        work = context.scratch(thread).view(dtype)[: x[0].size // 2]
        whole.rotary_at(x, starts, out, tables, work.reshape(x.shape[1], -1))

    return [run]


@cache
def _rotary_tables(
    size: int, theta: float, inverse: bool, dtype: str
) -> whole.RotaryTables:
    """One pair of tables for all layers and programs."""
    return whole.RotaryTables(size, theta, inverse, dtype)


def _matmul(node: Node, context: Context) -> list[Task]:
    a, b = context.inputs
    left = a.swapaxes(-1, -2) if node.attrs["ta"] else a
    right = b.swapaxes(-1, -2) if node.attrs["tb"] else b
    return _one(np.matmul, left, right, context.outputs[0])


def _linear(node: Node, context: Context) -> list[Task]:
    x, w = context.inputs
    return _one(
        np.matmul, x, w.T if node.attrs["transposed"] else w, context.outputs[0]
    )


def _pad_rows(node: Node, context: Context) -> list[Task]:
    (x,), (out,) = context.inputs, context.outputs
    start = node.attrs["start"]

    def run(thread: int) -> None:
        out.fill(0)
        out[start : start + len(x)] = x

    return [run]


def _split(node: Node, context: Context) -> list[Task]:
    bounds = np.cumsum((0, *node.attrs["sizes"]))
    x = context.inputs[0]
    return [
        _one(np.copyto, out, x[..., start:stop])[0]
        for out, start, stop in zip(
            context.outputs, bounds[:-1], bounds[1:], strict=True
        )
    ]


def _concat(node: Node, context: Context) -> list[Task]:
    out = context.outputs[0]
    bounds = np.cumsum([0, *(array.shape[-1] for array in context.inputs)])
    return [
        _one(np.copyto, out[..., start:stop], x)[0]
        for x, start, stop in zip(context.inputs, bounds[:-1], bounds[1:], strict=True)
    ]


def _softmax(node: Node, context: Context) -> list[Task]:
    arrays = [*context.inputs, context.outputs[0]]
    kernel = rows.softmax if node.op.name == "softmax" else rows.softmax_grad
    column = np.empty((*node.specs[0].shape[:-1], 1), node.specs[0].dtype)
    return _one(kernel, *arrays, column)


def _sum(node: Node, context: Context) -> list[Task]:
    (x,), (out,) = context.inputs, context.outputs
    return _one(np.add.reduce, x, tuple(node.attrs["axes"]), None, out)


def _one(function: Callable[..., Any], *args: Any) -> list[Task]:
    """A single task that calls `function`."""
    return [lambda thread: function(*args)]


_BUILDERS: dict[str, Callable[[Node, Context], list[Task]]] = {
    "weight_grad": _weight_grad,
    "embedding_grad": _embedding_grad,
    "attention": _attention,
    "attention_grad": _attention,
    "attention_cached": _attention_cached,
    "cache_write": _cache_write,
    "rotary": _rotary,
    "matmul": _matmul,
    "linear": _linear,
    "pad_rows": _pad_rows,
    "split": _split,
    "concat": _concat,
    "softmax": _softmax,
    "softmax_grad": _softmax,
    "sum": _sum,
    "transpose": lambda n, c: _one(
        np.copyto, c.outputs[0], c.inputs[0].transpose(n.attrs["axes"])
    ),
    "reshape": lambda n, c: _one(
        lambda out, x: np.copyto(out, x.reshape(out.shape)), c.outputs[0], c.inputs[0]
    ),
    "broadcast": lambda n, c: _one(np.copyto, c.outputs[0], c.inputs[0]),
    "rows": lambda n, c: _one(
        np.copyto, c.outputs[0], c.inputs[0][n.attrs["start"] : n.attrs["stop"]]
    ),
    "count_targets": lambda n, c: _one(whole.count_targets, c.inputs[0], c.outputs[0]),
}
