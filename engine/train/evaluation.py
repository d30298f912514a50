"""A model's loss on a text, without training it.

Compiles the forward pass alone: no gradients, no optimizer state. Knows arrays and
batches; knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends import Backend
from engine.config import ModelConfig
from engine.errors import DataError
from engine.graph import input_tensor
from engine.model import negative_log_likelihood, parameter_layout
from engine.train.step import Batch


@dataclass(frozen=True)
class Evaluation:
    """Loss in nats a token over `tokens` targets."""

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """How many tokens the model hesitates between: exp of the loss."""
        return math.exp(self.loss) if self.loss < 700.0 else math.inf

    def bits_per_byte(self, targets: int, target_bytes: int) -> float:
        """The loss in bits for each byte of a text of so many targets and bytes."""
        return self.loss / math.log(2.0) * targets / target_bytes


class Evaluator:
    """A model compiled for evaluation in batches of `batch` whole blocks."""

    def __init__(self, model: ModelConfig, batch: int, backend: Backend) -> None:
        self._layout = parameter_layout(model)
        self._store = backend.store(self._layout.buffers)
        shape = (batch, model.block_size)
        tokens = input_tensor("tokens", shape, "int32")
        targets = input_tensor("targets", shape, "int32")
        weights = self._layout.tensors()
        nll = negative_log_likelihood(model, weights, tokens, targets)
        self._program = backend.compile({"nll": nll}, store=self._store)

    def load(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Take parameters by name. CheckpointError names one that does not fit."""
        self._layout.check(weights, "model.")
        self._layout.write(self._store, weights)

    def evaluate(self, batches: Iterable[Batch]) -> Evaluation:
        """The loss over all of `batches`. Raises DataError if nothing is counted."""
        total, counted = 0.0, 0
        for tokens, targets in batches:
            result = self._program.run({"tokens": tokens, "targets": targets})
            total += float(result["nll"])
            counted += int(np.count_nonzero(targets >= 0))
        if counted == 0:
            raise DataError("the text holds no token that counts; give a longer one")
        return Evaluation(total / counted, counted)
