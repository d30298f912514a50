"""Memory that worker processes see as this one does."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.graph.plan import aligned


def shared(size: int) -> NDArray[np.uint8]:
    """`size` bytes of zeros on a page's boundary, shared with processes forked later.

    Pages are taken when they are first touched.
    """
    return np.frombuffer(mmap.mmap(-1, max(aligned(size), 1)), np.uint8, size)


def shared_zeros(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Zeros of a shape and type, shared."""
    item = np.dtype(dtype).itemsize
    count = int(np.prod(shape, dtype=np.int64))
    return shared(count * item).view(dtype).reshape(shape)
