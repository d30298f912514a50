"""Counter-based random numbers: Philox4x32-10.

Every random number is a pure function of (seed, stream, step, index), so that
dropout masks, initial weights and the order of batches can be replayed exactly, on
any backend, from any point. Nothing here keeps a state.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = 0x9E3779B9
_W1 = 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
ROUNDS = 10


class Stream(IntEnum):
    """What a number is drawn for; streams of one seed never overlap."""

    INIT = 0
    DROPOUT = 1
    BATCH = 2
    SPLIT = 3
    SAMPLE = 4
    DATAGEN = 5


def philox(
    seed: int, stream: int, step: int, start: int, count: int
) -> NDArray[np.uint32]:
    """`count` words from counters `start // 4`, ... : (count,) uint32.

    The 128-bit counter is (index low, index high, step, stream) and the 64-bit key
    is `seed`; `start` and `count` are in words and need not be multiples of four.
    """
    first, last = start // 4, -(-(start + count) // 4)
    index = np.arange(first, last, dtype=np.uint64)
    c0, c1 = index & _LOW, index >> _SHIFT
    c2 = np.full_like(index, step & 0xFFFFFFFF)
    c3 = np.full_like(index, ((step >> 32) << 8 | stream) & 0xFFFFFFFF)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(ROUNDS):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    words = np.stack((c0, c1, c2, c3), axis=1).astype(np.uint32).ravel()
    skip = start - first * 4
    return words[skip : skip + count]


def uniform(
    seed: int, stream: int, step: int, count: int, start: int = 0
) -> NDArray[np.float32]:
    """`count` numbers in [0, 1), each a multiple of 2**-24: (count,) float32."""
    words = philox(seed, stream, step, start, count)
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def normal(seed: int, stream: int, step: int, count: int) -> NDArray[np.float32]:
    """`count` standard normal numbers (Box-Muller, in float64): (count,) float32."""
    pairs = -(-count // 2)
    words = philox(seed, stream, step, 0, 2 * pairs).astype(np.float64)
    radius = np.sqrt(-2.0 * np.log((words[:pairs] + 1.0) * 2.0**-32))
    angle = words[pairs:] * (2.0 * np.pi * 2.0**-32)
    both = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))
    return both[:count].astype(np.float32)


def integers(
    seed: int, stream: int, step: int, count: int, bound: int
) -> NDArray[np.int64]:
    """`count` integers in [0, bound): (count,) int64. `bound` below 2**53.

    Two words make 53 random bits; scaling them leaves a bias below bound / 2**53.
    """
    words = philox(seed, stream, step, 0, 2 * count).astype(np.uint64)
    bits = (words[0::2] << np.uint64(21)) ^ (words[1::2] >> np.uint64(11))
    fraction = bits.astype(np.float64) * 2.0**-53
    return np.minimum((fraction * bound).astype(np.int64), bound - 1)


def permutation(seed: int, stream: int, step: int, count: int) -> NDArray[np.int64]:
    """A random order of range(count): (count,) int64."""
    keys = philox(seed, stream, step, 0, 2 * count).astype(np.uint64)
    wide = (keys[0::2] << _SHIFT) | keys[1::2]
    return np.argsort(wide, kind="stable").astype(np.int64)
