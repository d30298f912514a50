"""The tokens of one side, read by position as if they were one array.

Knows shards that lie behind one another. Knows nothing about where they come from,
nor about the order in which anybody reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class TokenStore:
    """Tokens 0 .. len - 1 in shards that all but the last have the same length.

    name       what errors call it ("train", "val")
    documents  (documents,) uint64: the token each document begins at
    targets    how many tokens count as targets
    """

    def __init__(
        self,
        name: str,
        shards: Sequence[NDArray[Any]],
        masks: Sequence[NDArray[np.uint8]] | None,
        documents: NDArray[np.uint64],
        targets: int,
    ) -> None:
        self.name = name
        self.documents = documents
        self.targets = targets
        self._shards = shards
        self._masks = masks
        self._shard_tokens = len(shards[0]) if shards else 1
        self._length = sum(len(shard) for shard in shards)

    @classmethod
    def of(
        cls, ids: ArrayLike, counts: ArrayLike | None = None, name: str = "tokens"
    ) -> TokenStore:
        """A store over tokens in memory; `counts` says which are targets."""
        shard = np.asarray(ids, dtype=np.int32)
        masks, targets = None, len(shard)
        if counts is not None:
            bits = np.asarray(counts, dtype=np.bool_)
            masks = [np.packbits(bits, bitorder="little")]
            targets = int(np.count_nonzero(bits))
        return cls(name, [shard], masks, np.zeros(1, dtype=np.uint64), targets)

    def __len__(self) -> int:
        return self._length

    @property
    def masked(self) -> bool:
        """Whether some tokens may be no targets."""
        return self._masks is not None

    def tokens(self, start: int, stop: int) -> NDArray[np.int32]:
        """Tokens start .. stop - 1: (stop - start,) int32, a copy."""
        out = np.empty(self._width(start, stop), dtype=np.int32)
        done = 0
        for index, first, last in self._places(start, stop):
            out[done : done + last - first] = self._shards[index][first:last]
            done += last - first
        return out

    def counts(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of tokens start .. stop - 1 are targets: (stop - start,) bool."""
        out = np.ones(self._width(start, stop), dtype=np.bool_)
        if self._masks is None:
            return out
        done = 0
        for index, first, last in self._places(start, stop):
            packed = self._masks[index][first // 8 : -(-last // 8)]
            bits = np.unpackbits(packed, bitorder="little")[first % 8 :]
            out[done : done + last - first] = bits[: last - first]
            done += last - first
        return out

    def _width(self, start: int, stop: int) -> int:
        if not 0 <= start <= stop <= self._length:
            raise IndexError(f"tokens {start} to {stop} of {self._length}")
        return stop - start

    def _places(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The shards that hold start .. stop - 1: index, first and last + 1 in it."""
        while start < stop:
            index, first = divmod(start, self._shard_tokens)
            last = min(first + stop - start, self._shard_tokens)
            yield index, first, last
            start += last - first
