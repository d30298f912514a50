"""Regions written out as Python: a function that runs rows lo .. hi of a region.

Within it, matrix products and attention run on the whole range; everything else runs
in loops over a few rows at a time (`loops`). The text is kept (`Program.source`) so
that what runs can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.backends.numpy.calls import attention_shape
from engine.backends.numpy.kernels import products
from engine.backends.numpy.kernels.attention import causal_mask
from engine.backends.numpy.loops import LoopBody, Segment, Slot, block_rows
from engine.backends.numpy.ranges import known_rows, range_rows
from engine.backends.numpy.refs import Ref, References
from engine.backends.numpy.schedule import Region
from engine.graph.node import Node, Tensor
from engine.graph.plan import Lifetime, aligned, place


@dataclass(frozen=True)
class ScratchView:
    """An array in a thread's own memory: from byte `offset` on, maybe some columns."""

    offset: int
    dtype: str
    shape: tuple[int, ...]
    columns: tuple[int, int] | None = None


@dataclass
class Code:
    """A region's function as text, and what it needs from outside.

    name        of the function that `make_NAME` returns for one thread's scratch
    ranges      (lo, hi) of each task
    scratch     arguments of `make_NAME`, in order
    constants   further names the text uses
    """

    name: str
    source: str
    ranges: list[tuple[int, int]]
    scratch_bytes: int
    scratch: dict[str, ScratchView]
    constants: dict[str, Any]


@dataclass
class Bindings:
    """How the emitter names memory it does not own. Filled by the lowering."""

    rows: Callable[[Tensor, int], str]
    whole: Callable[[Tensor], str]
    partial: Callable[[Tensor], str]
    local: Callable[[Tensor], bool]


