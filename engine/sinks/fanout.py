"""One sink made of many, that decides what a failing one means.

An essential sink (the journal) that fails ends the run: its error passes through.
Any other is dropped after a warning to the rest, and training goes on without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from engine.sinks.base import Sink
from engine.train.events import Event, Warning


class Fanout:
    """Hands every event to `sinks` in their order."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        # Essential ones first: what the journal cannot keep, nobody is told.
        self._sinks = sorted(sinks, key=lambda sink: not sink.essential)
        self._step = 0

    def handle(self, event: Event) -> None:
        """Give `event` to every sink."""
        self._step = event.step
        self._each(lambda sink: sink.handle(event))

    def sync(self) -> None:
        """Have every sink secure what it took."""
        self._each(lambda sink: sink.sync())

    def close(self) -> None:
        """Close every sink, whatever each of them raises; then raise the first."""
        with contextlib.ExitStack() as stack:
            for sink in reversed(self._sinks):
                stack.callback(sink.close)

    def _each(self, act: Callable[[Sink], None]) -> None:
        failures: dict[Sink, str] = {}
        for sink in self._sinks:
            try:
                act(sink)
            except Exception as error:
                if sink.essential:
                    raise
                failures[sink] = f"{type(error).__name__}: {error}"
        for sink in failures:
            self._drop(sink)
        for sink, cause in failures.items():
            name = type(sink).__name__
            message = f"{name} failed and is left out from now on: {cause}"
            self.handle(Warning(self._step, "sink_failed", message))

    def _drop(self, sink: Sink) -> None:
        self._sinks.remove(sink)
        with contextlib.suppress(Exception):
            sink.close()
