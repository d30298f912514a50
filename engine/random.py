"""Counter-based random numbers: Philox4x32-10.

Every random number is a pure function of (seed, stream, step, salt, index), so that
dropout masks, initial weights and the order of batches can be replayed exactly, on
any backend, from any point. Nothing here keeps a state.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

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


def _check(name: str, value: int, bits: int) -> None:
    if not 0 <= value < 1 << bits:
        raise ConfigError(name, value, f"must be in [0, 2**{bits})")


def philox(
    seed: int, stream: int, step: int, start: int, count: int, *, salt: int = 0
) -> NDArray[np.uint32]:
    """`count` words of one sequence, from word `start` on: (count,) uint32.

    A sequence is named by (seed, stream, step, salt); no two sequences of one seed
    share a counter. Block i is words 4 i to 4 i + 3. The key is `seed` (64 bits); the
    counter's words are, lowest first:

        i low | i high (16 bits) + step high (16 bits) << 16 | step low |
        stream (8 bits) + salt (24 bits) << 8

    `start` and `count` need not be multiples of four. ConfigError for a number that
    has no room in its field.
    """
    first, last = start // 4, -(-(start + count) // 4)
    _check("seed", seed, 64)
    _check("stream", stream, 8)
    _check("salt", salt, 24)
    _check("step", step, 48)
    _check("start", start, 50)
    _check("count", count, 50)
    _check("last block", max(last - 1, 0), 48)
    index = np.arange(first, last, dtype=np.uint64)
    c0, c1 = index & _LOW, (index >> _SHIFT) | np.uint64(step >> 32 << 16)
    c2 = np.full_like(index, step & 0xFFFFFFFF)
    c3 = np.full_like(index, salt << 8 | stream)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
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
