"""Memory that worker processes see as this one does, and memory that they do not."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.graph.plan import ALIGNMENT, aligned


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


def private_zeros(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Zeros of a shape and type on an aligned boundary, for this process alone."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    return raw[skip : skip + size].view(dtype).reshape(shape)
