"""From a graph to phases: what runs together, and what has to wait.

Consecutive ops on the same rows form a region, which runs range of rows by range of
rows, from its first op to its last, with nothing in between reaching memory unless
someone else needs it. The rest are single tasks: weight gradients and whatever mixes
rows. Tasks that a region makes possible are put off until it ends; then they share a
phase with the next region, as far as neither needs what the other writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.backends.base import Assign
from engine.backends.numpy.refs import References
from engine.backends.numpy.rows import ROW, SUM, Rows, rows_of
from engine.graph.node import Node, Tensor
from engine.graph.ops.leaves import state_extent

#: A region ends when tasks that wait for it hold on to more than this many bytes.
WAITING_BYTES = 24 << 20

#: Memory an item touches: a root tensor, or (buffer, start, stop) of state.
Place = Tensor | tuple[str, int, int]


@dataclass
class Item:
    """A unit of the schedule with what it reads and writes."""

    reads: set[Place] = field(default_factory=set)
    writes: set[Place] = field(default_factory=set)


@dataclass
class Region(Item):
    """Ops that run together over ranges of `count` rows."""

    count: int = 0
    grain: int = 1
    cycle: int = 0
    nodes: list[Node] = field(default_factory=list)

    def takes(self, rows: Rows) -> bool:
        """Whether an op on `rows` fits in by its shape."""
        grains = {self.grain, rows.grain} - {1}
        cycles = {self.cycle, rows.cycle} - {0}
        return rows.count == self.count and len(grains | cycles) <= 1

    def count_ranges(self, range_rows: Callable[[Region], int]) -> int:
        """Into how many ranges the rows are cut."""
        return -(-self.count // range_rows(self))

    def add(self, node: Node, rows: Rows) -> None:
        """Append an op that fits."""
        self.nodes.append(node)
        self.grain = max(self.grain, rows.grain)
        self.cycle = max(self.cycle, rows.cycle)


@dataclass
class Single(Item):
    """One op on whole tensors."""

    node: Node = field(kw_only=True)


@dataclass
class Finish(Item):
    """The sum of a region's partial sums of `tensor`, in the order of its ranges."""

    tensor: Tensor = field(kw_only=True)
    region: Region = field(kw_only=True)


@dataclass
class Deliver(Item):
    """A value into the state it is assigned to."""

    assign: Assign = field(kw_only=True)


