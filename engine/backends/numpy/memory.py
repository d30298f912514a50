"""The memory of one program: inputs, state, the arena, and views into them by name.

Knows when each root tensor is in use from the phases that touch it; what lives within
one region only is left to that region's scratch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Assign
from engine.backends.numpy.ranges import range_rows
from engine.backends.numpy.refs import LEAVES, References
from engine.backends.numpy.schedule import Finish, Item, Place, Region, partial
from engine.backends.numpy.shared import shared, shared_zeros
from engine.errors import GraphError
from engine.graph.node import Node, Tensor
from engine.graph.ops.leaves import state_extent
from engine.graph.plan import ALIGNMENT, Lifetime, aligned, place

Array = NDArray[Any]


def allocate(size: int) -> Array:
    """`size` bytes on an aligned boundary, not touched yet."""
    raw = np.empty(aligned(size) + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    return raw[skip : skip + size]


def nbytes(tensor: Tensor) -> int:
    """Bytes of a tensor's elements."""
    return tensor.size * np.dtype(tensor.dtype).itemsize


def partial_name(tensor: Tensor) -> str:
    """Name of a tensor's partial sums in a program's text."""
    return f"partial{tensor.node.id}_{tensor.index}"


@dataclass
class Memory:
    """Arrays of one program. `space` holds those that its text names."""

    refs: References
    direct: Mapping[Tensor, Assign]
    buffers: Mapping[str, Array]
    outputs: Sequence[Tensor]
    space: dict[str, Any]

    def __post_init__(self) -> None:
        self.inputs: dict[str, Array] = {}
        self.arena_bytes = 0
        self._pieces: dict[Tensor, Array] = {}
        self._spans: dict[Place, tuple[int, int]] = {}
        self._owners: dict[Tensor, set[int]] = {}
        self._shared = {self.refs[tensor].root for tensor in self.outputs}

    # -- leaves -----------------------------------------------------------------------

    def bind_leaves(self, nodes: Sequence[Node]) -> None:
        """Give inputs, state and constants their arrays."""
        for node in nodes:
            if node.op.name == "input":
                self._pieces[node.output()] = self._input(node)
            elif node.op.name == "state":
                self._pieces[node.output()] = self.state(node.output())
            elif node.op.name == "constant":
                value = np.full(1, node.attrs["value"], node.specs[0].dtype)
                self._pieces[node.output()] = value

    def _input(self, node: Node) -> Array:
        spec, name = node.specs[0], node.attrs["name"]
        array = self.inputs.setdefault(name, shared_zeros(spec.shape, spec.dtype))
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise GraphError(f"input {name!r}: declared with two shapes")
        return array.reshape(-1)

    def state(self, tensor: Tensor) -> Array:
        """The flat piece of a buffer that a state tensor is."""
        name, start, stop = state_extent(tensor)
        if name not in self.buffers:
            raise GraphError(f"state {name!r}: the store has no such buffer")
        buffer = self.buffers[name]
        if stop > len(buffer) or buffer.dtype != tensor.dtype:
            raise GraphError(
                f"state {name!r}: elements {start} to {stop} of {tensor.dtype} "
                f"in a buffer of {len(buffer)} {buffer.dtype}"
            )
        return buffer[start:stop]

    # -- the arena --------------------------------------------------------------------

    def place(self, phases: Sequence[Sequence[Item]]) -> None:
        """Give every root that outlives its region its place in the arena."""
        self._find_spans(phases)
        last = len(phases) - 1
        kept = {self.refs[tensor].root for tensor in self.outputs}
        lifetimes = []
        for root, (first, end) in self._spans.items():
            if not isinstance(root, Tensor) or self._elsewhere(root):
                continue
            end = last if root in kept else end
            lifetimes.append(Lifetime(root, nbytes(root), first, end))
        finishes = [i for phase in phases for i in phase if isinstance(i, Finish)]
        for item in finishes:
            size = item.region.count_ranges(range_rows) * nbytes(item.tensor)
            span = self._spans[partial(item.tensor)]
            lifetimes.append(Lifetime(partial_name(item.tensor), size, *span))
        arena = place(lifetimes)
        self.arena_bytes = arena.size
        memory = shared(arena.size)
        parts = {
            item.key: memory[arena.offsets[item.key] :][: item.size]
            for item in lifetimes
        }
        for key, part in parts.items():
            if isinstance(key, Tensor):
                self._pieces[key] = part.view(key.dtype)
        for item in finishes:
            name = partial_name(item.tensor)
            view = parts[name].view(item.tensor.dtype)
            self.space[name] = view.reshape(item.region.count_ranges(range_rows), -1)
        for root, assign in self.direct.items():
            self._pieces[root] = self.state(assign.target)

    def _find_spans(self, phases: Sequence[Sequence[Item]]) -> None:
        """From which phase to which, and by which items, each place is touched."""
        for index, phase in enumerate(phases):
            for item in phase:
                for spot in item.reads | item.writes:
                    first, _ = self._spans.get(spot, (index, index))
                    self._spans[spot] = (first, index)
                    if isinstance(spot, Tensor):
                        self._owners.setdefault(spot, set()).add(id(item))
                        if not isinstance(item, Region):
                            self._shared.add(spot)

    def _elsewhere(self, root: Tensor) -> bool:
        leaf = root.node.op.name in LEAVES
        return leaf or root in self.direct or self.is_local(root)

    def is_local(self, root: Tensor) -> bool:
        """Whether a root lives and dies within one region."""
        if root in self._shared or root in self.direct or root.node.op.name in LEAVES:
            return False
        return len(self._owners.get(root, ())) <= 1

    # -- views ------------------------------------------------------------------------

    def array(self, tensor: Tensor) -> Array:
        """The tensor in its own shape."""
        ref = self.refs[tensor]
        return ref.whole(self._pieces[ref.root])

    def row_name(self, tensor: Tensor, count: int) -> str:
        """Name of the tensor as `count` rows."""
        ref = self.refs[tensor]
        name = f"m{ref.root.node.id}_{ref.root.index}_{count}_{ref.offset}_{ref.size}"
        if ref.columns:
            name += f"_{ref.columns[0]}_{ref.columns[1]}"
        if name not in self.space:
            self.space[name] = ref.rows(self._pieces[ref.root], count)
        return name

    def whole_name(self, tensor: Tensor) -> str:
        """Name of the tensor in its own shape."""
        name = f"w{tensor.node.id}_{tensor.index}"
        if name not in self.space:
            self.space[name] = self.array(tensor)
        return name
