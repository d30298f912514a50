"""Causal attention on a few sequences, block of queries by block of queries.

Heads stay side by side in rows (T, heads * D); views put them in front, and BLAS
reads the strides. Scores exist for one block of queries and a few heads at a time,
and only as far as the causal mask lets them be seen.
Source: Dao 2023, arXiv 2307.08691 (recomputation by the saved log-sum-exp).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.kernels.masks import attention_mask
from engine.backends.numpy.kernels.rows import ones

Array = NDArray[Any]

#: Scores in work at a time, in elements: two such arrays fit a core's cache.
TILE = 1 << 16
#: Queries a block holds at most.
QUERIES = 64

#: Sums of exponentials within these bounds need no shift by the row's maximum.
SAFE_SUM = (1e-30, 1e30)

_max_reduce = np.maximum.reduce


@dataclass(frozen=True)
class AttentionShape:
    """T rows a sequence, `heads` query heads over `kv_heads`, each `size` wide."""

    block: int
    heads: int
    kv_heads: int
    size: int
    softcap: float = 0.0
    keep: int = 256
    salt: int = 0

    @property
    def group(self) -> int:
        return self.heads // self.kv_heads

    @property
    def queries(self) -> int:
        return min(QUERIES, self.block)

    @property
    def heads_at_once(self) -> int:
        """Key/value heads treated together."""
        scores = self.queries * self.block * self.group
        return max(1, min(self.kv_heads, TILE // scores))

    @property
    def sequences_at_once(self) -> int:
        scores = self.queries * self.block * self.heads
        return max(1, TILE // scores) if self.heads_at_once == self.kv_heads else 1

    @property
    def scores(self) -> int:
        """Elements of the largest array of scores."""
        per_head = self.group * self.queries * self.block
        return self.sequences_at_once * self.heads_at_once * per_head

    @property
    def rows_work(self) -> int:
        """Elements of the largest array of queries or of keys, one head group."""
        per_head = self.group * self.block * self.size
        return self.sequences_at_once * self.heads_at_once * per_head

    @property
    def work(self) -> int:
        """Elements of scratch memory that forward or backward needs."""
        return 4 * self.scores + 4 * self.rows_work + 2 * self.block * self.heads

    def spans(self) -> Iterator[tuple[int, int]]:
        """Blocks of queries, the last first: later ones add to what it wrote."""
        for start in reversed(range(0, self.block, self.queries)):
            yield start, min(start + self.queries, self.block)


def heads_first(x: Array, shape: AttentionShape, kv: bool) -> Array:
    """Rows (n * T, heads * D) as a view (n, KV, G, T, D); G is 1 for keys, values."""
    count = shape.kv_heads if kv else shape.heads
    group = 1 if kv else shape.group
    view = x.reshape(-1, shape.block, count // group, group, shape.size)
    return view.transpose(0, 2, 3, 1, 4)


@cache
def causal_mask(queries: int, dtype: str) -> Array:
    """(q, q): 0 on and below the diagonal, -inf above. Not to be written to."""
    mask = np.zeros((queries, queries), dtype)
    mask[np.triu_indices(queries, 1)] = -np.inf
    return mask


class _Scratch:
    """Arrays cut one after the other from a flat one."""

    def __init__(self, flat: Array) -> None:
        self.flat = flat
        self.used = 0

    def take(self, *shape: int) -> Array:
        size = int(np.prod(shape))
        part = self.flat[self.used : self.used + size]
        self.used += size
        return part.reshape(shape)


def _tiles(count: int, shape: AttentionShape) -> Iterator[tuple[slice, slice]]:
    for n in range(0, count, shape.sequences_at_once):
        for h in range(0, shape.kv_heads, shape.heads_at_once):
            yield (
                slice(n, min(n + shape.sequences_at_once, count)),
                slice(h, min(h + shape.heads_at_once, shape.kv_heads)),
            )


def _scores(
    q: Array,
    k: Array,
    span: tuple[int, int],
    shape: AttentionShape,
    mask: Array,
    out: Array,
    slope: Array | None = None,
) -> None:
    """Scaled, capped, masked scores of one block: queries at `span`, keys before.

    `slope`, if given, becomes the derivative of the soft-cap.
    """
    start, stop = span
    np.matmul(q, k[..., :stop, :].swapaxes(-1, -2), out)
    if shape.softcap:
        np.multiply(out, shape.size**-0.5 / shape.softcap, out)
        np.tanh(out, out)
        if slope is not None:
            np.multiply(out, out, slope)
            np.subtract(1.0, slope, slope)
        np.multiply(out, shape.softcap, out)
    else:
        np.multiply(out, shape.size**-0.5, out)
    diagonal = out[..., start:]
    width = stop - start
    np.add(diagonal, mask[:width, :width], diagonal)


def _by_head(x: Array, shape: AttentionShape) -> Array:
    """A value a row and head, (n * T, heads), as a view (n, KV, G, T)."""
    view = x.reshape(-1, shape.block, shape.kv_heads, shape.group)
    return view.transpose(0, 2, 3, 1)


def attention(
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    lse: Array,
    shape: AttentionShape,
    mask: Array,
    work: Array,
    counter: Array | None = None,
    first: int = 0,
) -> None:
    """out = softmax(q k^T / sqrt(D)) v and lse = log of the softmax's sum.

    q, out (n * T, heads * D), k, v (n * T, kv_heads * D), lse (n * T, heads); `first`
    is the number of the first sequence, which dropout's counters go by.

    Scores are exponentiated as they are; only rows whose sum leaves `SAFE_SUM` are
    done again, shifted by their maximum. That is decided row by row, so that no row
    depends on another.
    """
    q, target = heads_first(q, shape, False), heads_first(out, shape, False)
    k, v = heads_first(k, shape, True), heads_first(v, shape, True)
    sums = _by_head(lse, shape)
    weigh = ones(shape.block, work.dtype)
    shifts: list[tuple[Array, Array]] = []
    for n, h in _tiles(len(q), shape):
        lead = (n.stop - n.start, h.stop - h.start, shape.group)
        for start, stop in shape.spans():
            scratch = _Scratch(work)
            rows = stop - start
            query, key = q[n, h, :, start:stop], k[n, h]
            score = scratch.take(*lead, rows, stop)
            total = scratch.take(*lead, rows)
            _scores(query, key, (start, stop), shape, mask, score)
            np.exp(score, score)
            np.vecdot(score, weigh[:stop], total)
            if not SAFE_SUM[0] < total.min() <= total.max() < SAFE_SUM[1]:
                redone = np.empty_like(score)
                _scores(query, key, (start, stop), shape, mask, redone)
                top = _redo(redone, score, total)
                shifts.append((sums[n, h, :, start:stop], top))
            sums[n, h, :, start:stop] = total
            if counter is not None:
                scale = scratch.take(*score.shape)
                _drop_scale((n, h, start, stop), shape, counter, first, scale)
                np.multiply(score, scale, score)
            np.matmul(score, v[n, h, :, :stop], target[n, h, :, start:stop])
    rows_ = out.reshape(-1, shape.heads, shape.size)
    np.divide(rows_, lse.reshape(-1, shape.heads, 1), rows_)
    np.log(lse, lse)
    for part, top in shifts:
        np.add(part, top, part)


def _redo(score: Array, weights: Array, total: Array) -> Array:
    """Replace the rows of unsafe sum by shifted ones; the shift of each row."""
    unsafe = ~((total > SAFE_SUM[0]) & (total < SAFE_SUM[1]))
    top = _max_reduce(score, -1)
    np.exp(score - top[..., None], score)
    np.copyto(weights, score, where=unsafe[..., None])
    np.copyto(total, score.sum(-1), where=unsafe)
    return np.where(unsafe, top, 0)


def attention_grad(
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    lse: Array,
    dout: Array,
    dq: Array,
    dk: Array,
    dv: Array,
    shape: AttentionShape,
    mask: Array,
    work: Array,
    counter: Array | None = None,
    first: int = 0,
) -> None:
    """Gradients of `attention`'s inputs; shapes as there."""
    arrays = [heads_first(x, shape, False) for x in (q, dout, dq)]
    shared = [heads_first(x, shape, True) for x in (k, v, dk, dv)]
    sums = _by_head(lse, shape)
    for n, h in _tiles(len(arrays[0]), shape):
        scratch = _Scratch(work)
        delta = _delta(out, dout, n, shape, scratch)[:, h]
        tile = _Tile(shape, mask, n, h, counter, first)
        parts = [x[n, h] for x in (*arrays, *shared)]
        tile.grad(parts, sums[n, h][..., None], delta[..., None], scratch)


