"""The calls of row kernels, as text: which arrays each op hands to its kernel.

An op that runs on rows has a line here and a function in `kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.backends.numpy.kernels.attention import AttentionShape
from engine.backends.numpy.kernels.rows import rotary_tables
from engine.backends.numpy.rows import ROW
from engine.graph.node import Node

if TYPE_CHECKING:
    from engine.backends.numpy.loops import LoopBody

#: Ops that apply row vectors (gain, bias) as pointwise ops do.
NORMS = ("layer_norm", "layer_norm_grad", "rms_norm", "rms_norm_grad")


@dataclass(frozen=True)
class Call:
    """One op in a loop's body: expressions of its arrays, and a source of scratch.

    scratch  width -> expression of a working array (rows of the block, width)
    """

    node: Node
    body: LoopBody
    inputs: list[str]
    outputs: list[str]
    scratch: Callable[[int], str]

    @property
    def attrs(self) -> Any:
        return self.node.attrs


def emit_call(call: Call) -> list[str]:
    """The lines that run the op's kernel."""
    return _LINES[call.node.op.name](call)


def _norm(call: Call) -> list[str]:
    name, attrs = call.node.op.name, call.attrs
    bias = ["None"] if name == "layer_norm" and len(call.inputs) == 2 else []
    tail = [str(attrs["groups"]), repr(attrs["eps"])]
    return [f"{name}({', '.join([*call.inputs, *bias, *call.outputs, *tail])})"]


def _norm_grad(call: Call) -> list[str]:
    dx, *sums = call.outputs
    sums = sums if len(sums) == 2 else [*sums, "None"]
    groups = call.attrs["groups"]
    width = call.node.specs[0].shape[-1]
    work = [call.scratch(width), call.scratch(groups)]
    args = [*call.inputs, dx, *sums, *work, str(groups)]
    centred = call.node.op.name == "layer_norm_grad"
    return [f"layer_norm_grad({', '.join(args)}, centred={centred})"]


def _plain(columns: int) -> Callable[[Call], list[str]]:
    """A kernel of inputs, outputs and `columns` working columns."""

    def lines(call: Call) -> list[str]:
        work = [call.scratch(1) for _ in range(columns)]
        args = [*call.inputs, *call.outputs, *work]
        return [f"{call.node.op.name}({', '.join(args)})"]

    return lines


def _dropout_mask(call: Call) -> list[str]:
    keep, salt = call.attrs["keep"], call.attrs["salt"]
    counter, out = call.inputs[0], call.outputs[0]
    return [f"dropout_mask({counter}, {out}, lo + i, {keep}, {salt})"]


def _rotary(call: Call) -> list[str]:
    _, block, width = call.node.specs[0].shape
    attrs, dtype = call.attrs, call.node.specs[0].dtype
    size = width // attrs["heads"]
    tables = _tables(block, size, attrs["theta"], attrs["inverse"], dtype)
    cos, sin = (call.body.cycled(call.body.emitter.constant(table)) for table in tables)
    work = call.scratch(width // 2)
    return [f"rotary({call.inputs[0]}, {cos}, {sin}, {call.outputs[0]}, {work})"]


@cache
def _tables(block: int, size: int, theta: float, inverse: bool, dtype: str) -> Any:
    """Rotary tables of positions 0 .. block, one pair for all layers."""
    return rotary_tables(np.arange(block), size, theta, inverse, dtype)


def _concat(call: Call) -> list[str]:
    out, body = call.outputs[0], call.body
    return [
        f"copyto({out}[:, {column}:{column + tensor.shape[-1]}], "
        f"{body.operand(tensor, ROW)})"
        for tensor, column in body.emitter.refs.unplaced(call.node)
    ]


def _sum_squares(call: Call) -> list[str]:
    flat = f"{call.inputs[0]}.reshape(-1)"
    return [f"{call.outputs[0]}[0] += dot({flat}, {flat})"]


def _sum(call: Call) -> list[str]:
    x, out = call.inputs[0], call.outputs[0]
    shape = call.node.inputs[0].shape
    if tuple(call.attrs["axes"]) == (len(shape) - 1,):
        return [f"row_sums({x}, {out})"]
    work = call.scratch(shape[-1] if call.node.specs[0].shape else 1)
    return [f"add_reduce({x}, 0, None, {work}[0])", f"add({out}, {work}[0], {out})"]


_LINES: dict[str, Callable[[Call], list[str]]] = {
    "layer_norm": _norm,
    "rms_norm": _norm,
    "layer_norm_grad": _norm_grad,
    "rms_norm_grad": _norm_grad,
    "softmax": _plain(1),
    "softmax_grad": _plain(1),
    "cross_entropy": _plain(2),
    "cross_entropy_grad": _plain(0),
    "embedding": _plain(0),
    "dropout_mask": _dropout_mask,
    "rotary": _rotary,
    "concat": _concat,
    "sum_squares": _sum_squares,
    "sum": _sum,
}


def attention_shape(node: Node) -> AttentionShape:
    """The shape constants of an attention node or of its gradient."""
    attrs = node.attrs
    _, block, width = node.inputs[0].shape
    return AttentionShape(
        block,
        attrs["heads"],
        attrs["kv_heads"],
        width // attrs["heads"],
        attrs["softcap"],
        attrs.get("keep", 256),
        attrs.get("salt", 0),
    )
