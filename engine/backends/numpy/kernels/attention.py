"""Causal attention on a few sequences, block of queries by block of queries.

Heads stay side by side in rows (T, heads * D); views put them in front, and BLAS
reads the strides. Scores exist for one block of queries and a few heads at a time,
and only as far as the causal mask lets them be seen.
Source: Dao 2023, arXiv 2307.08691 (recomputation by the saved log-sum-exp).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.kernels.masks import attention_mask

Array = NDArray[Any]

#: Scores in work at a time, in elements: two such arrays fit a core's cache.
TILE = 1 << 16
#: Queries a block holds at most.
QUERIES = 64

_add_reduce = np.add.reduce
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
        return 3 * self.scores + 3 * self.rows_work

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


def causal_mask(queries: int, dtype: str) -> Array:
    """(q, q): 0 on and below the diagonal, -inf above."""
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
    scaled: Array, k: Array, span: tuple[int, int], mask: Array, cap: float, out: Array
) -> None:
    """Masked (and capped) scores of one block: queries at `span`, keys before."""
    start, stop = span
    np.matmul(scaled, k[..., :stop, :].swapaxes(-1, -2), out)
    if cap:
        np.multiply(out, 1.0 / cap, out)
        np.tanh(out, out)
        np.multiply(out, cap, out)
    diagonal = out[..., start:]
    width = stop - start
    np.add(diagonal, mask[:width, :width], diagonal)


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
    """
    q, out = heads_first(q, shape, False), heads_first(out, shape, False)
    k, v = heads_first(k, shape, True), heads_first(v, shape, True)
    lse = lse.reshape(-1, shape.block, shape.kv_heads, shape.group)
    lse = lse.transpose(0, 2, 3, 1)[..., None]
    scale = shape.size**-0.5
    for n, h in _tiles(len(q), shape):
        lead = (n.stop - n.start, h.stop - h.start, shape.group)
        for start, stop in shape.spans():
            scratch = _Scratch(work)
            rows = stop - start
            scaled = scratch.take(*lead, rows, shape.size)
            score = scratch.take(*lead, rows, stop)
            total = scratch.take(*lead, rows, 1)
            top = lse[n, h, :, start:stop]
            np.multiply(q[n, h, :, start:stop], scale, scaled)
            _scores(scaled, k[n, h], (start, stop), mask, shape.softcap, score)
            _max_reduce(score, -1, None, top, True)
            np.subtract(score, top, score)
            np.exp(score, score)
            _add_reduce(score, -1, None, total, True)
            if counter is not None:
                _drop(score, (n, h, start, stop), shape, counter, first, scratch)
            target = out[n, h, :, start:stop]
            np.matmul(score, v[n, h, :, :stop], target)
            np.divide(target, total, target)
            np.log(total, total)
            np.add(top, total, top)


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
    q, out = heads_first(q, shape, False), heads_first(out, shape, False)
    dout, dq = heads_first(dout, shape, False), heads_first(dq, shape, False)
    k, v = heads_first(k, shape, True), heads_first(v, shape, True)
    dk, dv = heads_first(dk, shape, True), heads_first(dv, shape, True)
    lse = lse.reshape(-1, shape.block, shape.kv_heads, shape.group)
    lse = lse.transpose(0, 2, 3, 1)[..., None]
    scale = shape.size**-0.5
    for n, h in _tiles(len(q), shape):
        lead = (n.stop - n.start, h.stop - h.start, shape.group)
        for start, stop in shape.spans():
            scratch = _Scratch(work)
            rows = stop - start
            here = (n, h, slice(None), slice(start, stop))
            scaled = scratch.take(*lead, rows, shape.size)
            delta = scratch.take(*lead, rows, 1)
            weights = scratch.take(*lead, rows, stop)
            dscore = scratch.take(*lead, rows, stop)
            np.multiply(dout[here], out[here], scaled)
            _add_reduce(scaled, -1, None, delta, True)
            np.multiply(q[here], scale, scaled)
            _scores(scaled, k[n, h], (start, stop), mask, shape.softcap, weights)
            slope = None
            if shape.softcap:
                slope = scratch.take(*lead, rows, stop)
                np.multiply(weights, 1.0 / shape.softcap, slope)
                np.multiply(slope, slope, slope)
                np.subtract(1.0, slope, slope)
                np.add(slope[..., start:], 0.0, slope[..., start:])
            np.subtract(weights, lse[here], weights)
            np.exp(weights, weights)
            np.matmul(dout[here], v[n, h, :, :stop].swapaxes(-1, -2), dscore)
            kept = weights
            if counter is not None:
                kept = scratch.take(*lead, rows, stop)
                kept[...] = weights
                tile = (n, h, start, stop)
                _drop(kept, tile, shape, counter, first, scratch)
                _drop(dscore, tile, shape, counter, first, scratch)
            _add_keys(kept, dout[here], dv[n, h, 0], stop == shape.block, scratch)
            np.subtract(dscore, delta, dscore)
            np.multiply(dscore, weights, dscore)
            if slope is not None:
                # Masked scores are -inf and their slope too; their weight is zero.
                slope[weights == 0.0] = 0.0
                np.multiply(dscore, slope, dscore)
            _add_keys(dscore, scaled, dk[n, h, 0], stop == shape.block, scratch)
            np.matmul(dscore, k[n, h, :, :stop], scaled)
            np.multiply(scaled, scale, dq[here])


def _add_keys(
    weights: Array, rows: Array, target: Array, first: bool, scratch: _Scratch
) -> None:
    """target[:stop] (+)= sum over the group of weights^T rows; `first` overwrites."""
    stop = weights.shape[-1]
    view = target[..., :stop, :]
    one = weights.shape[2] == 1
    if first and one:
        np.matmul(weights[:, :, 0].swapaxes(-1, -2), rows[:, :, 0], view)
        return
    mark = scratch.used
    part = scratch.take(*weights.shape[:3], stop, rows.shape[-1])
    np.matmul(weights.swapaxes(-1, -2), rows, part)
    if first:
        _add_reduce(part, 2, None, view)
    else:
        for index in range(part.shape[2]):
            np.add(view, part[:, :, index], view)
    scratch.used = mark


def _drop(
    weights: Array,
    tile: tuple[slice, slice, int, int],
    shape: AttentionShape,
    counter: Array,
    first: int,
    scratch: _Scratch,
) -> None:
    """Zero the dropped weights and scale the rest; the same at every call."""
    n, h, start, stop = tile
    mask = attention_mask(
        counter,
        shape,
        range(first + n.start, first + n.stop),
        range(h.start * shape.group, h.stop * shape.group),
        (start, stop),
    )
    np.multiply(weights, mask.reshape(weights.shape), weights)
    np.multiply(weights, 256.0 / shape.keep, weights)
