"""`alpha bench scaling`: how time and memory grow, beside the count of operations.

Along each axis (tokens by more sequences and by longer ones, width, depth) the sizes
are timed in turn; exponents are fitted to the logarithms. A ratio of 1 means that time
grows as the operations do.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.backends.base import backends
from engine.bench.harness import Report, Row, benches, device_of, in_turn
from engine.config import ModelConfig, OptimConfig, TrainConfig, require
from engine.train.compile import compile_step
from engine.train.flops import training_flops_per_token
from engine.train.memory import step_memory

#: Width of a head, as GPT-2 has it at every size.
HEAD = 64


def _model(width: int = 192, layers: int = 4, block: int = 128) -> ModelConfig:
    return ModelConfig(
        vocab_size=256,
        block_size=block,
        n_layer=layers,
        n_head=width // HEAD,
        n_embd=width,
    )


@dataclass(frozen=True)
class Point:
    """One size along an axis."""

    size: int
    model: ModelConfig
    batch: int

    @property
    def flops(self) -> float:
        """Operations of a step."""
        tokens = self.batch * self.model.block_size
        return float(tokens * training_flops_per_token(self.model))


AXES: dict[str, list[Point]] = {
    "tokens": [Point(n * 128, _model(), n) for n in (4, 8, 16, 32)],
    "block": [Point(n, _model(block=n), 8) for n in (64, 128, 256, 512)],
    "width": [Point(n, _model(width=n), 8) for n in (128, 192, 256, 384)],
    "depth": [Point(n, _model(layers=n), 8) for n in (2, 4, 8, 12)],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this benchmark."""
    parser.add_argument("--backend", default="numpy", help="backend that trains")
    parser.add_argument(
        "--axis", action="append", choices=list(AXES), help="only these rows"
    )
    parser.add_argument("--pairs", type=int, default=7, help="rounds taken in turn")


@benches.register("scaling")
def run(options: argparse.Namespace) -> Report:
    """Measure the chosen axes."""
    require(options.pairs >= 1, "pairs", options.pairs, "must be at least 1")
    backend: Any = backends.get(options.backend)(0)
    rows = [
        _measure(axis, AXES[axis], backend, options.pairs)
        for axis in options.axis or list(AXES)
    ]
    return Report("scaling", device_of(backend), rows)


run.add_arguments = add_arguments  # type: ignore[attr-defined]


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The p of values ~ sizes^p, by least squares on the logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(slope)


def _measure(axis: str, points: Sequence[Point], backend: Any, pairs: int) -> Row:
    steps = [
        compile_step(p.model, OptimConfig(), TrainConfig(), p.batch, backend=backend)
        for p in points
    ]
    memory = [step_memory(step).total for step in steps]
    repeats = [max(1, round(points[-1].flops / p.flops)) for p in points]
    works = [
        _work(point, step, count)
        for point, step, count in zip(points, steps, repeats, strict=True)
    ]
    taken = in_turn(works, pairs=pairs)
    rounds = [
        [t / n for t, n in zip(times, repeats, strict=True)]
        for times in zip(*taken, strict=True)
    ]
    times = [statistics.median(column) for column in zip(*rounds, strict=True)]
    sizes = [point.size for point in points]
    flops = [point.flops for point in points]
    growth = statistics.median(r[-1] / r[0] for r in rounds), flops[-1] / flops[0]
    return Row(
        name=axis,
        ours=statistics.median(exponent(sizes, r) for r in rounds),
        theirs=exponent(sizes, flops),
        unit="exponent",
        peer="operations",
        ratio=growth[1] / growth[0],
        extra={
            "memory_exponent": exponent(sizes, memory),
            "time_growth": growth[0],
            "flop_growth": growth[1],
            "sizes": " ".join(map(str, sizes)),
            "ms": " ".join(f"{1e3 * t:.3g}" for t in times),
            "mib": " ".join(f"{m / 2**20:.3g}" for m in memory),
        },
    )


def _work(point: Point, step: Any, repeats: int) -> Callable[[], None]:
    """`repeats` steps: as many for each size as take about as long."""
    rng = np.random.default_rng(0)
    shape = (2, point.batch, point.model.block_size)
    tokens, targets = rng.integers(point.model.vocab_size, size=shape, dtype=np.int32)
    count = 0

    def work() -> None:
        nonlocal count
        for _ in range(repeats):
            count += 1
            step.train_step([(tokens, targets)], lr=1e-3, step=count)

    return work
