"""Which tensors have memory of their own, and how the others look into it.

Reshapes, splits and broadcasts of one element are views. The inputs of a
concatenation are written straight into its columns, so that it costs nothing either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.rows import ROW, lead, rows_of
from engine.graph.node import Node, Shape, Tensor

LEAVES = ("input", "state", "constant")


@dataclass(frozen=True)
class Ref:
    """A tensor as a view of its root's memory.

    Without `columns`: `size` elements from `offset` on. With them: that range of the
    root's last axis, in every row.
    """

    root: Tensor
    shape: Shape
    offset: int = 0
    columns: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def spread(self) -> bool:
        """One element that stands for a whole shape."""
        return self.root.size == 1 and self.size > 1

    @property
    def all_rows(self) -> bool:
        """Whether row r of this is in row r of the root, for all rows there are."""
        return self.columns is not None or self.size == self.root.size or self.spread

    def fits_rows(self, count: int) -> bool:
        """Whether this can be seen as `count` rows without a copy."""
        if self.columns is None:
            return self.size % count == 0
        return self.root.size // self.root.shape[-1] == count

    def rows(self, memory: NDArray[Any], count: int) -> NDArray[Any]:
        """(count, W) view of the root's flat memory; (1, 1) if spread."""
        if self.spread:
            return memory.reshape(1, 1)
        if self.columns is None:
            flat = memory[self.offset : self.offset + self.size]
            return flat.reshape(count, -1)
        wide = memory.reshape(-1, self.root.shape[-1])
        return wide[:, self.columns[0] : self.columns[1]]

    def whole(self, memory: NDArray[Any]) -> NDArray[Any]:
        """The view in the tensor's own shape."""
        if self.spread:
            return np.broadcast_to(memory.reshape(()), self.shape)
        if self.columns is None:
            flat = memory[self.offset : self.offset + self.size]
            return flat.reshape(self.shape)
        wide = memory.reshape(self.root.shape)
        return wide[..., self.columns[0] : self.columns[1]].reshape(self.shape)


class References:
    """The table from tensors to refs for one ordered graph.

    `in_place` nodes write over their first input instead of a copy of it.
    """

    def __init__(self, nodes: Sequence[Node], in_place: Set[Node]) -> None:
        self._in_place = in_place
        self._refs: dict[Tensor, Ref] = {}
        self._placed: dict[Tensor, Ref] = {}
        self._place_parts(nodes)
        for node in nodes:
            self._add(node)

    def __getitem__(self, tensor: Tensor) -> Ref:
        return self._refs[tensor]

    def roots(self, tensors: Iterable[Tensor]) -> set[Tensor]:
        return {self._refs[tensor].root for tensor in tensors}

    def is_view(self, node: Node) -> bool:
        """Whether the node needs no work: its outputs look into other memory."""
        if node.op.name in LEAVES:
            return True
        if node.op.name == "concat":
            return not self.unplaced(node)
        return all(self._refs[t].root.node is not node for t in node.outputs()) and (
            node.op.name in ("reshape", "split", "broadcast", "rows")
        )

    def unplaced(self, concat: Node) -> list[tuple[Tensor, int]]:
        """Inputs of a concatenation that must be copied, with their first column."""
        rest, column = [], 0
        for tensor in concat.inputs:
            placed = self._placed.get(tensor)
            if placed != Ref(
                concat.output(), tensor.shape, 0, (column, column + tensor.shape[-1])
            ):
                rest.append((tensor, column))
            column += tensor.shape[-1]
        return rest

    def _place_parts(self, nodes: Sequence[Node]) -> None:
        views = ("reshape", "split", "broadcast", "rows", "concat", *LEAVES)
        for node in nodes:
            if node.op.name != "concat":
                continue
            column = 0
            for tensor in node.inputs:
                stop = column + tensor.shape[-1]
                free = tensor not in self._placed and _written_in_rows(tensor)
                if free and tensor.node.op.name not in views:
                    ref = Ref(node.output(), tensor.shape, 0, (column, stop))
                    self._placed[tensor] = ref
                column = stop

    def _add(self, node: Node) -> None:
        name = node.op.name
        for tensor in node.outputs():
            own = self._placed.get(tensor) or Ref(tensor, tensor.shape)
            self._refs[tensor] = own
        if node in self._in_place:
            self._refs[node.output()] = self._refs[node.inputs[0]]
        elif name == "reshape":
            self._reshape(node)
        elif name == "split":
            self._split(node)
        elif name == "broadcast" and node.inputs[0].size == 1:
            inner = self._refs[node.inputs[0]]
            if inner.columns is None and inner.root.size == 1:
                self._refs[node.output()] = Ref(inner.root, node.specs[0].shape)
        elif name == "rows":
            self._rows(node)

    def _reshape(self, node: Node) -> None:
        inner, shape = self._refs[node.inputs[0]], node.specs[0].shape
        if inner.columns is None:
            self._refs[node.output()] = Ref(inner.root, shape, inner.offset)
        elif shape and inner.shape and shape[-1] == inner.shape[-1]:
            self._refs[node.output()] = Ref(inner.root, shape, 0, inner.columns)

    def _split(self, node: Node) -> None:
        inner = self._refs[node.inputs[0]]
        if inner.spread or inner.root.shape == ():
            return
        column = inner.columns[0] if inner.columns else 0
        if inner.columns is None and inner.size != inner.root.size:
            return
        if inner.columns is None and inner.shape[-1] != inner.root.shape[-1]:
            return
        for tensor in node.outputs():
            stop = column + tensor.shape[-1]
            self._refs[tensor] = Ref(inner.root, tensor.shape, 0, (column, stop))
            column = stop

    def _rows(self, node: Node) -> None:
        inner = self._refs[node.inputs[0]]
        if inner.columns is None and not inner.spread:
            skip = node.attrs["start"] * prod(node.inputs[0].shape[1:])
            offset = inner.offset + skip
            self._refs[node.output()] = Ref(inner.root, node.specs[0].shape, offset)


def _written_in_rows(tensor: Tensor) -> bool:
    """Whether its op can write it into columns: rows of its last axis, or at once."""
    rows = rows_of(tensor.node)
    if rows is None:
        return True
    by_row = rows.outputs[tensor.index] == ROW
    return by_row and rows.count == lead(tensor.shape)
