"""Dropout masks by the rule of `engine.graph.ops.dropout`, in blocks, without waste.

The same Philox sequence as `engine.random.philox`, written over arrays that each
thread keeps; a word of four bytes decides four elements.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.random import ROUNDS, Stream

if TYPE_CHECKING:
    from engine.backends.numpy.kernels.attention import AttentionShape

Array = NDArray[Any]

#: Philox blocks made at a time: six arrays of this many words stay in cache.
BLOCKS = 4096
#: Bytes, and so elements, of one Philox block.
ELEMENTS = 16

_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_M0, _M1 = (np.array(value, np.uint64) for value in (0xD2511F53, 0xCD9E8D57))
_LOW, _SHIFT = (np.array(value, np.uint64) for value in (0xFFFFFFFF, 32))

_COUNT = np.arange(BLOCKS, dtype=np.uint64)

_local = threading.local()


def _arrays() -> tuple[list[Array], Array]:
    """Seven uint64 arrays of BLOCKS, and the words (BLOCKS, 4) they end as.

    The first is for the numbers of the blocks.
    """
    if not hasattr(_local, "arrays"):
        _local.arrays = [np.empty(BLOCKS, np.uint64) for _ in range(7)]
        _local.words = np.empty((BLOCKS, 4), np.uint32)
    return _local.arrays, _local.words


def _kept(size: int) -> Array:
    """Bytes that this thread keeps for masks, at least `size`."""
    if not hasattr(_local, "mask") or len(_local.mask) < size:
        _local.mask = np.empty(size, np.uint8)
    mask: Array = _local.mask[:size]
    return mask


def _philox_bytes(name: tuple[int, int], salt: int, blocks: Array) -> Array:
    """Bytes of the given blocks (at most BLOCKS of them) of one sequence, (n, 16).

    `name` is (seed, step).
    """
    seed, step = name
    count = len(blocks)
    arrays, words = _arrays()
    c0, c1, c2, c3, p0, p1 = (array[:count] for array in arrays[1:])
    np.right_shift(blocks, _SHIFT, c1)
    np.bitwise_and(blocks, _LOW, c0)
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
    return words[:count].view(np.uint8)


def _name(counter: Array) -> tuple[int, int]:
    """(seed, step) of a counter of four int32 words."""
    words = [int(word) & 0xFFFFFFFF for word in counter]
    return words[0] | words[1] << 32, words[2] | words[3] << 32


def fill_mask(counter: Array, salt: int, keep: int, first: int, out: Array) -> None:
    """out (n,) uint8: 1 where element first + i is kept, 0 where it is dropped."""
    name = _name(counter)
    done, kept = 0, out.view(np.bool_)
    while done < len(out):
        block, skip = divmod(first + done, ELEMENTS)
        count = min(BLOCKS, -(-(skip + len(out) - done) // ELEMENTS))
        blocks = _arrays()[0][0][:count]
        np.add(_COUNT[:count], np.uint64(block), blocks)
        values = _philox_bytes(name, salt, blocks).reshape(-1)[skip:]
        size = min(len(values), len(out) - done)
        np.less(values[:size], keep, kept[done : done + size])
        done += size


def dropout_mask(counter: Array, out: Array, row: int, keep: int, salt: int) -> None:
    """The mask of rows row .. row + m of a tensor, into out (m, W) uint8."""
    fill_mask(counter, salt, keep, row * out.shape[1], out.reshape(-1))


def attention_mask(
    counter: Array,
    shape: AttentionShape,
    sequences: Sequence[int],
    heads: Sequence[int],
    span: tuple[int, int],
) -> Array:
    """The mask of weights (sequences, heads, queries, stop), 0 and 1 as uint8.

    Queries start .. stop of the span see the keys before `stop`. The array is this
    thread's own until its next call.
    """
    start, stop = span
    size = (stop - start) * shape.block
    pairs = [(sequence, head) for sequence in sequences for head in heads]
    firsts = [
        ((sequence * shape.heads + head) * shape.block + start) * shape.block
        for sequence, head in pairs
    ]
    flat = _kept(len(pairs) * size)
    if size % ELEMENTS == 0 and all(first % ELEMENTS == 0 for first in firsts):
        _fill_blocks(counter, shape, firsts, flat)
    else:
        for first, part in zip(firsts, flat.reshape(-1, size), strict=True):
            fill_mask(counter, shape.salt, shape.keep, first, part)
    out = flat.reshape(len(sequences), len(heads), stop - start, shape.block)
    return out[..., :stop]


def _fill_blocks(
    counter: Array, shape: AttentionShape, firsts: Sequence[int], out: Array
) -> None:
    """Masks of equal stretches that begin and end with whole blocks, one after another.

    Many short stretches are made at once: a call of NumPy costs as much as a hundred
    elements.
    """
    name = _name(counter)
    each = len(out) // len(firsts) // ELEMENTS
    starts = np.array(firsts, np.uint64) // np.uint64(ELEMENTS)
    kept = out.view(np.bool_).reshape(-1, ELEMENTS)
    for low in range(0, len(kept), BLOCKS):
        stretch, within = _places(each, low, min(low + BLOCKS, len(kept)))
        blocks = _arrays()[0][0][: len(within)]
        np.take(starts, stretch, out=blocks, mode="clip")
        np.add(blocks, within, blocks)
        values = _philox_bytes(name, shape.salt, blocks)
        np.less(values, shape.keep, kept[low : low + len(within)])


@cache
def _places(each: int, low: int, high: int) -> tuple[Array, Array]:
    """Of blocks low .. high: the number of their stretch, and the place within it."""
    index = np.arange(low, high)
    return index // each, (index % each).astype(np.uint64)
