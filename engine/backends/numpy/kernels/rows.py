"""Ops that treat every row by itself: norms, softmax, losses, rotation, look-ups.

Blocks are (m, W); columns of one value a row are (m, 1). Sums over rows and columns
are products with ones, which BLAS does faster than NumPy's own reductions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ONES: dict[np.dtype[Any], Array] = {}


def ones(count: int, dtype: np.dtype[Any]) -> Array:
    """A vector of `count` ones: products with it are sums by BLAS."""
    known = _ONES.get(dtype)
    if known is None or len(known) < count:
        known = _ONES[dtype] = np.ones(max(count, 4096), dtype)
    return known[:count]


def grouped(x: Array, groups: int) -> Array:
    """(m, W) as (m, groups, W / groups)."""
    return x.reshape(x.shape[0], groups, -1)


def _each(column: Array) -> Array:
    """(m, groups), one value a group, ready to multiply (m, groups, W / groups)."""
    return column[:, :, None]


def row_sums(x: Array, out: Array) -> None:
    """Sum of each row of (m, W): (m, 1), by BLAS."""
    np.vecdot(x, ones(x.shape[1], x.dtype), out[:, 0])


def layer_norm(
    x: Array,
    gain: Array,
    bias: Array | None,
    y: Array,
    xhat: Array,
    rstd: Array,
    groups: int,
    eps: float,
) -> None:
    """y = xhat * gain + bias with xhat = (x - mean) * rstd over each group.

    gain and bias may be (m, W), repeated for every row: contiguous products are
    several times faster than broadcast ones. rstd is (m, groups).
    """
    x3, xhat3 = grouped(x, groups), grouped(xhat, groups)
    width = x3.shape[-1]
    np.vecdot(x3, ones(width, x.dtype), rstd)
    np.multiply(rstd, 1.0 / width, rstd)
    np.subtract(x3, _each(rstd), xhat3)
    _finish_norm(xhat3, xhat3, rstd, eps)
    _weigh(np.multiply, xhat, gain, y, groups)
    if bias is not None:
        _weigh(np.add, y, bias, y, groups)


def rms_norm(
    x: Array,
    gain: Array,
    y: Array,
    xhat: Array,
    rstd: Array,
    groups: int,
    eps: float,
) -> None:
    """y = xhat * gain with xhat = x * rstd, rstd = 1 / sqrt(mean(x^2) + eps)."""
    _finish_norm(grouped(x, groups), grouped(xhat, groups), rstd, eps)
    _weigh(np.multiply, xhat, gain, y, groups)


def _weigh(op: np.ufunc, x: Array, vector: Array, out: Array, groups: int) -> None:
    """out = op(x, vector), the vector as wide as a group or as the block itself."""
    if vector.shape[-1] != x.shape[-1]:
        x, out = grouped(x, groups), grouped(out, groups)
    op(x, vector, out)


def _finish_norm(centred: Array, xhat: Array, rstd: Array, eps: float) -> None:
    np.vecdot(centred, centred, rstd)
    np.multiply(rstd, 1.0 / centred.shape[-1], rstd)
    np.add(rstd, eps, rstd)
    np.sqrt(rstd, rstd)
    np.reciprocal(rstd, rstd)
    np.multiply(centred, _each(rstd), xhat)


def layer_norm_grad(
    dy: Array,
    gain: Array,
    xhat: Array,
    rstd: Array,
    dx: Array,
    dgain: Array,
    dbias: Array | None,
    work: Array,
    column: Array,
    groups: int,
    *,
    centred: bool = True,
) -> None:
    """dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy gain; adds to the sums.

    dgain and dbias (W / groups,) are added to; gain as in `layer_norm`. work is
    (m, W), column (m, groups). `centred` is False for RMS norm: no mean(g) term.
    """
    dx3, xhat3, work3 = (grouped(a, groups) for a in (dx, xhat, work))
    width = dx3.shape[-1]
    _weigh(np.multiply, dy, gain, dx, groups)
    np.multiply(dy, xhat, work)
    axes = 0 if groups == 1 else (0, 1)
    dgain += np.add.reduce(work if groups == 1 else work3, axes)
    if dbias is not None:
        dbias += np.add.reduce(dy if groups == 1 else grouped(dy, groups), axes)
    np.vecdot(dx3, xhat3, column)
    np.multiply(column, 1.0 / width, column)
    np.multiply(xhat3, _each(column), work3)
    if centred:
        np.vecdot(dx3, ones(width, dx.dtype), column)
        np.multiply(column, 1.0 / width, column)
        np.add(work3, _each(column), work3)
    np.subtract(dx, work, dx)
    np.multiply(dx3, _each(rstd), dx3)


def softmax(x: Array, y: Array, column: Array) -> None:
    """y = exp(x - max) / sum of it."""
    np.maximum.reduce(x, axis=-1, out=column, keepdims=True)
    np.subtract(x, column, y)
    np.exp(y, y)
    row_sums(y, column)
    np.divide(y, column, y)


def softmax_grad(y: Array, dy: Array, dx: Array, column: Array) -> None:
    """dx = y (dy - sum(y dy))."""
    np.vecdot(y, dy, column[:, 0])
    np.subtract(dy, column, dx)
    np.multiply(dx, y, dx)


def cross_entropy(
    logits: Array, targets: Array, losses: Array, probs: Array, top: Array, total: Array
) -> None:
    """losses = -log softmax at the target, 0 where it is -1; probs = softmax.

    targets (m, 1) int32; losses, top and total (m, 1). probs may be the logits.
    """
    index = np.arange(logits.shape[0])
    target = targets[:, 0]
    safe = np.maximum(target, 0)
    picked = logits[index, safe]
    np.maximum.reduce(logits, axis=-1, out=top, keepdims=True)
    np.subtract(logits, top, probs)
    np.exp(probs, probs)
    row_sums(probs, total)
    np.log(total, losses)
    np.add(losses, top, losses)
    losses[:, 0] -= picked
    losses[target < 0] = 0.0
    np.divide(1.0, total, total)
    np.multiply(probs, total, probs)


def cross_entropy_grad(
    probs: Array, targets: Array, dloss: Array, dlogits: Array
) -> None:
    """dlogits = dloss (probs - onehot(target)), 0 where the target is -1.

    dloss is (m, 1) or (1, 1). dlogits may be the probabilities.
    """
    target = targets[:, 0]
    weight = np.where(targets >= 0, dloss, dloss.dtype.type(0))
    np.multiply(probs, weight, dlogits)
    dlogits[np.arange(probs.shape[0]), np.maximum(target, 0)] -= weight[:, 0]


def embedding(ids: Array, table: Array, out: Array) -> None:
    """out[i] = table[ids[i]]; ids (m, 1), known to be within the table."""
    np.take(table, ids[:, 0], axis=0, out=out, mode="clip")


def rotary(x: Array, cos: Array, sin: Array, out: Array, work: Array) -> None:
    """Rotate (m, H * D) by the angles whose cosines and sines are (m, D / 2).

    work is (m, H * D / 2).
    """
    rows, half = cos.shape
    pairs = x.reshape(rows, -1, 2, half)
    turned = out.reshape(rows, -1, 2, half)
    first, second = pairs[:, :, 0], pairs[:, :, 1]
    part = work.reshape(rows, -1, half)
    cos, sin = cos[:, None], sin[:, None]
    np.multiply(second, sin, part)
    np.multiply(first, cos, turned[:, :, 0])
    np.subtract(turned[:, :, 0], part, turned[:, :, 0])
    np.multiply(first, sin, part)
    np.multiply(second, cos, turned[:, :, 1])
    np.add(turned[:, :, 1], part, turned[:, :, 1])


def rotary_tables(
    positions: Array, size: int, theta: float, inverse: bool, dtype: str
) -> tuple[Array, Array]:
    """Cosines and sines of position * theta^(-2i/size): (n, size / 2) each."""
    half = size // 2
    rates = theta ** (-np.arange(half, dtype=np.float64) / half)
    angles = positions.astype(np.float64)[:, None] * rates
    sign = -1.0 if inverse else 1.0
    return np.cos(angles).astype(dtype), (sign * np.sin(angles)).astype(dtype)
