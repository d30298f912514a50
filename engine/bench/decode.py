"""`alpha bench decode`: tokens a second of one stream, beside PyTorch's.

Both continue the same prompt greedily with the same weights over a cache of keys and
values. PyTorch may use one thread or all: the faster counts.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.backends.base import backends
from engine.bench.harness import Report, Row, benches, device_of, in_turn, median_ratio
from engine.bench.peers.torch_decode import TorchDecoder
from engine.config import ModelConfig, require
from engine.errors import AlphaError
from engine.generate import GREEDY, Decoder, Limits, generate
from engine.model import initial_values

PROMPT, TOKENS, BLOCK = 16, 200, 256
#: Largest difference of scores, against the largest score, before times count.
TOLERANCE = 1e-4


def _model(layers: int, heads: int, width: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=65, block_size=BLOCK, n_layer=layers, n_head=heads, n_embd=width
    )


CASES = {"4x128": _model(4, 4, 128), "6x384": _model(6, 6, 384)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this benchmark."""
    parser.add_argument("--backend", default="numpy", help="backend that decodes")
    parser.add_argument("--against", default="torch", choices=("torch",))
    parser.add_argument(
        "--case", action="append", choices=list(CASES), help="only these rows"
    )
    parser.add_argument("--pairs", type=int, default=7, help="rounds taken in turn")


@benches.register("decode")
def run(options: argparse.Namespace) -> Report:
    """Measure the chosen rows."""
    require(options.pairs >= 1, "pairs", options.pairs, "must be at least 1")
    backend: Any = backends.get(options.backend)(0)
    rows = [
        _measure(name, CASES[name], backend, options.pairs)
        for name in options.case or list(CASES)
    ]
    return Report("decode", device_of(backend), rows)


run.add_arguments = add_arguments  # type: ignore[attr-defined]


def _measure(name: str, config: ModelConfig, backend: Any, pairs: int) -> Row:
    weights = initial_values(config, seed=1)
    prompt = np.random.default_rng(0).integers(config.vocab_size, size=PROMPT).tolist()
    ours, theirs = Decoder(config, backend), TorchDecoder(config, weights)
    ours.load(weights)
    _same_scores(ours, theirs, prompt)

    def alpha() -> None:
        list(generate(ours, [prompt], GREEDY, Limits(max_tokens=TOKENS)))

    def torch(threads: int) -> Callable[[], None]:
        def work() -> None:
            theirs.use_threads(threads)
            theirs.generate(prompt, TOKENS)

        return work

    counts = sorted({1, backend.threads})
    times, *peers = in_turn([alpha, *map(torch, counts)], pairs=pairs)
    best = min(range(len(peers)), key=lambda index: statistics.median(peers[index]))
    return Row(
        name=name,
        ours=TOKENS / statistics.median(times),
        theirs=TOKENS / statistics.median(peers[best]),
        unit="tokens/s",
        peer=f"torch eager, {counts[best]} thread{'s' * (counts[best] > 1)}",
        ratio=median_ratio(peers[best], times),
        extra={"token_us": 1e6 * statistics.median(times) / TOKENS},
    )


def _same_scores(ours: Decoder, theirs: TorchDecoder, prompt: list[int]) -> None:
    """Refuse to time two models that are not the same one."""
    tokens = [*prompt, *prompt[::-1]]
    expected = theirs.scores(tokens, len(prompt))
    scores = [ours.prefill(0, prompt).copy()]
    scores += [ours.decode([token])[0].copy() for token in tokens[len(prompt) :]]
    error = float(np.abs(np.stack(scores) - expected).max() / np.abs(expected).max())
    if not error <= TOLERANCE:
        raise AlphaError(f"decode: scores differ from PyTorch's by {error:.1e}")
