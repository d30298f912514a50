"""All that a trainer remembers from step to step besides the model itself.

A checkpoint keeps it as JSON; floats survive that to the last bit. It knows no
arrays: those are the step program's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import CheckpointError
from engine.train.guards import Average, Evaluations, NonFiniteGuard, SpikeGuard


@dataclass
class TrainerState:
    """Where a run stands after `step` steps.

    cursor      micro-batches taken from the training data: the next one's index
    elapsed_ms  wall time of all sessions so far
    loss_scale  the last step's (the program keeps its own; this is for readers)
    train_loss  average of the training loss, for warnings and the summary
    """

    step: int = 0
    tokens: int = 0
    cursor: int = 0
    elapsed_ms: float = 0.0
    loss_scale: float = 1.0
    train_loss: Average = field(default_factory=Average)
    spikes: SpikeGuard = field(default_factory=lambda: SpikeGuard(Average()))
    nonfinite: NonFiniteGuard = field(default_factory=NonFiniteGuard)
    evaluations: Evaluations = field(default_factory=Evaluations)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TrainerState:
        """Read what `to_dict` wrote; CheckpointError for anything else."""
        values = dict(record)
        try:
            spikes = dict(values["spikes"])
            spikes["average"] = Average(**spikes["average"])
            values["spikes"] = SpikeGuard(**spikes)
            values["train_loss"] = Average(**values["train_loss"])
            values["nonfinite"] = NonFiniteGuard(**values["nonfinite"])
            values["evaluations"] = Evaluations(**values["evaluations"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"the trainer's state is not whole: {error}"
            ) from None
