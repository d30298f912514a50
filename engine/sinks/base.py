"""What a sink is: something that takes a run's events and puts them somewhere.

A third party registers its own under a name; `alpha train --sink NAME` adds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.registry import Registry
from engine.rundir.layout import RunDir
from engine.rundir.record import RunRecord
from engine.train.events import Event


@dataclass(frozen=True)
class SinkContext:
    """The run whose events come.

    record  `run.json` as this session begins
    step    the step training begins after: 0, or the checkpoint's
    """

    run: RunDir
    record: RunRecord
    step: int


class Sink(Protocol):
    """Takes events in order. `essential`: the run must not go on without it."""

    @property
    def essential(self) -> bool: ...

    def handle(self, event: Event) -> None:
        """Take one event. Training waits, so what is slow belongs elsewhere."""
        ...

    def sync(self) -> None:
        """Make what was taken survive a power cut. Called before a checkpoint."""
        ...

    def close(self) -> None:
        """The last call, also after an error."""
        ...


#: name -> what makes the sink for a run; may raise what it needs to refuse.
sinks: Registry[Callable[[SinkContext], Sink]] = Registry("sink")


class QuietSink:
    """A base for sinks that have nothing to sync or close, and may be done without."""

    essential = False

    def handle(self, event: Event) -> None:
        """Ignore the event."""

    def sync(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


@sinks.register("null")
class NullSink(QuietSink):
    """Takes everything, tells nobody."""

    def __init__(self, context: SinkContext) -> None:
        pass
