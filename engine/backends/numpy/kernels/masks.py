"""Dropout masks by the rule of `engine.graph.ops.dropout`, in blocks, without waste.

The same Philox sequence as `engine.random.philox`, written over arrays that each
thread keeps; a word of four bytes decides four elements.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.random import ROUNDS, Stream

if TYPE_CHECKING:
    from engine.backends.numpy.kernels.attention import AttentionShape

Array = NDArray[Any]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
#: Philox blocks made at a time: six arrays of this many words stay in cache.
BLOCKS = 4096
_ELEMENTS = 16  # bytes, and so elements, of one Philox block

_local = threading.local()


def _arrays() -> tuple[list[Array], Array]:
    """Six uint64 arrays of BLOCKS, and the words (BLOCKS, 4) they end as."""
    if not hasattr(_local, "arrays"):
        _local.arrays = [np.empty(BLOCKS, np.uint64) for _ in range(6)]
        _local.words = np.empty((BLOCKS, 4), np.uint32)
    return _local.arrays, _local.words


def _philox_bytes(seed: int, step: int, salt: int, first: int, count: int) -> Array:
    """Bytes of blocks first .. first + count (at most BLOCKS) of one sequence."""
    arrays, words = _arrays()
    c0, c1, c2, c3, p0, p1 = (array[:count] for array in arrays)
    c0[:] = np.arange(first, first + count, dtype=np.uint64)
    np.right_shift(c0, _SHIFT, c1)
    np.bitwise_and(c0, _LOW, c0)
    np.bitwise_or(c1, np.uint64(step >> 32 << 16), c1)
    c2.fill(step & 0xFFFFFFFF)
    c3.fill(salt << 8 | Stream.DROPOUT)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(ROUNDS):
        np.multiply(c0, _M0, p0)
        np.multiply(c2, _M1, p1)
        np.right_shift(p1, _SHIFT, c0)
        np.bitwise_xor(c0, c1, c0)
        np.bitwise_xor(c0, np.uint64(k0), c0)
        np.bitwise_and(p1, _LOW, c1)
        np.right_shift(p0, _SHIFT, c2)
        np.bitwise_xor(c2, c3, c2)
        np.bitwise_xor(c2, np.uint64(k1), c2)
        np.bitwise_and(p0, _LOW, c3)
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    for column, part in enumerate((c0, c1, c2, c3)):
        words[:count, column] = part
    return words[:count].reshape(-1).view(np.uint8)


def _name(counter: Array) -> tuple[int, int]:
    """(seed, step) of a counter of four int32 words."""
    words = [int(word) & 0xFFFFFFFF for word in counter]
    return words[0] | words[1] << 32, words[2] | words[3] << 32


def fill_mask(counter: Array, salt: int, keep: int, first: int, out: Array) -> None:
    """out (n,) uint8: 1 where element first + i is kept, 0 where it is dropped."""
    seed, step = _name(counter)
    done, kept = 0, out.view(np.bool_)
    while done < len(out):
        block, skip = divmod(first + done, _ELEMENTS)
        blocks = min(BLOCKS, -(-(skip + len(out) - done) // _ELEMENTS))
        values = _philox_bytes(seed, step, salt, block, blocks)[skip:]
        size = min(len(values), len(out) - done)
        np.less(values[:size], keep, kept[done : done + size])
        done += size


def dropout_mask(counter: Array, out: Array, row: int, keep: int, salt: int) -> None:
    """The mask of rows row .. row + m of a tensor, into out (m, W) uint8."""
    fill_mask(counter, salt, keep, row * out.shape[1], out.reshape(-1))


def attention_mask(
    counter: Array,
    shape: AttentionShape,
    sequences: range,
    heads: range,
    span: tuple[int, int],
) -> Array:
    """The mask of weights (len(sequences), len(heads), queries, stop), uint8.

    Queries start .. stop of the span see the keys before `stop`.
    """
    start, stop = span
    size = (stop - start) * shape.block
    out = np.empty((len(sequences), len(heads), stop - start, shape.block), np.uint8)
    for a, sequence in enumerate(sequences):
        for b, head in enumerate(heads):
            row = (sequence * shape.heads + head) * shape.block + start
            part = out[a, b].reshape(size)
            fill_mask(counter, shape.salt, shape.keep, row * shape.block, part)
    return out[..., :stop]
