"""Attention of new rows over a cache of earlier ones, and writing that cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy.kernels.attention import AttentionShape

Array = NDArray[Any]


def cache_write(cache: Array, new: Array, starts: Array) -> None:
    """cache[b, starts[b] : starts[b] + T] = new[b], in place."""
    rows = new.shape[1]
    for index, start in enumerate(starts.tolist()):
        cache[index, start : start + rows] = new[index]


def attention_cached(
    q: Array,
    keys: Array,
    values: Array,
    starts: Array,
    out: Array,
    shape: AttentionShape,
    work: Array,
) -> None:
    """Row t of sequence b, at position starts[b] + t, attends to positions up to it.

    q and out (B, T, heads * D), keys and values (B, S, kv_heads * D); work holds
    heads * T * (S + D + 1) elements. `shape.block` is T.
    """
    kv, group, size, rows = shape.kv_heads, shape.group, shape.size, shape.block
    scale = size**-0.5
    for index, start in enumerate(starts.tolist()):
        stop = start + rows
        query = q[index].reshape(rows, kv, group, size).transpose(1, 2, 0, 3)
        key = keys[index, :stop].reshape(stop, kv, size).transpose(1, 2, 0)
        value = values[index, :stop].reshape(stop, kv, size).transpose(1, 0, 2)
        target = out[index].reshape(rows, kv, group, size).transpose(1, 2, 0, 3)
        heads = shape.heads * rows
        scaled = work[: heads * size].reshape(kv, group, rows, size)
        top = work[heads * size : heads * (size + 1)].reshape(kv, group, rows, 1)
        used = heads * (size + 1)
        score = work[used : used + heads * stop].reshape(kv, group, rows, stop)
        np.multiply(query, scale, scaled)
        np.matmul(scaled, key[:, None], score)
        if shape.softcap:
            np.multiply(score, 1.0 / shape.softcap, score)
            np.tanh(score, score)
            np.multiply(score, shape.softcap, score)
        for row in range(rows - 1):
            score[:, :, row, start + row + 1 :] = -np.inf
        np.maximum.reduce(score, axis=-1, out=top, keepdims=True)
        np.subtract(score, top, score)
        np.exp(score, score)
        np.add.reduce(score, axis=-1, out=top, keepdims=True)
        np.divide(score, top, score)
        np.matmul(score, value[:, None], target)
