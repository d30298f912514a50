"""The journal: a run's events as files in its directory, the run's own truth.

    metrics.jsonl  one line a step          samples.jsonl  one line a sample
    events.jsonl   everything else          run.json       where the run stands

A line is in the kernel's hands before the next step begins, so that a killed process
loses none; `sync` puts them on the disk before a checkpoint counts on them. When a
run is resumed, the lines after the checkpoint's step are dropped, since those steps
will be made again; what tells of the run's sessions (their starts and ends) stays.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from engine.errors import DataError
from engine.rundir.lines import LineWriter, cut, keep
from engine.rundir.record import now
from engine.sinks.base import SinkContext, sinks
from engine.storage import to_json
from engine.train.events import (
    CheckpointSaved,
    Ending,
    EvalDone,
    Event,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunStarted,
    RunStopped,
    SampleReady,
    StepDone,
)

#: How each ending is called in `run.json`.
STATES: dict[type[Ending], str] = {
    RunPaused: "paused",
    RunStopped: "stopped",
    RunCompleted: "completed",
    RunFailed: "failed",
}

_LIFE = {RunStarted.kind, *(ending.kind for ending in STATES)}


@sinks.register("journal")
class Journal:
    """Writes the files of one run. The caller holds the run's lock."""

    essential = True

    def __init__(self, context: SinkContext) -> None:
        """Repair the files and rewind them to the step training begins after.

        Raises DataError when metrics of steps before that one are missing.
        """
        self._run = context.run
        self._record = context.record
        self._last: StepDone | None = None
        self._rewind(context.step)
        self._metrics = LineWriter(self._run.metrics)
        self._samples = LineWriter(self._run.samples)
        self._events = LineWriter(self._run.events)

    def handle(self, event: Event) -> None:
        """Append the event's line. Raises StorageError."""
        match event:
            case StepDone():
                self._metrics.append(to_json(event.fields()))
                self._last = event
            case SampleReady():
                self._samples.append(to_json(event.fields() | {"time": now()}))
            case _:
                self._events.append(to_json(event.to_dict() | {"time": now()}))
                self._update(event)

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        for writer in (self._metrics, self._samples, self._events):
            writer.sync()

    def close(self) -> None:
        """Close the files."""
        for writer in (self._metrics, self._samples, self._events):
            writer.close()

    def _rewind(self, step: int) -> None:
        last = cut(self._run.metrics, step)
        if last != step:
            raise DataError(
                f"{self._run.metrics} ends at step {last}, before the checkpoint of "
                f"step {step}: lines are missing"
            )
        cut(self._run.samples, step)
        keep(
            self._run.events,
            lambda line: line["step"] <= step or line.get("event") in _LIFE,
        )

    def _update(self, event: Event) -> None:
        """Bring `run.json` up to date with what concerns it."""
        changes: dict[str, Any]
        match event:
            case RunStarted():
                changes = {
                    "state": "active",
                    "message": "",
                    "started": self._record.started or now(),
                    "finished": None,
                    "step": event.step,
                    "tokens": event.tokens,
                    "sessions": self._record.sessions + 1,
                }
            case EvalDone():
                changes = {
                    "val_loss": _finite(event.val_loss),
                    "best_val_loss": _finite(event.best_val_loss),
                    "best_step": event.best_step,
                }
            case CheckpointSaved():
                changes = {"checkpoint": event.path}
            case Ending():
                changes = {
                    "state": STATES[type(event)],
                    "message": event.reason,
                    "finished": now(),
                    "train_loss": event.train_loss,
                    "val_loss": event.val_loss,
                    "best_val_loss": event.best_val_loss,
                    "best_step": event.best_step,
                    "tokens_per_sec": event.tokens_per_sec,
                }
            case _:
                return
        if self._last is not None:
            changes["step"] = self._last.step
            changes["tokens"] = self._last.tokens
            changes["elapsed_ms"] = self._last.elapsed_ms
        self._record = dataclasses.replace(self._record, updated=now(), **changes)
        self._record.write(self._run.path)


def _finite(value: float) -> float | None:
    """None for NaN, which JSON cannot write."""
    return value if value == value else None
