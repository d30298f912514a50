"""How anything is timed here: ours and theirs in turn, the median of the pairs.

The machines are noisy, so that no time stands alone: every row holds the ratio of
each pair, always "higher is better for us", and the median of those is quoted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.backends import Backend
from engine.registry import Registry


@dataclass(frozen=True)
class Row:
    """One measurement. `ours` and `theirs` are in `unit`; `ratio` compares them."""

    name: str
    ours: float
    theirs: float
    unit: str
    peer: str
    ratio: float
    extra: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": self.name,
            "ours": self.ours,
            "theirs": self.theirs,
            "unit": self.unit,
            "peer": self.peer,
            "ratio": self.ratio,
        }
        return row | self.extra


@dataclass(frozen=True)
class Report:
    """What `alpha bench NAME --json` prints."""

    bench: str
    device: str
    rows: list[Row]

    def to_dict(self) -> dict[str, Any]:
        return {
            "bench": self.bench,
            "device": self.device,
            "rows": [row.to_dict() for row in self.rows],
        }


#: name -> function from parsed options to a Report. A bench module may also define
#: `add_arguments(parser)`; it is found as the function's attribute `add_arguments`.
benches: Registry[Callable[[Any], Report]] = Registry("bench")


def device_of(backend: Backend) -> str:
    """What a report says about where it was measured."""
    about = backend.describe()
    threads, core = about.get("threads"), about.get("blas_core")
    return f"{backend.name}, {threads} threads, {core}"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(
    works: Sequence[Callable[[], object]], pairs: int = 5, warmup: int = 1
) -> list[list[float]]:
    """Time `works` one after the other, `pairs` rounds: one list of seconds each.

    The order turns round every other round, so that neither is always first.
    """
    for work in works:
        for _ in range(warmup):
            work()
    times: list[list[float]] = [[] for _ in works]
    for turn in range(pairs):
        order = range(len(works)) if turn % 2 == 0 else range(len(works) - 1, -1, -1)
        for index in order:
            times[index].append(seconds(works[index]))
    return times


def median_ratio(theirs: list[float], ours: list[float]) -> float:
    """Median over the pairs of their time over ours: above 1, we are faster."""
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
