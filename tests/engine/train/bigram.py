"""The smallest real step program: a bigram model with momentum, gradients by hand.

The trainer's tests drive this instead of a GPT: it learns, it is deterministic, a
step takes microseconds, and its state is of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CheckpointError
from engine.random import Stream, integers, normal
from engine.train.step import Batch, StepResult

VOCAB = 7


class Bigram:
    """Logits of the next token are row `token` of a (vocab, vocab) table."""

    def __init__(self, seed: int = 0, vocab: int = VOCAB) -> None:
        table = normal(seed, Stream.INIT, 0, vocab * vocab)
        self.table = 0.1 * table.reshape(vocab, vocab)
        self.momentum = np.zeros_like(self.table)

    @property
    def parameter_count(self) -> int:
        return self.table.size

    def train_step(
        self,
        micro_batches: Sequence[Batch],
        *,
        lr: float,
        step: int,
        skip_above: float = math.inf,
    ) -> StepResult:
        x = np.concatenate([batch[0].ravel() for batch in micro_batches])
        y = np.concatenate([batch[1].ravel() for batch in micro_batches])
        probabilities = self._probabilities(x)
        loss = float(-np.log(probabilities[np.arange(len(y)), y]).mean())
        probabilities[np.arange(len(y)), y] -= 1.0
        gradient = np.zeros_like(self.table)
        np.add.at(gradient, x, probabilities / len(y))
        norm = float(np.sqrt((gradient**2).sum()))
        if not math.isfinite(loss) or not math.isfinite(norm) or norm > skip_above:
            return StepResult(loss, norm, applied=False)
        self.momentum = np.float32(0.9) * self.momentum + gradient
        self.table = self.table - np.float32(lr) * self.momentum
        return StepResult(loss, norm, applied=True)

    def eval_loss(self, batch: Batch) -> tuple[float, int]:
        x, y = batch[0].ravel(), batch[1].ravel()
        counted = y >= 0
        probabilities = self._probabilities(x[counted])
        picked = probabilities[np.arange(counted.sum()), y[counted]]
        return float(-np.log(picked).sum()), int(counted.sum())

    def state(self) -> dict[str, NDArray[Any]]:
        return {
            "model.table": self.table.copy(),
            "optim.momentum": self.momentum.copy(),
            "scale.value": np.ones((), dtype=np.float32),
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if arrays["model.table"].shape != self.table.shape:
            raise CheckpointError("model.table has another shape")
        self.table = arrays["model.table"].copy()
        self.momentum = arrays["optim.momentum"].copy()

    def _probabilities(self, x: NDArray[np.int32]) -> NDArray[np.float32]:
        logits = self.table[x]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)


def tokens(count: int = 500, vocab: int = VOCAB) -> NDArray[np.int32]:
    """A text with something to learn: mostly counting upwards, sometimes not."""
    drawn = integers(3, Stream.DATAGEN, 0, count, 3)
    return ((np.arange(count) + (drawn == 0)) % vocab).astype(np.int32)


def batches_from(cursor: int, rows: int = 4, block: int = 8) -> Iterator[Batch]:
    """Micro-batches `cursor`, `cursor` + 1, ...: random windows, the same each time.

    Each 29th tells another story, so that its gradient is a spike.
    """
    text = tokens()
    while True:
        starts = integers(5, Stream.BATCH, cursor, rows, len(text) - block)
        places = starts[:, None] + np.arange(block)
        x, y = text[places], text[places + 1]
        cursor += 1
        yield (x, np.zeros_like(y)) if cursor % 29 == 0 else (x, y)


def validation() -> list[Batch]:
    """The batches of one evaluation."""
    text = tokens(130)[-65:]
    return [(text[:64].reshape(4, 16), text[1:].reshape(4, 16))]
