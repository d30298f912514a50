"""Attention of new rows over a cache of earlier ones, and writing that cache.

A token decoded alone gives these so little to do that making views of the arrays would
take longer than the arithmetic: both make theirs once, for arrays that stay in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.kernels.attention import SAFE_SUM, AttentionShape
from engine.backends.numpy.kernels.rows import ones

Array = NDArray[Any]


class CacheWrite:
    """cache[b, starts[b] : starts[b] + T] = new[b], in place."""

    def __init__(self, cache: Array, new: Array) -> None:
        self._rows = new.shape[1]
        self._pairs = list(zip(cache, new, strict=True))

    def __call__(self, starts: Sequence[int]) -> None:
        rows = self._rows
        for (cache, new), start in zip(self._pairs, starts, strict=True):
            cache[start : start + rows] = new


class CachedAttention:
    """Row t of sequence b, at position starts[b] + t, attends to positions up to it.

    q and out (B, T, heads * D), keys and values (B, S, kv_heads * D); `shape.block`
    is T.
    """

    def __init__(
        self, q: Array, keys: Array, values: Array, out: Array, shape: AttentionShape
    ) -> None:
        kv, group, size, rows = shape.kv_heads, shape.group, shape.size, shape.block
        heads, places = (rows, kv, group, size), (keys.shape[1], kv, size)
        self._shape = shape
        self._later = np.triu(np.full((rows, rows), -np.inf, q.dtype), 1)
        self._sequences = [
            (
                _view(q[index], heads).transpose(1, 2, 0, 3),
                _view(keys[index], places).transpose(1, 2, 0)[:, None],
                _view(values[index], places).transpose(1, 0, 2)[:, None],
                _view(out[index], heads).transpose(1, 2, 0, 3),
            )
            for index in range(len(q))
        ]

    def __call__(self, starts: Sequence[int], work: Array) -> None:
        """`work` holds heads * T * (S + D + 1) elements."""
        shape = self._shape
        kv, group, size, rows = shape.kv_heads, shape.group, shape.size, shape.block
        total = shape.heads * rows
        scaled = work[: total * size].reshape(kv, group, rows, size)
        top = work[total * size : total * (size + 1)].reshape(kv, group, rows, 1)
        rest = work[total * (size + 1) :]
        for views, start in zip(self._sequences, starts, strict=True):
            query, key, value, target = views
            stop = start + rows
            score = rest[: total * stop].reshape(kv, group, rows, stop)
            np.multiply(query, size**-0.5, scaled)
            np.matmul(scaled, key[..., :stop], score)
            _cap(score, shape.softcap)
            if rows > 1:
                own = score[..., start:]
                np.add(own, self._later, own)
            np.maximum.reduce(score, axis=-1, out=top, keepdims=True)
            np.subtract(score, top, score)
            np.exp(score, score)
            np.add.reduce(score, axis=-1, out=top, keepdims=True)
            np.matmul(score, value[..., :stop, :], target)
            np.divide(target, top, target)


class RowAttention:
    """The attention of one new row over a cache, its own place included.

    q and out (heads * D,), keys and values (S, kv_heads * D). Scores are shifted by
    their maximum only if their exponentials are too large or too small without.
    """

    def __init__(
        self, q: Array, keys: Array, values: Array, out: Array, shape: AttentionShape
    ) -> None:
        heads, places = (
            (shape.kv_heads, -1, shape.size),
            (-1, shape.kv_heads, shape.size),
        )
        self._shape = shape
        self._query, self._target = _view(q, heads), _view(out, heads)
        self._keys = _view(keys, places).transpose(1, 2, 0)
        self._values = _view(values, places).transpose(1, 0, 2)
        self._scaled = np.empty_like(self._query)
        self._totals = np.empty((*self._query.shape[:2], 1), q.dtype)
        self._sums, self._flat = self._totals[:, :, 0], self._totals.reshape(-1)
        self._scale = np.asarray(shape.size**-0.5, q.dtype)

    def __call__(self, start: int, work: Array) -> None:
        """The row stands at position `start`; work holds heads * S elements."""
        stop = start + 1
        score = work[: self._flat.size * stop].reshape(*self._sums.shape, stop)
        np.multiply(self._query, self._scale, self._scaled)
        self._score(score, stop)
        self._exponentials(score, stop)
        sums, (low, high) = self._flat.tolist(), SAFE_SUM
        if not low < min(sums) <= max(sums) < high:
            self._score(score, stop)
            np.subtract(score, score.max(axis=-1, keepdims=True), score)
            self._exponentials(score, stop)
        np.matmul(score, self._values[:, :stop], self._target)
        np.divide(self._target, self._totals, self._target)

    def _score(self, score: Array, stop: int) -> None:
        np.matmul(self._scaled, self._keys[:, :, :stop], score)
        _cap(score, self._shape.softcap)

    def _exponentials(self, score: Array, stop: int) -> None:
        np.exp(score, score)
        np.vecdot(score, ones(stop, score.dtype), self._sums)


def _cap(score: Array, limit: float) -> None:
    """Soft-cap scores in place: limit * tanh(score / limit); no limit: 0."""
    if limit:
        np.multiply(score, 1.0 / limit, score)
        np.tanh(score, score)
        np.multiply(score, limit, score)


def _view(x: Array, shape: tuple[int, ...]) -> Array:
    """x as `shape`, on x's own memory: the arrays change after the views are made."""
    view = x.reshape(shape)
    assert np.may_share_memory(view, x)
    return view
