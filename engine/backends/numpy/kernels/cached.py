"""Attention of new rows over a cache of earlier ones, and writing that cache.

A token decoded alone gives these so little to do that making views of the arrays would
take longer than the arithmetic: both make theirs once, for arrays that stay in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.kernels.attention import AttentionShape

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
            if shape.softcap:
                np.multiply(score, 1.0 / shape.softcap, score)
                np.tanh(score, score)
                np.multiply(score, shape.softcap, score)
            if rows > 1:
                own = score[..., start:]
                np.add(own, self._later, own)
            np.maximum.reduce(score, axis=-1, out=top, keepdims=True)
            np.subtract(score, top, score)
            np.exp(score, score)
            np.add.reduce(score, axis=-1, out=top, keepdims=True)
            np.matmul(score, value[..., :stop, :], target)
            np.divide(target, top, target)


def _view(x: Array, shape: tuple[int, ...]) -> Array:
    """x as `shape`, on x's own memory: the arrays change after the views are made."""
    view = x.reshape(shape)
    assert np.may_share_memory(view, x)
    return view
