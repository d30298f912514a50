"""The bodies of loops: ops on a few rows at a time, while the values are in cache.

Values that live within one pass are held in working arrays, which are used again as
soon as their value has been read for the last time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

from engine.backends.numpy.calls import NORMS, Call, emit_call
from engine.backends.numpy.pointwise import emit_pointwise, may_overwrite
from engine.backends.numpy.ranges import BLOCK, known_rows, largest_divisor
from engine.backends.numpy.rows import CYCLE, ROW, SUM
from engine.graph.node import Node, Tensor

if TYPE_CHECKING:
    from engine.backends.numpy.emit import RegionEmitter

#: Blocks a range has at least for a row vector to be repeated once for all of them.
WORTH_REPEATING = 3


@dataclass
class Segment:
    """Ops in one loop, or one op on the whole range."""

    nodes: list[Node]
    loop: bool


@dataclass
class Slot:
    """A working array of a loop: (rows, width) elements of one type."""

    name: str
    width: int
    dtype: str
    rows: int


def block_rows(nodes: Sequence[Node], count: int, step: int) -> tuple[int, int]:
    """(rows of a pass, period of its periodic inputs or 0) for a loop of `nodes`."""
    widest, cycle = 1, 0
    for node in nodes:
        rows = known_rows(node)
        cycle = max(cycle, rows.cycle)
        arrays = [*zip(node.specs, rows.outputs, strict=True)]
        arrays += [
            (tensor.spec, kind)
            for tensor, kind in zip(node.inputs, rows.inputs, strict=True)
        ]
        widest = max(
            [widest, *(spec.size // count for spec, kind in arrays if kind == ROW)]
        )
    block = max(1, min(step, BLOCK // widest))
    return (largest_divisor(gcd(cycle, step), block) if cycle else block), cycle


class LoopBody:
    """The inside of one loop: its ops in order, on rows i .. j of the range.

    `before` are lines that run once a range, ahead of the loop; `slots` the working
    arrays that the body needs.
    """

    def __init__(
        self,
        emitter: RegionEmitter,
        index: int,
        nodes: Sequence[Node],
        block: int,
        cycle: int,
    ) -> None:
        self.emitter = emitter
        self.index = index
        self.nodes = nodes
        self.block = block
        self.cycle = cycle
        self.slots: list[Slot] = []
        self.free: list[Slot] = []
        self.held: dict[Tensor, Slot] = {}
        self.names: dict[tuple[str, str], str] = {}
        self.head: list[str] = []
        self.lines: list[str] = []
        self.before: list[str] = []
        self.last: dict[Tensor, int] = {}
        for position, node in enumerate(self.nodes):
            for tensor in (*node.outputs(), *node.inputs):
                self.last[emitter.refs[tensor].root] = position

    def emit(self) -> list[str]:
        for position, node in enumerate(self.nodes):
            self._node(position, node)
        return [*self.head, *self.lines]

    # -- operands ------------------------------------------------------------------

    def take(self, width: int, dtype: str, *, fresh: bool = False) -> Slot:
        """A working array, one that is free if there is one and `fresh` is not asked.

        What is filled before the loop must be fresh: a free one is written in it.
        """
        for slot in () if fresh else self.free:
            if (slot.width, slot.dtype) == (width, dtype):
                self.free.remove(slot)
                return slot
        name = f"t{self.index}_{len(self.slots)}"
        slot = Slot(name, width, dtype, self.block)
        self.slots.append(slot)
        return slot

    def _slot_rows(self, slot: Slot) -> str:
        whole = not self.emitter.ragged and self.emitter.step % self.block == 0
        return slot.name if whole else f"{slot.name}[:j - i]"

    def _bound(self, kind: str, base: str, expression: str) -> str:
        """A view made once, at the head of the loop's body."""
        key = (kind, base)
        if key not in self.names:
            name = f"{kind}{self.index}_{len(self.names)}"
            self.names[key] = name
            self.head.append(f"{name} = {expression}")
        return self.names[key]

    def _by_row(self, tensor: Tensor) -> str:
        emitter = self.emitter
        ref = emitter.refs[tensor]
        if ref.root in self.held:
            return self._slot_rows(self.held[ref.root])
        name = emitter.row_name(tensor)
        if ref.spread or (self.block >= emitter.step and not emitter.ragged):
            return name
        return self._bound("a", name, f"{name}[i:j]")

    def _by_cycle(self, tensor: Tensor) -> str:
        rows = self.emitter.bind.rows(tensor, self.cycle)
        return self.cycled(rows)

    def cycled(self, rows: str) -> str:
        """Rows of a periodic array, from this block's place in the period on."""
        head = self._bound("c", "start", f"(lo + i) % {self.cycle}")
        return self._bound("p", rows, f"{rows}[{head}:{head} + j - i]")

    def _repeated(self, tensor: Tensor, width: int) -> str:
        """A row vector, repeated for every row of a block (by each range anew).

        NumPy's loops are several times faster on contiguous operands than on
        broadcast ones; the copy pays from a few blocks a range on.
        """
        row = self.emitter.bind.rows(tensor, 1)
        if self.emitter.step < WORTH_REPEATING * self.block:
            return row if tensor.size == width else self.emitter.bind.whole(tensor)
        key = ("v", f"{row} {width}")
        if key not in self.names:
            slot = self.take(width, tensor.dtype, fresh=True)
            self.names[key] = slot.name
            view = slot.name
            if tensor.size != width:
                view = f"{view}.reshape({self.block}, -1, {tensor.size})"
            self.before.append(f"copyto({view}, {row})")
        whole = not self.emitter.ragged and self.emitter.step % self.block == 0
        return self.names[key] if whole else f"{self.names[key]}[:j - i]"

    def operand(
        self, tensor: Tensor, kind: str, *, flat: bool = False, width: int = 1
    ) -> str:
        """Expression for an input read in the given way.

        `flat`: whole, as one row. `width`: of the rows that a vector is applied to.
        """
        if kind == ROW:
            return self._by_row(tensor)
        if kind == CYCLE:
            return self._by_cycle(tensor)
        if self.emitter.refs[tensor].spread:
            return self.emitter.bind.rows(tensor, self.emitter.region.count)
        if 1 < tensor.size <= width:
            return self._repeated(tensor, width)
        if flat and tensor.node.op.name != "constant":
            return self.emitter.bind.rows(tensor, 1)
        return self.emitter.outside(tensor)

    # -- nodes ----------------------------------------------------------------------

    def _node(self, position: int, node: Node) -> None:
        rows = known_rows(node)
        vectors = node.op.pointwise or node.op.name in NORMS
        width = node.specs[0].size // rows.count if vectors else 1
        inputs = [
            self.operand(tensor, kind, flat=node.op.pointwise, width=width)
            for tensor, kind in zip(node.inputs, rows.inputs, strict=True)
        ]
        dying = self._dying(position, node)
        outputs = []
        for tensor, kind in zip(node.outputs(), rows.outputs, strict=True):
            outputs.append(self._output(node, tensor, kind, dying))
        work: list[Slot] = []

        def scratch(width: int) -> str:
            slot = self.take(width, node.specs[0].dtype)
            work.append(slot)
            return self._slot_rows(slot)

        if node.op.pointwise:
            self.lines += emit_pointwise(node, outputs[0], inputs)
        else:
            self.lines += emit_call(Call(node, self, inputs, outputs, scratch))
        self.free += work
        for root in [root for root in self.held if self.last[root] <= position]:
            self.free.append(self.held.pop(root))

    def _dying(self, position: int, node: Node) -> list[Slot]:
        """Slots of inputs not read again, which the output may take over."""
        if not node.op.pointwise or not may_overwrite(node):
            return []
        roots = {self.emitter.refs[tensor].root for tensor in node.inputs}
        return [
            self.held[root]
            for root in roots
            if root in self.held and self.last[root] == position
        ]

    def _output(
        self, node: Node, tensor: Tensor, kind: str, dying: Sequence[Slot]
    ) -> str:
        emitter = self.emitter
        if kind == SUM:
            partial = emitter.bind.partial(tensor)
            name = f"q{tensor.node.id}_{tensor.index}"
            emitter.head.append(f"{name} = {partial}[lo // {emitter.step}]")
            emitter.head.append(f"{name}.fill(0)")
            return name
        root = emitter.refs[tensor].root
        if not emitter.is_temp(tensor):
            return self._by_row(tensor)
        width = root.size // emitter.region.count
        for other, slot in list(self.held.items()):
            if slot in dying and (slot.width, slot.dtype) == (width, tensor.dtype):
                del self.held[other]
                self.held[root] = slot
                return self._slot_rows(slot)
        self.held[root] = self.take(width, tensor.dtype)
        return self._slot_rows(self.held[root])
