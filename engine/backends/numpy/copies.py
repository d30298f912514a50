"""Copies of tensors that an op cannot read where they lie.

Most views are read in place. A kernel that works on rows cannot take one element for
a whole shape, nor columns of a wider array as if they were rows of their own; such an
input is copied first.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.backends.numpy import singles
from engine.backends.numpy.refs import References
from engine.backends.numpy.rows import ROW, rows_of
from engine.graph.node import Node, Tensor, apply, topological
from engine.graph.passes.rewrite import rebuild, scope_of, with_inputs

#: Inputs that may be one element for a whole shape: NumPy's broadcasting reads them.
_SPREAD_READERS = {("cross_entropy_grad", 2)}


def readable(tensors: Sequence[Tensor]) -> list[Tensor]:
    """`tensors` over a graph in which every op can read its inputs as they lie."""
    refs = References(topological(tensors), set())

    def replace(node: Node, inputs: tuple[Tensor, ...]) -> Sequence[Tensor]:
        with scope_of(node):
            inputs = tuple(
                tensor if _reads(node, index, refs) else copied(tensor)
                for index, tensor in enumerate(inputs)
            )
        return with_inputs(node, inputs).outputs()

    return rebuild(tensors, replace)


def copied(tensor: Tensor) -> Tensor:
    """The same values in memory of their own."""
    return apply("add", tensor, apply("constant", value=0.0, dtype=tensor.dtype))


def _reads(node: Node, index: int, refs: References) -> bool:
    rows = rows_of(node)
    if rows is None or node.op.pointwise or node.op.name == "concat":
        return True
    ref = refs[node.inputs[index]]
    if ref.spread:
        return (node.op.name, index) in _SPREAD_READERS
    fits = rows.inputs[index] != ROW or ref.fits_rows(rows.count)
    return fits or singles.runs_alone(node)
