"""Which ops can run on a range of rows, and what of their inputs they then need.

A tensor (..., W) is seen as rows (R, W). An op whose output rows need only the same
rows of some inputs, and the whole of others, can run range by range: that is what
lets threads share a step and keeps what they hand on in cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from engine.graph.node import Node, Shape, Tensor

#: How an input is read: the same rows; all of it; row r modulo its own length.
ROW, WHOLE, CYCLE = "row", "whole", "cycle"
#: How an output comes: row by row, or summed over all rows.
SUM = "sum"

#: With fewer sequences than this, attention is shared out by heads instead.
MIN_SEQUENCES = 4


@dataclass(frozen=True)
class Rows:
    """An op seen as work on `count` rows.

    grain   rows that must stay together (a sequence, for attention)
    cycle   period of the inputs read by CYCLE, or 0
    inputs  ROW, WHOLE or CYCLE for each input
    outputs ROW or SUM for each output
    loops   may run on a few rows at a time, within what the cache holds
    """

    count: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = (ROW,)
    grain: int = 1
    cycle: int = 0
    loops: bool = True


def lead(shape: Shape) -> int:
    """Rows of a tensor: the product of all but its last extent."""
    return prod(shape[:-1])


def rows_of(node: Node) -> Rows | None:
    """How `node` runs on rows, or None if it does not."""
    rule = _RULES.get(node.op.name)
    if rule is not None:
        return rule(node)
    return _pointwise(node) if node.op.pointwise else None


def _pointwise(node: Node) -> Rows | None:
    shape = node.specs[0].shape
    if not shape:
        return None
    count = shape[0] if len(shape) == 1 else lead(shape)
    access, cycle = [], 0
    for tensor in node.inputs:
        kind = _pointwise_access(tensor.shape, shape)
        if kind is None:
            return None
        if kind == CYCLE:
            cycle = lead(tensor.shape)
        access.append(kind)
    return Rows(count, tuple(access), cycle=cycle)


def _pointwise_access(shape: Shape, out: Shape) -> str | None:
    if shape == out:
        return ROW
    if prod(shape) == 1:
        return WHOLE
    if len(out) == 1:
        return None
    if shape[-1] == out[-1] and prod(shape) == out[-1]:
        return WHOLE
    if shape == (*out[:-1], 1):
        return ROW
    if len(out) == 3 and shape in (out[1:], (1, *out[1:])):
        return CYCLE
    return None


def _row_then_whole(node: Node) -> Rows:
    whole = (WHOLE,) * (len(node.inputs) - 1)
    outputs = (ROW,) * len(node.specs)
    return Rows(lead(node.inputs[0].shape), (ROW, *whole), outputs)


def _linear(node: Node) -> Rows:
    return Rows(lead(node.inputs[0].shape), (ROW, WHOLE), loops=False)


def _norm_grad(node: Node) -> Rows:
    sums = (SUM,) * (len(node.specs) - 1)
    inputs = (ROW, WHOLE, ROW, ROW)
    return Rows(lead(node.inputs[0].shape), inputs, (ROW, *sums))


def _all_rows(node: Node) -> Rows:
    return Rows(lead(node.inputs[0].shape), (ROW,) * len(node.inputs))


def _loss(node: Node) -> Rows:
    return Rows(lead(node.inputs[0].shape), (ROW, ROW), (ROW, ROW))


def _loss_grad(node: Node) -> Rows:
    dloss = ROW if _reads_rows(node.inputs[2]) else WHOLE
    return Rows(lead(node.inputs[0].shape), (ROW, ROW, dloss))


def _reads_rows(tensor: Tensor) -> bool:
    """Whether a value a row really differs from row to row."""
    broadcast = tensor.node.op.name == "broadcast"
    return not broadcast or tensor.node.inputs[0].size != 1


def _embedding(node: Node) -> Rows:
    return Rows(prod(node.inputs[0].shape), (ROW, WHOLE))


def _rotary(node: Node) -> Rows | None:
    if len(node.inputs) > 1:
        return None
    batch, block, _ = node.specs[0].shape
    return Rows(batch * block, (ROW,), cycle=block)


def _attention(node: Node) -> Rows | None:
    batch, block, _ = node.inputs[0].shape
    if batch < MIN_SEQUENCES:
        return None
    tensors = 3 if node.op.name == "attention" else 6
    counters = (WHOLE,) * (len(node.inputs) - tensors)
    return Rows(
        batch * block,
        (ROW,) * tensors + counters,
        (ROW,) * len(node.specs),
        grain=block,
        loops=False,
    )


def _mask(node: Node) -> Rows:
    return Rows(lead(node.specs[0].shape), (WHOLE,))


def _sum(node: Node) -> Rows | None:
    shape = node.inputs[0].shape
    axes: Sequence[int] = node.attrs["axes"]
    last = len(shape) - 1
    if len(shape) < 2:
        return None
    if tuple(axes) == (last,):
        return Rows(lead(shape), (ROW,))
    if tuple(axes) == tuple(range(last)):
        return Rows(lead(shape), (ROW,), (SUM,))
    if len(axes) == len(shape):
        return Rows(prod(shape), (ROW,), (SUM,))
    return None


def _sum_squares(node: Node) -> Rows | None:
    return Rows(node.inputs[0].size, (ROW,), (SUM,))


def _concat(node: Node) -> Rows:
    return Rows(lead(node.specs[0].shape), (ROW,) * len(node.inputs))


_RULES: dict[str, Callable[[Node], Rows | None]] = {
    "linear": _linear,
    "layer_norm": _row_then_whole,
    "rms_norm": _row_then_whole,
    "layer_norm_grad": _norm_grad,
    "rms_norm_grad": _norm_grad,
    "softmax": _all_rows,
    "softmax_grad": _all_rows,
    "cross_entropy": _loss,
    "cross_entropy_grad": _loss_grad,
    "embedding": _embedding,
    "rotary": _rotary,
    "attention": _attention,
    "attention_grad": _attention,
    "dropout_mask": _mask,
    "sum": _sum,
    "sum_squares": _sum_squares,
    "concat": _concat,
}
