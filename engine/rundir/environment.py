"""On what a run computes: versions, processor, and the BLAS that fixes the last bits.

The same step gives the same bits for any number of threads, but not on another BLAS
nor on another of its kernels ("core type"), which OpenBLAS picks by the processor. So
both are recorded, and compared when a run is resumed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: Entries that may change the last bits of a result.
DECISIVE = ("numpy", "blas", "blas_version", "blas_core")

#: OpenBLAS builds decorate their symbols.
_SYMBOLS = tuple(
    f"{prefix}openblas_get_corename{suffix}"
    for prefix in ("", "scipy_")
    for suffix in ("", "64_", "_64", "64")
)


def environment(threads: int) -> dict[str, Any]:
    """What this process runs on; `threads` is what the run was given (0: all cores)."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas.get("name", "unknown"),
        "blas_version": blas.get("version", "unknown"),
        "blas_core": blas_core(),
        "cpu": cpu_model(),
        "cores": cores(),
        "threads": threads or cores(),
        "platform": f"{sys.platform} {platform.machine()}",
    }


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """How `now` may compute other bits than `then`: "blas_core: Zen, was Haswell"."""
    return [
        f"{name}: {now.get(name)}, was {then.get(name)}"
        for name in DECISIVE
        if then.get(name) != now.get(name)
    ]


def cores() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's own name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def blas_core() -> str:
    """The kernel set OpenBLAS chose for this processor; "unknown" without OpenBLAS."""
    for path in _blas_libraries():
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for symbol in _SYMBOLS:
            function = getattr(library, symbol, None)
            if function is not None:
                function.restype = ctypes.c_char_p
                return str(function().decode())
    return "unknown"


def _blas_libraries() -> Iterator[Path]:
    """OpenBLAS as NumPy's wheel brings it, or as this process has loaded it."""
    package = Path(np.__file__).parent
    yield from sorted(package.parent.glob("numpy.libs/*openblas*"))
    yield from sorted(package.glob(".dylibs/*openblas*"))
    try:
        maps = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    loaded = {line.split()[-1] for line in maps if "blas" in line}
    yield from (Path(name) for name in sorted(loaded))
