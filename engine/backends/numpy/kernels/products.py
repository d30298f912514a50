"""Few rows times a weight that lies (out, in): the calls that read it fastest.

BLAS packs the weight before it multiplies, and packs a transposed one slowly. With
few rows that is most of the work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Up to so many rows, if they are at least so long, each meets the weight's rows one
#: by one: memory gives its most to one long stream. Shorter ones are BLAS's gemv's.
ONE_BY_ONE, LONG_ROW = 4, 256
#: Up to so many rows, the product is computed turned over, and turned back.
TURNED = 48


def one_by_one(x: Array, w: Array, out: Array) -> None:
    """out = x w^T for rows x (m, K), w (N, K), out (m, N)."""
    for row, target in zip(x, out, strict=True):
        np.vecdot(w, row, target)


def turned(x: Array, w: Array, out: Array, work: Array) -> None:
    """out = x w^T as (w x^T)^T; work holds m * N elements."""
    product = work[: out.size].reshape(out.shape[::-1])
    np.matmul(w, x.T, product)
    np.copyto(out, product.T)
