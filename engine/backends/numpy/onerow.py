"""Regions of a single row, written out as straight lines: what decoding runs.

A token's row is so short that the calls cost more than the numbers. So there are no
loops, blocks or slices here, arrays are flat (NumPy is quickest on them), and
products go by whichever call reads the weight fastest. Knows nothing of larger
regions; those are `emit`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.backends.numpy.emit import Bindings, Code, ScratchView
from engine.backends.numpy.kernels import onerow, rows
from engine.backends.numpy.kernels.products import LONG_ROW
from engine.backends.numpy.memory import nbytes
from engine.backends.numpy.pointwise import emit_pointwise
from engine.backends.numpy.refs import Ref, References
from engine.backends.numpy.schedule import Region
from engine.graph.node import Node, Tensor
from engine.graph.plan import Lifetime, aligned, place

_KERNELS = {
    "vecdot": np.vecdot,
    "layer_norm_row": onerow.layer_norm,
    "rms_norm_row": onerow.rms_norm,
    "layer_norm": rows.layer_norm,
    "rms_norm": rows.rms_norm,
}


def takes(region: Region) -> bool:
    """Whether the region is one row of ops that are known here."""
    return region.count == 1 and all(
        node.op.pointwise or node.op.name in _LINES for node in region.nodes
    )


@dataclass
class RowEmitter:
    """Writes one region. `bind` names arrays outside; `name` is the function's."""

    region: Region
    refs: References
    bind: Bindings
    name: str
    lines: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def emit(self) -> Code:
        """The region as text, with what it needs from outside."""
        self._scratch: dict[Tensor, str] = {}
        self._spans: dict[Tensor, tuple[int, int]] = {}
        self._names: dict[Ref, str] = {}
        self._aliases: dict[Tensor, str] = {}
        self._head: list[str] = []
        for position, node in enumerate(self.region.nodes):
            for tensor in (*node.inputs, *node.outputs()):
                root = self.refs[tensor].root
                first, _ = self._spans.get(root, (position, position))
                self._spans[root] = (first, position)
            self._node(node)
        return self._finish()

    # -- names ------------------------------------------------------------------------

    def flat(self, tensor: Tensor) -> str:
        """Name of the tensor's elements, (W,)."""
        ref = self.refs[tensor]
        if ref.root in self._aliases:
            return self._aliases[ref.root]
        key = Ref(ref.root, (min(ref.size, ref.root.size),), ref.offset, ref.columns)
        if key not in self._names:
            self._names[key] = self.bound(self._view(tensor, key.size))
        return self._names[key]

    def _view(self, tensor: Tensor, size: int) -> str:
        ref = self.refs[tensor]
        if not self.bind.local(ref.root):
            return f"{self.bind.rows(tensor, 1)}[0]"
        own = self._scratch.setdefault(ref.root, f"s{len(self._scratch)}")
        start = ref.columns[0] if ref.columns else ref.offset
        return f"{own}[{start}:{start + size}]"

    def scalar(self, tensor: Tensor) -> str:
        """Name of a tensor of one element, 0-d."""
        if tensor.node.op.name == "constant":
            value = tensor.node.attrs["value"]
            return self.constant(np.asarray(value, tensor.dtype))
        return self.bound(f"{self.flat(tensor)}.reshape(())")

    def row(self, tensor: Tensor) -> str:
        """Name of the tensor as a row (1, W)."""
        return self.bound(f"{self.flat(tensor)}.reshape(1, -1)")

    def constant(self, value: np.ndarray[Any, Any]) -> str:
        """Name of an array that never changes; one for all that are equal."""
        for name, known in self.constants.items():
            same = (known.shape, known.dtype) == (value.shape, value.dtype)
            if same and known.tobytes() == value.tobytes():
                return name
        name = f"{self.name}_k{len(self.constants)}"
        self.constants[name] = value
        return name

    def alias(self, tensor: Tensor, expression: str) -> bool:
        """Let `expression` stand for the tensor, if only pointwise ops here read it."""
        readers = [
            (node, other)
            for node in self.region.nodes
            for other in node.inputs
            if self.refs[other].root == tensor
        ]
        plain = all(node.op.pointwise and t.size == tensor.size for node, t in readers)
        if not plain or tensor.size == 1 or not self.bind.local(tensor):
            return False
        self._aliases[tensor] = name = f"e{len(self._aliases)}"
        self.lines.append(f"{name} = {expression}")
        return True

    def bound(self, expression: str) -> str:
        """Name of a view that is made once, when the function is."""
        name = f"r{len(self._head)}"
        self._head.append(f"{name} = {expression}")
        return name

    # -- nodes ------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        if node.op.name in _LINES:
            _LINES[node.op.name](self, node)
            return
        out = node.output()
        inputs = [
            self.scalar(tensor) if self._is_scalar(tensor) else self.flat(tensor)
            for tensor in node.inputs
        ]
        self.lines += emit_pointwise(node, self.flat(out), inputs)

    def _is_scalar(self, tensor: Tensor) -> bool:
        return tensor.size == 1 or self.refs[tensor].spread

    def _finish(self) -> Code:
        arena = place(
            [Lifetime(root, nbytes(root), *self._spans[root]) for root in self._scratch]
        )
        scratch = {
            name: ScratchView(arena.offsets[root], root.dtype, (root.size,))
            for root, name in self._scratch.items()
        }
        text = [f"def make_{self.name}({', '.join(scratch)}):"]
        text += [f"    {line}" for line in self._head]
        text += [f"    def {self.name}(lo, hi):"]
        text += [f"        {line}" for line in self.lines]
        text += [f"    return {self.name}", ""]
        size = aligned(arena.size)
        outside = {**_KERNELS, **self.constants}
        return Code(self.name, "\n".join(text), [(0, 1)], size, scratch, outside)


