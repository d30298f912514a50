"""A random order of n things that is computed place by place, never held.

`shuffled(places, n, key)` is a bijection of range(n): the order of an epoch of a
billion windows costs no memory, and any place of it can be asked for first.

A Feistel network permutes the numbers of an even bit width; walking on from those
that lie past n until one lies below ("cycle walking") makes that a permutation of
range(n). The width is the smallest that holds n, so that fewer than four numbers are
walked on average.

Sources: Luby and Rackoff, "How to construct pseudorandom permutations", SIAM J.
Comput. 1988; Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.random import Stream, philox

ROUNDS = 8

# The finaliser of MurmurHash3 for 64 bits: every input bit reaches every output bit.
_MIX1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX2 = np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(33)


def round_keys(seed: int, epoch: int) -> NDArray[np.uint64]:
    """The keys that make epoch `epoch`'s order: (ROUNDS,) uint64."""
    words = philox(seed, Stream.BATCH, epoch, 0, 2 * ROUNDS).astype(np.uint64)
    return (words[0::2] << np.uint64(32)) | words[1::2]


def shuffled(
    places: NDArray[np.int64], count: int, keys: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Which of range(count) stands at each of `places` in the order of `keys`.

    (n,) int64 to (n,) int64; `places` in [0, count), `count` at most 2**62.
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    values = _permute(places.astype(np.uint64), half, keys)
    while (outside := values >= np.uint64(count)).any():
        values[outside] = _permute(values[outside], half, keys)
    return values.astype(np.int64)


def _permute(
    values: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """A permutation of range(4**half), applied to each value."""
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << shift) | right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> _HALF)) * _MIX1
    values = (values ^ (values >> _HALF)) * _MIX2
    return values ^ (values >> _HALF)
