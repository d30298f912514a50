"""The BLAS inside NumPy: its name, its core type, and how many threads it may use.

A step is divided among this backend's own threads, so that every matrix product runs
on one. OpenBLAS is reached through the symbols of NumPy's own extension module; a
NumPy built on another BLAS keeps that library's setting, and `describe` says so.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

_PREFIXES = ("scipy_openblas_", "openblas_")
_SUFFIXES = ("64_", "", "_64")


@cache
def _library() -> ctypes.CDLL:
    module = importlib.import_module("numpy._core._multiarray_umath")
    return ctypes.CDLL(module.__file__)


@cache
def _function(name: str) -> Callable[..., Any] | None:
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            try:
                return getattr(_library(), f"{prefix}{name}{suffix}")  # type: ignore[no-any-return]
            except AttributeError:
                continue
    return None


def set_threads(count: int) -> bool:
    """Let the BLAS use `count` threads; False if this BLAS cannot be told."""
    function = _function("set_num_threads")
    if function is None:
        return False
    function(ctypes.c_int(count))
    return True


def get_threads() -> int:
    """Threads the BLAS uses now; 0 if it cannot be asked."""
    function = _function("get_num_threads")
    return int(function()) if function is not None else 0


@cache
def describe() -> dict[str, str]:
    """Name, version and core type of the BLAS: results may differ between those."""
    show: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment, no-untyped-call, unused-ignore]
    blas = show["Build Dependencies"]["blas"]
    corename = _function("get_corename")
    core = "unknown"
    if corename is not None:
        corename.restype = ctypes.c_char_p  # type: ignore[attr-defined]
        core = corename().decode()
    return {
        "blas": str(blas["name"]),
        "blas_version": str(blas["version"]),
        "blas_core": core,
    }
