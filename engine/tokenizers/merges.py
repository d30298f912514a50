"""Learns the merges of byte-pair encoding from counted pieces of text.

Knows symbols, pairs and counts. Knows no text, no pre-tokenization, no vocabulary.

Every piece starts as its bytes, symbols 0 to 255. The pair of neighbours with the
highest count becomes the next symbol, and so on (Sennrich et al. 2016, algorithm 1).
Counts are of neighbours, overlapping ones too (aaa has the pair aa twice), times the
piece's own count; within a run as aaa the leftmost are merged. Of pairs with equal
counts the one goes first whose younger symbol is the oldest, then the one whose left
symbol is, then the one whose right symbol is.

All pieces lie one after the other in one array, so that a merge is a few NumPy calls
over the places where it happens. Two facts make it fast:

- A pair comes into being with its younger symbol and from then on only loses places.
  So its places are written down once, and its count never rises again.
- Hence the order in which pairs come into being is the order that breaks ties: the
  lower number wins, and a heap that corrects counts when it meets them is exact.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

BYTES = 256

# Symbols that are none: between pieces, and what a merge has left behind.
_BORDER = -1
_GONE = -2
#: The number of no pair: what has no right neighbour in its piece.
_NO_PAIR = 0


def learn_merges(pieces: Mapping[bytes, int], limit: int) -> list[tuple[int, int]]:
    """At most `limit` merges; the i-th makes symbol 256 + i of its two symbols.

    `pieces` are the distinct pieces and how often each occurs. There are fewer merges
    than `limit` only when every piece has become a single symbol.
    """
    state = _Merging(pieces)
    merges: list[tuple[int, int]] = []
    while len(merges) < limit:
        pair = state.best_pair()
        if pair == _NO_PAIR:
            break
        merges.append(state.symbols_of(pair))
        state.merge(pair, BYTES + len(merges) - 1)
    return merges


class _Merging:
    """All pieces, partly merged, and what is known of their pairs.

    Per place (a byte of a piece, or a border; n of them):
        symbol    (n,) int32   what begins here
        before    (n,) int64   the place of the left neighbour
        after     (n,) int64   the place of the right neighbour
        pair      (n,) int64   the number of the pair that begins here
        weight    (n,) int64   the count of the piece
    Per pair, by its number:
        count     int64        how often it occurs now
        left, right            its symbols
        born                   the places it had at first: an array, from, to
    heap holds (-count, number) of every pair that may still occur; the count may be
    one that the pair had before.
    """

    def __init__(self, pieces: Mapping[bytes, int]) -> None:
        text = np.frombuffer(b"\0".join((b"", *pieces, b"")), dtype=np.uint8)
        lengths = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
        counts = np.fromiter(pieces.values(), dtype=np.int64, count=len(pieces))
        n = len(text)
        self.symbol = text.astype(np.int32)
        self.symbol[np.append(0, np.cumsum(lengths + 1))] = _BORDER
        self.before = np.arange(-1, n - 1)
        self.after = np.arange(1, n + 1)
        self.pair = np.full(n, _NO_PAIR, dtype=np.int64)
        self.weight = np.append(0, np.repeat(counts, lengths + 1))
        self.count = np.zeros(1 << 16, dtype=np.int64)
        self.pairs = _NO_PAIR + 1
        self.left = [_BORDER]
        self.right = [_BORDER]
        self.born: dict[int, tuple[Ints, int, int]] = {}
        self.heap: list[tuple[int, int]] = []
        self._pair_bytes()

    def _pair_bytes(self) -> None:
        """Number the pairs of bytes."""
        left, right = self.symbol[:-1].astype(np.int64), self.symbol[1:]
        places = np.flatnonzero((left != _BORDER) & (right != _BORDER))
        left, right = left[places], right[places]
        age = np.maximum(left, right)
        keys = (age * BYTES + left) * BYTES + right
        distinct = self._number(keys, places)
        self.left += (distinct // BYTES % BYTES).tolist()
        self.right += (distinct % BYTES).tolist()

    def _number(self, keys: Ints, places: Ints) -> Ints:
        """Give new pairs numbers in the order of their keys; the distinct keys.

        `keys` (m,) say which new pair begins at each of `places` (m,).
        """
        if len(keys) == 0:
            return keys
        order = keys.argsort(kind="stable")
        keys, places = keys[order], places[order]
        changes = (keys[1:] != keys[:-1]).nonzero()[0] + 1
        edges = np.concatenate(([0], changes, [len(keys)]))
        first, last = edges[:-1], edges[1:]
        counts = np.add.reduceat(self.weight[places], first)
        start = self.pairs
        stop = self.pairs = start + len(first)
        if stop > len(self.count):
            grown = np.zeros(2 * stop, dtype=np.int64)
            grown[:start] = self.count[:start]
            self.count = grown
        self.count[start:stop] = counts
        self.pair[places] = np.arange(start, stop).repeat(last - first)
        rows = zip(counts.tolist(), first.tolist(), last.tolist(), strict=True)
        for number, (count, low, high) in enumerate(rows, start):
            self.born[number] = places, low, high
            heapq.heappush(self.heap, (-count, number))
        return keys[first]

    def symbols_of(self, pair: int) -> tuple[int, int]:
        """The two symbols of a pair."""
        return self.left[pair], self.right[pair]

    def best_pair(self) -> int:
        """The pair with the highest count, the first of several; 0 for none."""
        while self.heap:
            held, number = self.heap[0]
            count = int(self.count[number])
            if count == -held:
                return number
            if count:
                heapq.heapreplace(self.heap, (-count, number))
            else:
                heapq.heappop(self.heap)
                self.born.pop(number, None)
        return _NO_PAIR

    def merge(self, pair: int, new: int) -> None:
        """Make symbol `new` of every place where `pair` occurs."""
        places = self._places(pair)
        self._unlink(places, new)
        self.count[pair] = 0
        self._link(places, new)

    def _places(self, pair: int) -> Ints:
        """Where `pair` occurs and is to be merged, ascending: (m,)."""
        array, low, high = self.born.pop(pair)
        places: Ints = array[low:high]
        places = places[self.pair[places] == pair]
        if self.left[pair] == self.right[pair] and len(places) > 1:
            # In a run of one symbol every other place is merged, from the left.
            follows = self.after[places[:-1]] == places[1:]
            index = np.arange(len(places))
            begins = np.where(np.append(True, ~follows), index, 0)
            places = places[(index - np.maximum.accumulate(begins)) % 2 == 0]
        return places

    def _unlink(self, places: Ints, new: int) -> None:
        """Put `new` at `places` and take their right neighbours out of the pieces."""
        gone = self.after[places]
        weight = self.weight[places]
        # A pair between two merged places is counted once: it is gone for the second.
        np.subtract.at(self.count, self.pair[gone], weight)
        self.pair[gone] = _NO_PAIR
        np.subtract.at(self.count, self.pair[self.before[places]], weight)
        self.pair[places] = _NO_PAIR
        after = self.after[gone]
        self.symbol[places] = new
        self.symbol[gone] = _GONE
        self.after[places] = after
        self.before[after] = places

    def _link(self, places: Ints, new: int) -> None:
        """Number the pairs that `new` at `places` has with its neighbours."""
        before = self.before[places]
        left = self.symbol[before]
        right = self.symbol[self.after[places]]
        has_left = (left != _BORDER) & (left != new)
        has_right = right != _BORDER
        # Pairs (x, new) before pairs (new, y): their left symbol is the older one.
        keys = np.concatenate((left[has_left], right[has_right] + new))
        where = np.concatenate((before[has_left], places[has_right]))
        for key in self._number(keys, where).tolist():
            self.left.append(min(key, new))
            self.right.append(new if key < new else key - new)
