"""On what a run computes: versions, processor, device, and what fixes the last bits.

A step gives the same bits for any number of threads, but not on another BLAS, nor on
another of its kernels ("core type"), which OpenBLAS picks by the processor. So both
are recorded, and compared when a run is resumed.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Entries that may change the last bits of a result.
DECISIVE = ("backend", "device", "numpy", "blas", "blas_version", "blas_core")


def environment(device: Mapping[str, Any]) -> dict[str, Any]:
    """What this process runs on; `device` is what the backend says of itself."""
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": cores(),
        **device,
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
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
