"""Ops that treat every row by itself: norms, softmax, losses, rotation, look-ups.

Blocks are (m, W); columns of one value a row are (m, 1). `ones` is a constant vector
of ones: products with it are sums by BLAS, faster than NumPy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_add_reduce = np.add.reduce
_max_reduce = np.maximum.reduce


def grouped(x: Array, groups: int) -> Array:
    """(m, W) as (m, groups, W / groups); (m, W) itself for one group."""
    return x if groups == 1 else x.reshape(x.shape[0], groups, -1)


def _row_sums(x: Array, out: Array) -> None:
    _add_reduce(x, -1, None, out, True)


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
    """y = xhat * gain + bias with xhat = (x - mean) * rstd over each group."""
    x, y, xhat = grouped(x, groups), grouped(y, groups), grouped(xhat, groups)
    if groups > 1:
        rstd = rstd.reshape(*rstd.shape, 1)
    inverse = 1.0 / x.shape[-1]
    _row_sums(x, rstd)
    np.multiply(rstd, inverse, rstd)
    np.subtract(x, rstd, xhat)
    _finish_norm(xhat, gain, y, xhat, rstd, inverse, eps)
    if bias is not None:
        np.add(y, bias, y)


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
    x, y, xhat = grouped(x, groups), grouped(y, groups), grouped(xhat, groups)
    if groups > 1:
        rstd = rstd.reshape(*rstd.shape, 1)
    _finish_norm(x, gain, y, xhat, rstd, 1.0 / x.shape[-1], eps)


def _finish_norm(
    centred: Array,
    gain: Array,
    y: Array,
    xhat: Array,
    rstd: Array,
    inverse: float,
    eps: float,
) -> None:
    np.multiply(centred, centred, y)
    _row_sums(y, rstd)
    np.multiply(rstd, inverse, rstd)
    np.add(rstd, eps, rstd)
    np.sqrt(rstd, rstd)
    np.reciprocal(rstd, rstd)
    np.multiply(centred, rstd, xhat)
    np.multiply(xhat, gain, y)


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

    dgain and dbias (W / groups,) are added to. work is (m, W), column (m, groups).
    `centred` is False for RMS norm, which has no mean(g) term.
    """
    width = dy.shape[-1] // groups
    dy3, xhat3, dx3, work3 = (grouped(a, groups) for a in (dy, xhat, dx, work))
    if groups > 1:
        rstd = rstd.reshape(*rstd.shape, 1)
        column = column.reshape(*column.shape, 1)
    axes = 0 if groups == 1 else (0, 1)
    np.multiply(dy3, xhat3, work3)
    dgain += _add_reduce(work3, axes)
    if dbias is not None:
        dbias += _add_reduce(dy3, axes)
    np.multiply(work3, gain, work3)
    _row_sums(work3, column)
    np.multiply(column, 1.0 / width, column)
    np.multiply(xhat3, column, work3)
    np.multiply(dy3, gain, dx3)
    if centred:
        _row_sums(dx3, column)
        np.multiply(column, 1.0 / width, column)
        np.subtract(dx3, column, dx3)
    np.subtract(dx3, work3, dx3)
    np.multiply(dx3, rstd, dx3)


def softmax(x: Array, y: Array, column: Array) -> None:
    """y = exp(x - max) / sum of it."""
    _max_reduce(x, -1, None, column, True)
    np.subtract(x, column, y)
    np.exp(y, y)
    _row_sums(y, column)
    np.divide(y, column, y)


def softmax_grad(y: Array, dy: Array, dx: Array, column: Array) -> None:
    """dx = y (dy - sum(y dy))."""
    np.multiply(y, dy, dx)
    _row_sums(dx, column)
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
    _max_reduce(logits, -1, None, top, True)
    np.subtract(logits, top, probs)
    np.exp(probs, probs)
    _row_sums(probs, total)
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