class Scheduler:
    """Builds the items of one graph. `direct` tensors live in state already."""

    def __init__(self, refs: References, direct: dict[Tensor, Assign]) -> None:
        self.refs = refs
        self.direct = direct
        self.items: list[Item] = []
        self._region: Region | None = None
        self._made: set[Tensor] = set()
        self._waiting: list[Item] = []
        self._waiting_for: set[Tensor] = set()

    def place(self, tensor: Tensor) -> Place:
        """Where a tensor's root lies, for finding conflicts."""
        root = self.refs[tensor].root
        if root in self.direct:
            return state_extent(self.direct[root].target)
        return state_extent(root) if root.node.op.name == "state" else root

    def run(self, nodes: Sequence[Node], assigns: Sequence[Assign]) -> list[Item]:
        """The items in an order that respects every dependency."""
        for node in nodes:
            if not self.refs.is_view(node):
                self._visit(node)
        self._close()
        for assign in assigns:
            places: set[Place] = {self.place(assign.value)}
            target: set[Place] = {state_extent(assign.target)}
            self.items.append(Deliver(places, target, assign=assign))
        return self.items

    def _visit(self, node: Node) -> None:
        rows = rows_of(node)
        if rows is not None and not self._rows_possible(node, rows):
            rows = None
        needs = self.refs.roots(node.inputs)
        if rows is None:
            item = Single(node=node)
            self._note(item, node)
            if needs & (self._made | self._waiting_for) or self._clashes(item):
                self._waiting.append(item)
                self._waiting_for |= self.refs.roots(node.outputs())
                self._limit()
            else:
                self.items.append(item)
            return
        if self._region is None or not self._joins(node, rows, needs):
            self._close()
            self._region = Region(count=rows.count)
        self._region.add(node, rows)
        self._note(self._region, node)
        for tensor, kind in zip(node.outputs(), rows.outputs, strict=True):
            root = self.refs[tensor].root
            if kind != SUM:
                self._made.add(root)
                continue
            target = self.place(tensor)
            finish = Finish(
                {partial(tensor)}, {target}, tensor=tensor, region=self._region
            )
            self._region.writes.discard(target)
            self._region.writes.add(partial(tensor))
            self._waiting.append(finish)
            self._waiting_for.add(root)

    def _rows_possible(self, node: Node, rows: Rows) -> bool:
        """Whether the inputs read by rows can be seen so, and the outputs written."""
        for tensor, kind in zip(node.inputs, rows.inputs, strict=True):
            ref = self.refs[tensor]
            if kind == ROW and not ref.spread and not ref.fits_rows(rows.count):
                return False
        return all(
            self.refs[tensor].fits_rows(rows.count)
            for tensor, kind in zip(node.outputs(), rows.outputs, strict=True)
            if kind == ROW
        )

    def _joins(self, node: Node, rows: Rows, needs: set[Tensor]) -> bool:
        region = self._region
        assert region is not None
        if not region.takes(rows) or needs & self._waiting_for:
            return False
        for tensor, kind in zip(node.inputs, rows.inputs, strict=True):
            ref = self.refs[tensor]
            if ref.root in self._made and (kind != ROW or not ref.all_rows):
                return False
        return not self._overwrites(node)

    def _overwrites(self, node: Node) -> bool:
        """Whether the node writes state that a waiting task still has to read."""
        written = [self.place(tensor) for tensor in node.outputs()]
        return any(
            overlap(place, other)
            for item in self._waiting
            for place in written
            for other in item.reads
        )

    def _clashes(self, item: Item) -> bool:
        """Whether the open region, or a task that waits for it, must come first."""
        earlier = [*self._waiting, *([self._region] if self._region else [])]
        return any(conflict(item, other) for other in earlier)

    def _note(self, item: Item, node: Node) -> None:
        item.reads.update(self.place(tensor) for tensor in node.inputs)
        item.writes.update(self.place(tensor) for tensor in node.outputs())

    def _limit(self) -> None:
        held = {
            place
            for item in self._waiting
            for place in item.reads
            if isinstance(place, Tensor) and place in self._made
        }
        if sum(tensor.size * 4 for tensor in held) > WAITING_BYTES:
            self._close()

    def _close(self) -> None:
        if self._region is not None:
            self.items.append(self._region)
        self.items.extend(self._waiting)
        self._region, self._waiting = None, []
        self._made, self._waiting_for = set(), set()


def partial(tensor: Tensor) -> Place:
    """Where the partial sums of a tensor lie, one row for each range of rows."""
    return (f"partial {tensor.node.id}.{tensor.index}", 0, 1)


def overlap(a: Place, b: Place) -> bool:
    """Whether two places share memory."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a == b
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def _meet(a: set[Place], b: set[Place]) -> bool:
    if a & b:
        return True
    spans = [place for place in b if not isinstance(place, Tensor)]
    return any(overlap(x, y) for x in a if not isinstance(x, Tensor) for y in spans)


def conflict(a: Item, b: Item) -> bool:
    """Whether the two may not run at the same time."""
    return (
        _meet(a.writes, b.reads)
        or _meet(a.reads, b.writes)
        or _meet(a.writes, b.writes)
    )


def phases(items: Sequence[Item]) -> list[list[Item]]:
    """Items gathered so that those of one phase are independent of each other.

    Each goes into the last phase if it can, so that memory is not held for long.
    """
    result: list[list[Item]] = []
    for item in items:
        if result and not any(conflict(item, other) for other in result[-1]):
            result[-1].append(item)
        else:
            result.append([item])
    return result
