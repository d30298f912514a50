"""Batches out of a token store: random windows, packed windows, evaluation windows.

Knows positions, windows and masks. Knows nothing about text, files or models.

A batch is a pure function of (store, seed, index). So the cursor of a run is one
number, and a run that goes on from it sees what it would have seen.

    random   row r of micro-step i starts at a position drawn by Philox from (seed, i)
    packed   the windows 0, block, 2 block, ... in an order drawn anew every epoch:
             every target once an epoch; the last window is padded
    in order the same windows from first to last, for evaluation
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.config import require
from engine.data.order import round_keys, shuffled
from engine.data.store import TokenStore
from engine.errors import DataError
from engine.random import Stream, integers
from engine.train.step import Batch

Packing = Literal["random", "packed"]

#: The target of a place that is not counted.
IGNORED = -1


class BatchSource:
    """Training batches of shape (batch, block) by micro-step index.

    Raises DataError when the store is shorter than one block and its last target.
    """

    def __init__(
        self,
        store: TokenStore,
        batch: int,
        block: int,
        seed: int,
        packing: str = "random",
    ) -> None:
        require(batch >= 1, "batch", batch, "must be at least 1")
        require(block >= 1, "block_size", block, "must be at least 1")
        known = ("random", "packed")
        require(packing in known, "packing", packing, "one of random, packed")
        if len(store) < block + 1:
            raise DataError(
                f"the {store.name} side has {len(store)} tokens, but a block of "
                f"{block} needs at least {block + 1}: give more text or a smaller block"
            )
        self.store, self.rows, self.block = store, batch, block
        self.seed, self.packing = seed, packing

    @property
    def windows(self) -> int:
        """Windows in an epoch of packed batches."""
        return window_count(self.store, self.block)

    def batch(self, index: int) -> Batch:
        """Micro-step `index` (from 0): x and y, both (batch, block) int32."""
        if self.packing == "random":
            starts = integers(
                self.seed,
                Stream.BATCH,
                index,
                self.rows,
                len(self.store) - self.block,
            )
        else:
            starts = self._packed(index) * self.block
        return read_windows(self.store, starts, self.block, self.rows)

    def _packed(self, index: int) -> NDArray[np.int64]:
        """The windows of micro-step `index`: (batch,) int64, across epochs' ends."""
        slots = index * self.rows + np.arange(self.rows, dtype=np.int64)
        epochs, places = np.divmod(slots, self.windows)
        windows = np.empty_like(places)
        for epoch in np.unique(epochs):
            rows = epochs == epoch
            keys = round_keys(self.seed, int(epoch))
            windows[rows] = shuffled(places[rows], self.windows, keys)
        return windows


def window_count(store: TokenStore, block: int) -> int:
    """How many windows of `block` targets cover every target of the store once."""
    return -(-(len(store) - 1) // block)


def eval_batches(
    store: TokenStore, batch: int, block: int, limit: int = 0
) -> Iterator[Batch]:
    """The whole store in order, every target counted exactly once.

    `limit` > 0 takes that many batches instead, of windows evenly spread over the
    store. Places past the end are token 0 with target -1. Raises DataError for a
    store without a target.
    """
    require(batch >= 1, "batch", batch, "must be at least 1")
    require(block >= 1, "block_size", block, "must be at least 1")
    if len(store) < 2:
        raise DataError(
            f"the {store.name} side has {len(store)} tokens; it takes 2 to evaluate"
        )
    windows = window_count(store, block)
    taken = min(windows, limit * batch) if limit > 0 else windows
    for first in range(0, taken, batch):
        places = np.arange(first, min(first + batch, taken), dtype=np.int64)
        starts = places * windows // taken * block
        yield read_windows(store, starts, block, batch)


def read_windows(
    store: TokenStore, starts: NDArray[np.int64], block: int, rows: int
) -> Batch:
    """Windows at `starts`, padded to `rows` rows: x and y, (rows, block) int32.

    y[r, t] is the token after x[r, t], or -1 where it does not count or there is none.
    """
    x = np.zeros((rows, block), dtype=np.int32)
    y = np.full((rows, block), IGNORED, dtype=np.int32)
    for row, start in enumerate(starts.tolist()):
        stop = min(start + block + 1, len(store))
        tokens = store.tokens(start, stop)
        width = stop - start - 1
        x[row, :width] = tokens[:-1]
        y[row, :width] = tokens[1:]
        if store.masked:
            y[row, :width][~store.counts(start + 1, stop)] = IGNORED
    return x, y


def dataset_passes(
    store: TokenStore, iters: int, batch: int, block: int, accum: int = 1
) -> float:
    """How many times a run of `iters` steps goes over the store's tokens."""
    return iters * batch * block * accum / len(store)
