"""Where every buffer of a program lies in one arena, known before it runs.

Knows lifetimes and sizes only: neither ops nor devices.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """A buffer of `size` bytes, in use from step `first` to step `last` inclusive."""

    key: Hashable
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Arena:
    """Offsets in bytes by key, and the arena's size."""

    offsets: Mapping[Hashable, int]
    size: int


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes a program takes, by kind.

    state       persistent buffers it is bound to (shared with other programs)
    arena       everything that lives from one phase to a later one
    scratch     working space of the threads
    inputs      step inputs
    """

    state: int = 0
    arena: int = 0
    scratch: int = 0
    inputs: int = 0
    details: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.state + self.arena + self.scratch + self.inputs


def aligned(size: int) -> int:
    """`size` rounded up to the alignment of buffers."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(lifetimes: Sequence[Lifetime]) -> Arena:
    """Offsets such that buffers in use at the same time never overlap.

    Largest first, each at the lowest gap that fits among those placed before with
    which it shares a step. Source: Pisarchyk and Lee, "Efficient Memory Management
    for Deep Neural Net Inference" (2020), greedy by size.
    """
    placed: list[tuple[int, int, Lifetime]] = []
    offsets: dict[Hashable, int] = {}
    for item in sorted(lifetimes, key=lambda item: -item.size):
        size = aligned(item.size)
        offset = 0
        for start, stop, other in placed:
            if other.last < item.first or item.last < other.first:
                continue
            if start - offset >= size:
                break
            offset = max(offset, stop)
        offsets[item.key] = offset
        placed.append((offset, offset + size, item))
        placed.sort(key=lambda entry: entry[0])
    return Arena(offsets, max((stop for _, stop, _ in placed), default=0))
