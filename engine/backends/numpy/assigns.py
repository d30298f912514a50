"""How assignments get done: in place where that is safe, by a copy at the end else.

A value may be computed straight into the state it is assigned to if nobody still has
to read what the state held before. Of a sum that goes into an accumulating target,
every part is added on its own, so that the sum is never stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.backends.base import Assign
from engine.backends.numpy.copies import copied
from engine.backends.numpy.pointwise import may_overwrite
from engine.backends.numpy.refs import LEAVES, References
from engine.backends.numpy.rows import ROW, SUM, rows_of
from engine.backends.numpy.schedule import overlap
from engine.errors import GraphError
from engine.graph.node import Node, Tensor
from engine.graph.ops.leaves import state_extent

#: Ops whose task can itself add to a target that accumulates.
ADDING = ("weight_grad", "embedding_grad")
_VIEWS = ("reshape", "split", "broadcast", "rows")


@dataclass(frozen=True)
class Addition(Assign):
    """A further contribution to a target: it always adds."""


def contributions(assigns: Sequence[Assign]) -> list[Assign]:
    """Each assignment, or its parts one after the other if it is a sum that adds."""
    parts: list[Assign] = []
    for assign in assigns:
        if assign.value.shape != assign.target.shape:
            raise GraphError(
                f"assign: {assign.value.shape} to {assign.target} of another shape"
            )
        addends = _addends(assign.value) if assign.accumulate else [assign.value]
        parts.append(Assign(assign.target, addends[0], assign.accumulate))
        parts += [Addition(assign.target, value, True) for value in addends[1:]]
    return parts


def _addends(value: Tensor) -> list[Tensor]:
    if value.node.op.name == "add" and all(
        tensor.shape == value.shape for tensor in value.node.inputs
    ):
        return [part for tensor in value.node.inputs for part in _addends(tensor)]
    return [value]


def own_memory(value: Tensor) -> Tensor:
    """A value that only looks into state is copied, lest it change before it is read.

    So outputs show what state held before the run, and assignments may swap pieces.
    """
    seen = value
    while seen.node.op.name in _VIEWS:
        seen = seen.node.inputs[0]
    if seen.node.op.name in ("state", "input"):
        return copied(value)
    return value


def cache_writes_in_place(
    nodes: Sequence[Node], assigns: Sequence[Assign]
) -> set[Node]:
    """Cache writes assigned to the state they read, which no one else reads."""
    readers: dict[Tensor, int] = {}
    for node in nodes:
        for tensor in node.inputs:
            readers[tensor] = readers.get(tensor, 0) + 1
    return {
        a.value.node
        for a in assigns
        if a.value.node.op.name == "cache_write"
        and a.value.node.inputs[0].node.op.name == "state"
        and state_extent(a.value.node.inputs[0]) == state_extent(a.target)
        and readers[a.value.node.inputs[0]] == 1
    }


@dataclass
class Delivery:
    """`direct`: values that live in their target; `late`: assignments by a copy."""

    direct: dict[Tensor, Assign]
    late: list[Assign]


class Planner:
    """Decides between the two for the assignments of one ordered graph."""

    def __init__(
        self,
        nodes: Sequence[Node],
        refs: References,
        assigns: Sequence[Assign],
        outputs: Sequence[Tensor],
    ) -> None:
        self.nodes = nodes
        self.refs = refs
        self.assigns = assigns
        self.outputs = {refs[tensor].root for tensor in outputs}
        self.position = {node.id: index for index, node in enumerate(nodes)}
        self.readers = [
            (node, index, self.refs[tensor].root)
            for node in nodes
            for index, tensor in enumerate(node.inputs)
            if self.refs[tensor].root.node.op.name == "state"
        ]

    def run(self) -> Delivery:
        """Of a sum's parts, the first to run replaces and the others add.

        Parts that must be delivered come at the end of a run, and so after all those
        that are computed in place.
        """
        delivery = Delivery({}, [])
        for group in _groups(self.assigns):
            fit = [a for a in group if self._fits(a, delivery.direct)]
            rest = [a for a in group if a not in fit]
            fit.sort(key=lambda assign: self.position[assign.value.node.id])
            for index, assign in enumerate([*fit, *rest]):
                kind = Addition if index else Assign
                part = kind(assign.target, assign.value, assign.accumulate)
                if index < len(fit):
                    delivery.direct[part.value] = part
                elif not self._there_already(part):
                    delivery.late.append(part)
        return delivery

    def _there_already(self, assign: Assign) -> bool:
        """Whether the value's memory is the target's (a cache written in place)."""
        root = self.refs[assign.value].root
        if root.node.op.name != "state":
            return False
        return state_extent(root) == state_extent(assign.target)

    def _fits(self, assign: Assign, direct: Mapping[Tensor, Assign]) -> bool:
        value = assign.value
        free = value not in direct and value not in self.outputs
        owns = self.refs[value].root == value
        once = sum(other.value == value for other in self.assigns) == 1
        if not (free and owns and once):
            return False
        if value.node.op.name in (*LEAVES, "cache_write"):
            return False
        rows = rows_of(value.node)
        summed = rows is not None and rows.outputs[value.index] == SUM
        if not assign.accumulate:
            return self._overwrites_safely(value, assign, summed)
        used = any(
            self.refs[tensor].root == value
            for node in self.nodes
            for tensor in node.inputs
        )
        adds = summed or value.node.op.name in ADDING
        return adds and not used and self._read_before(value, assign)

    def _overwrites_safely(self, value: Tensor, assign: Assign, summed: bool) -> bool:
        """Whether all readers of the old content are done with a row by its writing."""
        rows, extent = rows_of(value.node), state_extent(assign.target)
        inside = value.node.op.pointwise and may_overwrite(value.node)
        for node, index, root in self.readers:
            if not overlap(state_extent(root), extent):
                continue
            access = rows_of(node)
            before = self.position[node.id] < self.position[value.node.id]
            before = before or (node is value.node and inside)
            same = state_extent(root) == extent and self.refs[node.inputs[index]].root
            if not (
                before
                and same == node.inputs[index]
                and access is not None
                and rows is not None
                and not summed
                and access.count == rows.count
                and access.inputs[index] == ROW
            ):
                return False
        return True

    def _read_before(self, value: Tensor, assign: Assign) -> bool:
        """Whether all that reads the target's old content comes before the value."""
        extent, here = state_extent(assign.target), self.position[value.node.id]
        return not any(
            self.position[node.id] >= here and overlap(state_extent(root), extent)
            for node, _, root in self.readers
        )


def _groups(parts: Sequence[Assign]) -> list[list[Assign]]:
    """The parts of each assignment, which follow one another."""
    groups: list[list[Assign]] = []
    for part in parts:
        if isinstance(part, Addition):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups
