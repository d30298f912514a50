"""Ops that mix rows, and so run as one call on whole tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def rotary_at(
    x: Array,
    starts: Array,
    out: Array,
    heads: int,
    theta: float,
    inverse: bool,
) -> None:
    """Rotate x (B, T, heads * D): row t of sequence b stands at starts[b] + t."""
    from engine.backends.numpy.kernels.rows import rotary, rotary_tables

    batch, rows, width = x.shape
    positions = (starts[:, None] + np.arange(rows)).reshape(-1)
    size = width // heads
    cos, sin = rotary_tables(positions, size, theta, inverse, x.dtype.name)
    work = np.empty((batch * rows, width // 2), x.dtype)
    rotary(
        x.reshape(batch * rows, width),
        cos,
        sin,
        out.reshape(batch * rows, width),
        work,
    )
