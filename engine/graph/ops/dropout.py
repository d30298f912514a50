"""Dropout from the counter-based generator: the mask is a function, not a draw.

A mask is named by (seed, step, salt); the same three give the same mask on every
backend, so that it can be made again in the backward pass or after a resume.

The rule, for every backend. The counter is four int32 words, each read as unsigned:
seed = c[0] + c[1] * 2**32 and step = c[2] + c[3] * 2**32. Let `word` be the sequence
philox(seed, Stream.DROPOUT, step, ..., salt=salt) of `engine.random`. Element i of
the flattened tensor owns byte i % 4, lowest first, of word[i // 4], and is kept when
that byte is less than `keep`. The op gives 1 for kept and 0 for dropped; scaling kept
elements by 256 / keep is the user's. In attention the flattened tensor is the whole
(batch, heads, T, T) array of weights after the softmax, masked ones included, so that
weight (b, h, i, j) is element ((b * heads + h) * T + i) * T + j; kept weights are
scaled by 256 / keep there, and the log-sum-exp knows nothing of dropout.

Source: Srivastava et al., JMLR 15 (2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Spec, Tensor, apply
from engine.graph.ops.pointwise import cast
from engine.graph.table import define

#: What a counter is: seed low, seed high, step low, step high.
COUNTER = Spec((4,), "int32")

#: Masks are cut from bytes: a probability is a whole number of 256ths.
LEVELS = 256


def keep_levels(probability: float) -> int:
    """How many of the 256 byte values keep an element; at least one does not drop."""
    if not 0.0 <= probability < 1.0:
        raise GraphError(f"dropout: probability {probability} is not in [0, 1)")
    return max(1, LEVELS - round(probability * LEVELS))


def _mask(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    (counter,) = inputs
    if counter.spec != COUNTER:
        raise GraphError(f"dropout_mask: counter {counter.shape} {counter.dtype}")
    return [Spec(tuple(attrs["shape"]), "uint8")]


define("dropout_mask", _mask)


def dropout(x: Tensor, probability: float, counter: Tensor, salt: int) -> Tensor:
    """x with elements dropped and the rest scaled so that the mean is kept.

    counter  (4,) int32, a step input: seed low, seed high, micro-step low and high
    salt     number of this mask within the model

    The probability is rounded to 256ths; the scale is that of the rounded one.
    """
    keep = keep_levels(probability)
    mask = apply("dropout_mask", counter, shape=x.shape, keep=keep, salt=salt)
    return x * cast(mask, x.dtype) * (LEVELS / keep)