def _linear(row: RowEmitter, node: Node) -> None:
    x, w = node.inputs
    weight, out = row.bind.whole(w), row.flat(node.output())
    if not node.attrs["transposed"]:
        row.lines.append(f"{row.flat(x)}.dot({weight}, {out})")
    elif x.size < LONG_ROW:
        row.lines.append(f"{weight}.dot({row.flat(x)}, {out})")
    else:
        row.lines.append(f"vecdot({weight}, {row.flat(x)}, {out})")


def _norm(row: RowEmitter, node: Node) -> None:
    name, groups, eps = node.op.name, node.attrs["groups"], node.attrs["eps"]
    bias = ["None"] if name == "layer_norm" and len(node.inputs) == 2 else []
    if groups > 1:
        tensors = [*node.inputs, *node.outputs()]
        arrays = [row.row(tensor) for tensor in tensors]
        arrays[len(node.inputs) : len(node.inputs)] = bias
        row.lines.append(f"{name}({', '.join(arrays)}, {groups}, {eps!r})")
        return
    inputs = [row.flat(tensor) for tensor in node.inputs]
    y, xhat, rstd = node.outputs()
    outputs = [row.flat(y), row.flat(xhat), row.scalar(rstd)]
    width = node.specs[0].size
    mean = row.constant(np.full(width, 1.0 / width, node.specs[0].dtype))
    means = [mean] if name == "layer_norm" else []
    arrays = [*inputs, *bias, *outputs, *means]
    row.lines.append(f"{name}_row({', '.join(arrays)}, {eps!r})")


def _embedding(row: RowEmitter, node: Node) -> None:
    ids, table = node.inputs
    line = f"{row.bind.whole(table)}[{row.flat(ids)}.item()]"
    if not row.alias(node.output(), line):
        row.lines.append(f"copyto({row.flat(node.output())}, {line})")


def _concat(row: RowEmitter, node: Node) -> None:
    out = row.flat(node.output())
    for tensor, column in row.refs.unplaced(node):
        part = row.bound(f"{out}[{column}:{column + tensor.shape[-1]}]")
        row.lines.append(f"copyto({part}, {row.flat(tensor)})")


_LINES: dict[str, Callable[[RowEmitter, Node], None]] = {
    "linear": _linear,
    "layer_norm": _norm,
    "rms_norm": _norm,
    "embedding": _embedding,
    "concat": _concat,
}
