"""What a training run tells the world, as frozen values that go to JSON and back.

The trainer yields these; sinks take them. Nothing here knows who listens. In JSON a
number that is NaN or infinite is null (JSON has no word for it) and comes back as
NaN; a field at its default is left out.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.errors import DataError

_KINDS: dict[str, type[Event]] = {}


@dataclass(frozen=True)
class Event:
    """Something that happened at `step`, the number of steps done by then."""

    kind: ClassVar[str] = ""

    step: int

    def __init_subclass__(cls) -> None:
        # "StepDone" is "step_done" in the files.
        cls.kind = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        _KINDS[cls.kind] = cls

    def fields(self) -> dict[str, Any]:
        """The fields as JSON values, without those at their default."""
        values = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value == item.default:
                continue
            if isinstance(value, float) and not math.isfinite(value):
                value = None
            values[item.name] = value
        return values

    def to_dict(self) -> dict[str, Any]:
        """`fields`, headed by the event's name."""
        return {"event": self.kind} | self.fields()


@dataclass(frozen=True)
class RunStarted(Event):
    """Training begins at `step` (0, or the step it was resumed from)."""

    iters: int
    parameters: int
    tokens: int


@dataclass(frozen=True)
class StepDone(Event):
    """One optimizer step: a row of the metrics.

    loss            mean negative log-likelihood of the step's batch, nats a token
    grad_norm       global norm of the gradient before clipping
    tokens          tokens trained on since the run's beginning
    elapsed_ms      wall time since the run's beginning, over all its sessions
    ms_per_iter     wall time of this step alone, its batch included
    tokens_per_sec  this step's tokens over that time
    val_loss        loss on the validation split, where this step evaluated it
    skipped         why the update was not made: "nonfinite", "spike" or ""
    loss_scale      the factor the loss was scaled by (fp16)
    """

    loss: float
    lr: float
    grad_norm: float
    tokens: int
    elapsed_ms: float
    ms_per_iter: float
    tokens_per_sec: float
    val_loss: float | None = None
    skipped: str = ""
    loss_scale: float = 1.0


@dataclass(frozen=True)
class EvalDone(Event):
    """The validation loss (nats a token) over `tokens` targets, in `took_ms`."""

    val_loss: float
    tokens: int
    best_val_loss: float
    best_step: int
    took_ms: float


@dataclass(frozen=True)
class SampleReady(Event):
    """Text the model wrote after `prompt`, the domain's prompt number `index`."""

    index: int
    prompt: str
    text: str


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint of `bytes` bytes is whole on disk at `path`."""

    path: str
    bytes: int
    val_loss: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Warning(Event):
    """Something a person should know; `code` is stable, `message` one line."""

    code: str
    message: str


@dataclass(frozen=True)
class Ending(Event):
    """How a run's session ended, and where the run stands then.

    train_loss      average of the last steps' losses (decay 0.98)
    val_loss        of the last evaluation
    tokens_per_sec  over this session's steps, evaluations and samples not counted
    """

    reason: str
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: int = 0
    tokens_per_sec: float | None = None


@dataclass(frozen=True)
class RunPaused(Ending):
    """Training ended on request, to be gone on with."""


@dataclass(frozen=True)
class RunStopped(Ending):
    """Training ended on request."""


@dataclass(frozen=True)
class RunCompleted(Ending):
    """Training did all its steps ("iters") or ran out of gains ("patience")."""


@dataclass(frozen=True)
class RunFailed(Ending):
    """Training cannot go on; `reason` is one line."""


def from_dict(record: Mapping[str, Any]) -> Event:
    """Read what `to_dict` wrote, ignoring keys a sink added (`time`).

    Raises DataError for an unknown event or a missing field.
    """
    kind = record.get("event")
    cls = _KINDS.get(str(kind))
    if cls is None:
        raise DataError(f"event {kind!r}: known are {', '.join(_KINDS)}")
    values: dict[str, Any] = {}
    for item in dataclasses.fields(cls):
        if item.name in record:
            value = record[item.name]
            values[item.name] = math.nan if _lost(item, value) else value
        elif item.default is dataclasses.MISSING:
            raise DataError(f"event {kind!r} has no field {item.name!r}")
    return cls(**values)


def _lost(item: dataclasses.Field[Any], value: object) -> bool:
    """Whether null stands for a number that JSON cannot write."""
    return value is None and item.type == "float"
