"""`alpha bench train`: tokens a second of a training step, beside PyTorch's.

Both train the same model on random tokens: forward, backward, clipping, AdamW. The
faster of PyTorch's eager and compiled forms counts. `ceiling` is the ratio that would
be reached if a step cost nothing but its matrix products.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.backends.base import backends
from engine.bench.harness import Report, Row, benches, device_of, in_turn, median_ratio
from engine.bench.peers.torch_gpt import make_step
from engine.bench.products import step_products
from engine.config import ModelConfig, OptimConfig, TrainConfig, require
from engine.train.compile import compile_step


@dataclass(frozen=True)
class Case:
    """A row: a model and the sequences of a step."""

    name: str
    model: ModelConfig
    batch: int


def _case(layers: int, heads: int, width: int, block: int, batch: int, v: int) -> Case:
    model = ModelConfig(
        vocab_size=v, block_size=block, n_layer=layers, n_head=heads, n_embd=width
    )
    return Case(f"{layers}x{width}", model, batch)


_SMALL = _case(4, 4, 128, 64, 12, 65)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _SMALL,
        _case(6, 6, 384, 256, 8, 65),
        _case(6, 8, 256, 256, 8, 2000),
        replace(_SMALL, name="4x128 dropout", model=replace(_SMALL.model, dropout=0.1)),
    )
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this benchmark."""
    parser.add_argument("--backend", default="numpy", help="backend that trains")
    parser.add_argument("--against", default="torch", choices=("torch",))
    parser.add_argument(
        "--case", action="append", choices=list(CASES), help="only these rows"
    )
    parser.add_argument("--pairs", type=int, default=7, help="rounds taken in turn")
    parser.add_argument("--threads", type=int, default=0, help="0: one a core")
    parser.add_argument("--no-compile", action="store_true", help="eager PyTorch only")


@benches.register("train")
def run(options: argparse.Namespace) -> Report:
    """Measure the chosen rows."""
    require(options.pairs >= 1, "pairs", options.pairs, "must be at least 1")
    backend: Any = backends.get(options.backend)(options.threads)
    rows = [
        _measure(CASES[name], backend, options) for name in options.case or list(CASES)
    ]
    return Report("train", device_of(backend), rows)


run.add_arguments = add_arguments  # type: ignore[attr-defined]


def _ours(case: Case, backend: Any) -> Callable[[], None]:
    step = compile_step(
        case.model, OptimConfig(), TrainConfig(), case.batch, backend=backend
    )
    rng = np.random.default_rng(0)
    shape = (case.batch, case.model.block_size)
    tokens = rng.integers(case.model.vocab_size, size=shape, dtype=np.int32)
    targets = rng.integers(case.model.vocab_size, size=shape, dtype=np.int32)
    count = 0

    def train() -> None:
        nonlocal count
        count += 1
        step.train_step([(tokens, targets)], lr=1e-3, step=count)

    return train


def _measure(case: Case, backend: Any, options: argparse.Namespace) -> Row:
    threads = backend.threads
    forms = ["eager"] if options.no_compile else ["eager", "compiled"]
    peers = {
        form: make_step(
            case.model, case.batch, compiled=form == "compiled", threads=threads
        )
        for form in forms
    }
    works = [
        _ours(case, backend),
        step_products(case.model, case.batch, backend.crew),
        *peers.values(),
    ]
    repeated = [_repeat(work, case) for work in works]
    ours, products, *theirs = in_turn(repeated, pairs=options.pairs, warmup=2)
    best = min(range(len(theirs)), key=lambda index: statistics.median(theirs[index]))
    tokens = case.batch * case.model.block_size * _repeats(case)
    ceiling = median_ratio(theirs[best], products)
    ratio = median_ratio(theirs[best], ours)
    return Row(
        name=case.name,
        ours=tokens / statistics.median(ours),
        theirs=tokens / statistics.median(theirs[best]),
        unit="tokens/s",
        peer=f"torch {list(peers)[best]}",
        ratio=ratio,
        extra={
            "ceiling": ceiling,
            "of_ceiling": median_ratio(products, ours),
            "step_ms": 1e3 * statistics.median(ours) / _repeats(case),
            "products_ms": 1e3 * statistics.median(products) / _repeats(case),
        },
    )


def _repeats(case: Case) -> int:
    """Steps timed at once: about half a second of them."""
    return 10 if case.model.n_embd < 200 else 1


def _repeat(work: Callable[[], None], case: Case) -> Callable[[], None]:
    count = _repeats(case)

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated
