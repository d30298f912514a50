"""What the trainer needs from a compiled training step, and nothing more.

The graph engine implements `StepProgram`; the trainer only calls it. So the trainer
knows no graph and no device, and its tests can drive it with any other program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Tokens and their targets, both (batch, block) int32; target -1 is not counted.
Batch = tuple[NDArray[np.int32], NDArray[np.int32]]


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step did.

    loss       mean negative log-likelihood (nats) over the step's counted targets
    grad_norm  global norm of the gradient before clipping
    applied    False when the update was skipped (non-finite, or above `skip_above`);
               parameters and optimizer state are then untouched
    loss_scale the scale used (1.0 in fp32)
    """

    loss: float
    grad_norm: float
    applied: bool
    loss_scale: float = 1.0


class StepProgram(Protocol):
    """A model with its optimizer, compiled for one batch shape."""

    @property
    def parameter_count(self) -> int: ...

    def train_step(
        self,
        micro_batches: Sequence[Batch],
        *,
        lr: float,
        step: int,
        skip_above: float = float("inf"),
    ) -> StepResult:
        """Run `accum` micro-batches and one update. `step` counts from 1."""
        ...

    def eval_loss(self, batch: Batch) -> tuple[float, int]:
        """Summed negative log-likelihood and number of counted targets."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that a checkpoint holds: "model.*", "optim.*", "scale.*"."""
        ...

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` gave; CheckpointError names a bad array."""
        ...
