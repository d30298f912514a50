"""Ops that mix rows, and so run as one call on whole tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.kernels.rows import rotary, rotary_tables

Array = NDArray[Any]


def embedding_grad(
    ids: Array, dy: Array, out: Array, work: Array, *, add: bool
) -> None:
    """out[v] (+)= sum of dy's rows whose id is v, in the order of the rows.

    ids (N,), dy (N, C), out (V, C), work (2, N, C). Rows are sorted by id, so that
    each table row is written once, by a sum of fixed order.
    """
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    gathered, sums = work[0], work[1, : len(starts)]
    np.take(dy, order, axis=0, out=gathered, mode="clip")
    np.add.reduceat(gathered, starts, 0, None, sums)
    rows = ordered[starts]
    if add:
        held = gathered[: len(rows)]
        np.take(out, rows, axis=0, out=held, mode="clip")
        np.add(sums, held, sums)
    else:
        out.fill(0)
    out[rows] = sums


def count_targets(targets: Array, out: Array) -> None:
    """How many targets are not -1, at least 1."""
    out[()] = max(1, int(np.count_nonzero(targets >= 0)))


class RotaryTables:
    """Cosines and sines of the positions 0 .. n, made as far as they were asked for."""

    def __init__(self, size: int, theta: float, inverse: bool, dtype: str) -> None:
        self._shape = size, theta, inverse, dtype
        self._tables = rotary_tables(np.arange(0), *self._shape)

    def rows(self, start: int, stop: int) -> tuple[Array, Array]:
        """Those of the positions start .. stop: (stop - start, size / 2) each."""
        cos, sin = self._tables
        if stop > len(cos):
            positions = np.arange(1 << (stop - 1).bit_length())
            cos, sin = self._tables = rotary_tables(positions, *self._shape)
        return cos[start:stop], sin[start:stop]


def rotary_at(
    x: Array, starts: Array, out: Array, tables: RotaryTables, work: Array
) -> None:
    """Rotate x (B, T, heads * D): row t of sequence b stands at starts[b] + t.

    work is (T, heads * D / 2).
    """
    for index, start in enumerate(starts.tolist()):
        cos, sin = tables.rows(start, start + len(work))
        rotary(x[index], cos, sin, out[index], work)