def _delta(
    out: Array, dout: Array, n: slice, shape: AttentionShape, scratch: _Scratch
) -> Array:
    """Sum over each head of out * dout, for sequences n: a view (n, KV, G, T)."""
    rows = slice(n.start * shape.block, n.stop * shape.block)
    count = rows.stop - rows.start
    delta = scratch.take(count, shape.heads)
    left = out[rows].reshape(count, shape.heads, shape.size)
    right = dout[rows].reshape(count, shape.heads, shape.size)
    np.vecdot(left, right, delta)
    return _by_head(delta, shape)


@dataclass(frozen=True)
class _Tile:
    """A few sequences and heads whose gradient is computed at once."""

    shape: AttentionShape
    mask: Array
    n: slice
    h: slice
    counter: Array | None
    first: int

    def grad(
        self, parts: list[Array], lse: Array, delta: Array, scratch: _Scratch
    ) -> None:
        """parts are q, dout, dq (n, KV, G, T, D) and k, v, dk, dv with G = 1."""
        q, dout, dq, k, v, dk, dv = parts
        shape, scale = self.shape, self.shape.size**-0.5
        dkeys = scratch.take(*dk.shape[:2], shape.block, shape.size)
        dvalues = scratch.take(*dkeys.shape)
        mark = scratch.used
        for start, stop in shape.spans():
            scratch.used = mark
            rows = slice(start, stop)
            size = (*q.shape[:3], stop - start, stop)
            weights, dscore = scratch.take(*size), scratch.take(*size)
            slope = scratch.take(*size) if shape.softcap else None
            query, above = q[..., rows, :], dout[..., rows, :]
            _scores(query, k, (start, stop), shape, self.mask, weights, slope)
            np.subtract(weights, lse[..., rows, :], weights)
            np.exp(weights, weights)
            np.matmul(above, v[..., :stop, :].swapaxes(-1, -2), dscore)
            kept = weights
            if self.counter is not None:
                kept = scratch.take(*size)
                tile = (self.n, self.h, start, stop)
                _drop_scale(tile, shape, self.counter, self.first, kept)
                np.multiply(dscore, kept, dscore)
                np.multiply(weights, kept, kept)
            _add_keys(kept, above, dvalues, scratch)
            np.subtract(dscore, delta[..., rows, :], dscore)
            np.multiply(dscore, weights, dscore)
            np.multiply(dscore, scale, dscore)
            if slope is not None:
                np.multiply(dscore, slope, dscore)
            _add_keys(dscore, query, dkeys, scratch)
            np.matmul(dscore, k[..., :stop, :], dq[..., rows, :])
        np.copyto(dk[:, :, 0], dkeys)
        np.copyto(dv[:, :, 0], dvalues)


def _add_keys(weights: Array, rows: Array, target: Array, scratch: _Scratch) -> None:
    """target[:stop] (+)= sum over the group of weights^T rows.

    The block that sees all keys comes first, and overwrites.
    """
    stop = weights.shape[-1]
    view = target[:, :, :stop]
    turned = weights.swapaxes(-1, -2)
    first = stop == target.shape[2]
    for index in range(weights.shape[2]):
        if first and index == 0:
            np.matmul(turned[:, :, 0], rows[:, :, 0], view)
            continue
        mark = scratch.used
        part = scratch.take(*view.shape)
        np.matmul(turned[:, :, index], rows[:, :, index], part)
        np.add(view, part, view)
        scratch.used = mark


def _drop_scale(
    tile: tuple[slice, slice, int, int],
    shape: AttentionShape,
    counter: Array,
    first: int,
    out: Array,
) -> None:
    """out = 0 for dropped weights of a tile and 256 / keep for the others."""
    n, h, start, stop = tile
    mask = attention_mask(
        counter,
        shape,
        range(first + n.start, first + n.stop),
        range(h.start * shape.group, h.stop * shape.group),
        (start, stop),
    )
    np.multiply(mask.reshape(out.shape), out.dtype.type(256.0 / shape.keep), out)