@dataclass
class RegionEmitter:
    """Writes one region. `bind` names arrays outside; `name` is the function's."""

    region: Region
    refs: References
    bind: Bindings
    name: str
    lines: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def emit(self) -> Code:
        region = self.region
        self.step = range_rows(region)
        self.ragged = region.count % self.step != 0
        self.segments = self._segments()
        self._find_uses()
        self._scratch_names: dict[Tensor, str] = {}
        self._scratch_views: dict[str, tuple[Tensor, tuple[int, int] | None]] = {}
        self.row_names: dict[Ref, str] = {}
        self._work: list[tuple[str, int, str, int]] = []
        self._slots: list[tuple[int, Slot]] = []
        self.head: list[str] = []
        for index, segment in enumerate(self.segments):
            if segment.loop:
                self._loop(index, segment)
            else:
                self._call(index, segment.nodes[0])
        return self._finish()

    # -- analysis ---------------------------------------------------------------

    def _segments(self) -> list[Segment]:
        segments: list[Segment] = []
        for node in self.region.nodes:
            loop = known_rows(node).loops
            if loop and segments and segments[-1].loop:
                segments[-1].nodes.append(node)
            else:
                segments.append(Segment([node], loop))
        return segments

    def _find_uses(self) -> None:
        """In which segments each root made here is written and read."""
        self.spans: dict[Tensor, tuple[int, int]] = {}
        for index, segment in enumerate(self.segments):
            for node in segment.nodes:
                for tensor in (*node.outputs(), *node.inputs):
                    root = self.refs[tensor].root
                    if self.bind.local(root):
                        first, _ = self.spans.get(root, (index, index))
                        self.spans[root] = (first, index)

    def is_temp(self, tensor: Tensor) -> bool:
        """Whether the tensor lives within a single pass through one loop."""
        ref = self.refs[tensor]
        first, last = self.spans.get(ref.root, (0, -1))
        return (
            self.bind.local(ref.root)
            and first == last
            and self.segments[first].loop
            and ref.columns is None
            and not any(
                self.refs[t].columns is not None
                for node in self.segments[first].nodes
                for t in (*node.inputs, *node.outputs())
                if self.refs[t].root == ref.root
            )
        )

    # -- names ------------------------------------------------------------------

    def row_name(self, tensor: Tensor) -> str:
        """Name of the tensor's rows lo .. hi, bound at the function's head."""
        ref = self.refs[tensor]
        if ref.spread:
            return self.bind.rows(tensor, self.region.count)
        key = Ref(ref.root, (ref.size,), ref.offset, ref.columns)
        if key in self.row_names:
            return self.row_names[key]
        if self.bind.local(ref.root):
            name = f"s{len(self._scratch_views)}"
            self._scratch_views[name] = (ref.root, ref.columns)
            if self.ragged:
                self.head.append(f"{name} = {name}_[:n]")
        else:
            name = f"r{len(self.row_names)}"
            self.head.append(
                f"{name} = {self.bind.rows(tensor, self.region.count)}[lo:hi]"
            )
        self.row_names[key] = name
        return name

    def constant(self, value: Any) -> str:
        for name, known in self.constants.items():
            if known is value:
                return name
        name = f"{self.name}_k{len(self.constants)}"
        self.constants[name] = value
        return name

    def _number(self, tensor: Tensor) -> str:
        value = np.asarray(tensor.node.attrs["value"], tensor.dtype)
        for name, known in self.constants.items():
            if (
                isinstance(known, np.ndarray)
                and known.shape == ()
                and known.dtype == value.dtype
                and known.tobytes() == value.tobytes()
            ):
                return name
        return self.constant(value)

    def outside(self, tensor: Tensor) -> str:
        if tensor.node.op.name == "constant":
            return self._number(tensor)
        return self.bind.whole(tensor)

    def _work_array(self, index: int, elements: int, dtype: str) -> str:
        """Flat scratch for one call in segment `index`."""
        name = f"work{len(self._work)}"
        self._work.append((name, elements, dtype, index))
        return name

    # -- whole ranges ------------------------------------------------------------

    def _call(self, index: int, node: Node) -> None:
        outputs = [self.row_name(tensor) for tensor in node.outputs()]
        if node.op.name == "linear":
            self._linear(index, node, outputs[0])
            return
        shape = attention_shape(node)
        count = 3 if node.op.name == "attention" else 6
        rows = [self.row_name(tensor) for tensor in node.inputs[:count]]
        mask = self.constant(causal_mask(shape.queries, node.inputs[0].dtype))
        tile = self.constant(shape)
        elements = shape.work
        work = self._work_array(index, elements, node.inputs[0].dtype)
        tail = ""
        if len(node.inputs) > count:
            counter = self.bind.whole(node.inputs[count])
            tail = f", {counter}, lo // {shape.block}"
        args = ", ".join([*rows, *outputs, tile, mask, work])
        self.lines.append(f"{node.op.name}({args}{tail})")

    def _linear(self, index: int, node: Node, out: str) -> None:
        x, weight = self.row_name(node.inputs[0]), self.bind.whole(node.inputs[1])
        width = node.inputs[0].shape[-1]
        if not node.attrs["transposed"]:
            self.lines.append(f"matmul({x}, {weight}, {out})")
        elif self.step <= products.ONE_BY_ONE and width >= products.LONG_ROW:
            self.lines.append(f"product_one_by_one({x}, {weight}, {out})")
        elif self.step <= products.TURNED:
            elements = self.step * node.specs[0].shape[-1]
            work = self._work_array(index, elements, node.specs[0].dtype)
            self.lines.append(f"product_turned({x}, {weight}, {out}, {work})")
        else:
            self.lines.append(f"matmul({x}, {weight}.T, {out})")

    # -- loops -------------------------------------------------------------------

    def _loop(self, index: int, segment: Segment) -> None:
        block, cycle = block_rows(segment.nodes, self.region.count, self.step)
        body = LoopBody(self, index, segment.nodes, block, cycle)
        lines = body.emit()
        self.lines += body.before
        if block >= self.step and not self.ragged:
            self.lines += [f"i, j = 0, {self.step}", *lines]
        else:
            ragged = self.ragged or self.step % block
            stop = f"min(i + {block}, n)" if ragged else f"i + {block}"
            self.lines.append(f"for i in range(0, n, {block}):")
            self.lines += [f"    {line}" for line in [f"j = {stop}", *lines]]
        self._slots += [(index, slot) for slot in body.slots]

    # -- putting together ----------------------------------------------------------

    def _finish(self) -> Code:
        scratch, size = self._lay_out()
        params = ", ".join(self._parameter(name) for name in scratch)
        text = [f"def make_{self.name}({params}):", f"    def {self.name}(lo, hi):"]
        text.append("        n = hi - lo")
        text += [f"        {line}" for line in (*self.head, *self.lines)]
        text.append(f"    return {self.name}")
        count, step = self.region.count, self.step
        ranges = [(lo, min(lo + step, count)) for lo in range(0, count, step)]
        text_ = "\n".join(text) + "\n"
        return Code(self.name, text_, ranges, size, scratch, self.constants)

    def _parameter(self, name: str) -> str:
        ragged = self.ragged and name in self._scratch_views
        return f"{name}_" if ragged else name

    def _lay_out(self) -> tuple[dict[str, ScratchView], int]:
        """Offsets of everything in a thread's scratch memory."""
        lifetimes = []
        roots = {root for root, _ in self._scratch_views.values()}
        for root in sorted(roots, key=lambda t: (t.node.id, t.index)):
            width = root.size // self.region.count
            size = self.step * width * np.dtype(root.dtype).itemsize
            lifetimes.append(Lifetime(root, size, *self.spans[root]))
        for index, slot in self._slots:
            size = slot.rows * slot.width * np.dtype(slot.dtype).itemsize
            lifetimes.append(Lifetime(slot.name, size, index, index))
        for name, elements, dtype, index in self._work:
            size = elements * np.dtype(dtype).itemsize
            lifetimes.append(Lifetime(name, size, index, index))
        arena = place(lifetimes)
        table: dict[str, ScratchView] = {}
        for name, (root, columns) in self._scratch_views.items():
            shape = (self.step, root.size // self.region.count)
            offset = arena.offsets[root]
            table[name] = ScratchView(offset, root.dtype, shape, columns)
        for _, slot in self._slots:
            shape = (slot.rows, slot.width)
            offset = arena.offsets[slot.name]
            table[slot.name] = ScratchView(offset, slot.dtype, shape)
        for name, elements, dtype, _ in self._work:
            table[name] = ScratchView(arena.offsets[name], dtype, (elements,))
        return table, aligned(arena.size)
