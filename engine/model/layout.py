"""Where named tensors lie in flat buffers, and how they get in and out.

Knows names, shapes and offsets. Knows neither what the tensors mean nor how they are
computed with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Store
from engine.errors import CheckpointError
from engine.graph import Spec, Tensor, state_tensor
from engine.graph.node import Shape

#: Pieces start at multiples of 16 elements (64 bytes): a cache line, a SIMD register.
ALIGNMENT = 16


@dataclass(frozen=True)
class Piece:
    """A tensor of `shape` in `buffer`, from element `offset` on."""

    name: str
    shape: Shape
    buffer: str
    offset: int

    @property
    def stop(self) -> int:
        """The element after the piece's last."""
        return self.offset + prod(self.shape)

    def tensor(self) -> Tensor:
        """The piece as a graph's state."""
        return state_tensor(
            self.name, self.shape, buffer=self.buffer, offset=self.offset
        )

    def within(self, buffer: NDArray[Any]) -> NDArray[Any]:
        """The piece as a view of its buffer (1-D): `shape`."""
        return buffer[self.offset : self.stop].reshape(self.shape)


class Layout:
    """Pieces by name, and the float32 buffers that hold them."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces = {piece.name: piece for piece in pieces}
        sizes: dict[str, int] = {}
        for piece in self.pieces.values():
            sizes[piece.buffer] = max(sizes.get(piece.buffer, 0), aligned(piece.stop))
        self.buffers = {name: Spec((size,)) for name, size in sizes.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Every piece as a graph's state, by name."""
        return {name: piece.tensor() for name, piece in self.pieces.items()}

    def buffer_tensors(self) -> list[Tensor]:
        """Every buffer as a whole, flat."""
        return [state_tensor(name, spec.shape) for name, spec in self.buffers.items()]

    def moved(self, buffers: Mapping[str, str]) -> Layout:
        """The same pieces at the same offsets in buffers of other names."""
        return Layout(
            Piece(piece.name, piece.shape, buffers[piece.buffer], piece.offset)
            for piece in self.pieces.values()
        )

    def read(self, store: Store) -> dict[str, NDArray[Any]]:
        """Copies of all pieces, by name, each of its shape."""
        buffers = {name: store.read(name) for name in self.buffers}
        return {
            piece.name: piece.within(buffers[piece.buffer])
            for piece in self.pieces.values()
        }

    def write(self, store: Store, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill every buffer from `arrays`, one for each piece; gaps become zero."""
        for buffer, spec in self.buffers.items():
            flat = np.zeros(spec.shape, spec.dtype)
            for piece in self.pieces.values():
                if piece.buffer == buffer:
                    piece.within(flat)[...] = arrays[piece.name]
            store.write(buffer, flat)

    def check(self, arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        """Raise CheckpointError unless `arrays` are these pieces, all and no other.

        `prefix` goes before the names in the error.
        """
        for name, piece in self.pieces.items():
            if name not in arrays:
                raise CheckpointError(f"array {prefix + name!r} is missing")
            check_array(prefix + name, arrays[name], piece.shape, "float32")
        for name in arrays:
            if name not in self.pieces:
                raise CheckpointError(f"array {prefix + name!r} is not of this model")


def check_array(name: str, array: NDArray[Any], shape: Shape, dtype: str) -> None:
    """Raise CheckpointError unless `array` has this shape and element type."""
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise CheckpointError(
            f"array {name!r} is {array.shape} {array.dtype}, but this model's is "
            f"{shape} {dtype}"
        )


def aligned(elements: int) -> int:
    """`elements` rounded up to the alignment."""
    return -(-elements // ALIGNMENT) * ALIGNMENT


def pack(tensors: Iterable[tuple[str, Shape, str]]) -> Layout:
    """(name, shape, buffer) in order: each aligned, one after the other."""
    ends: dict[str, int] = {}
    pieces = []
    for name, shape, buffer in tensors:
        piece = Piece(name, shape, buffer, ends.get(buffer, 0))
        ends[buffer] = aligned(piece.stop)
        pieces.append(piece)
    return Layout(pieces)
