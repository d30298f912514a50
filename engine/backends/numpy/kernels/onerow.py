"""Norms of a single row, in as few calls as there can be: what decoding runs.

Rows are flat (W,), a value of the row 0-d. Sums are products by BLAS; what is one
number is computed in Python, which is quicker at that than NumPy.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def layer_norm(
    x: Array,
    gain: Array,
    bias: Array | None,
    y: Array,
    xhat: Array,
    rstd: Array,
    mean: Array,
    eps: float,
) -> None:
    """y = xhat * gain + bias with xhat = (x - mean(x)) * rstd.

    All are (W,) but rstd, which is 0-d; `mean` holds 1 / W throughout.
    """
    x.dot(mean, rstd)
    np.subtract(x, rstd, xhat)
    rstd[()] = _reciprocal_root(float(xhat.dot(xhat)) / x.size + eps)
    np.multiply(xhat, rstd, xhat)
    np.multiply(xhat, gain, y)
    if bias is not None:
        np.add(y, bias, y)


def rms_norm(
    x: Array, gain: Array, y: Array, xhat: Array, rstd: Array, eps: float
) -> None:
    """y = xhat * gain with xhat = x * rstd, rstd = 1 / sqrt(mean(x^2) + eps)."""
    rstd[()] = _reciprocal_root(float(x.dot(x)) / x.size + eps)
    np.multiply(x, rstd, xhat)
    np.multiply(xhat, gain, y)


def _reciprocal_root(square: float) -> float:
    return 1.0 / sqrt(square) if square else float("inf")
