"""The matrix products of one training step, and nothing else.

Their time is the floor under a step's: the ceiling of what can be reached. They run
as the engine would run them if nothing stood between them: same shapes, the same
causal blocks of attention, ranges of rows shared among threads without any waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from engine.backends.numpy.crew import Crew, Task
from engine.backends.numpy.kernels.attention import AttentionShape
from engine.backends.numpy.ranges import RANGE_ROWS
from engine.config import ModelConfig


def linear_shapes(config: ModelConfig) -> Iterator[tuple[int, int]]:
    """(in, out) of every weight that rows are multiplied by."""
    width = config.n_embd
    for _ in range(config.n_layer):
        yield width, width + 2 * config.kv_heads * config.head_size
        yield width, width
        yield width, 4 * width
        yield 4 * width, width
    yield width, config.vocab_size


def _product(a: tuple[int, ...], b: tuple[int, ...], flip: str = "") -> Task:
    """A task that multiplies fresh random arrays of these shapes."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal(a, np.float32)
    right = rng.standard_normal(b, np.float32)
    x = left.swapaxes(-1, -2) if "a" in flip else left
    y = right.swapaxes(-1, -2) if "b" in flip else right
    out = np.empty(np.matmul(x, y).shape, np.float32)

    def multiply(thread: int) -> None:
        np.matmul(x, y, out)

    return multiply


def _attention(config: ModelConfig, sequences: int) -> list[Task]:
    shape = AttentionShape(
        config.block_size, config.n_head, config.n_head, config.head_size
    )
    together = min(shape.sequences_at_once, sequences)
    heads = together * shape.heads_at_once
    size, tasks = shape.size, []
    repeats = -(-sequences * shape.heads // heads)
    for start, stop in shape.spans():
        rows = stop - start
        scores = _product((heads, rows, size), (heads, stop, size), "b")
        mixed = _product((heads, rows, stop), (heads, stop, size))
        turned = _product((heads, rows, stop), (heads, rows, size), "a")
        tasks += [scores, mixed, scores, scores, mixed, turned, turned] * repeats
    return tasks


def step_products(config: ModelConfig, batch: int, crew: Crew) -> Callable[[], None]:
    """Run all products of forward and backward once."""
    rows = batch * config.block_size
    step = min(RANGE_ROWS, max(1, rows // crew.size))
    tasks: list[Task] = []
    for wide, out in linear_shapes(config):
        forward = _product((step, wide), (wide, out))
        backward = _product((step, out), (wide, out), "b")
        tasks += [forward, backward] * (rows // step)
        tasks.append(_product((rows, wide), (rows, out), "a"))
    for _ in range(config.n_layer):
        tasks += _attention(config, batch)
    key = crew.register([tasks])
    return lambda: crew.run(key)
