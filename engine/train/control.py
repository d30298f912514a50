"""Requests to end a run early, read by the trainer between two steps.

A request can come from anywhere (a signal, a flag in a database): the trainer only
knows a function that returns one or None. `StopSignals` is the one for a terminal.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Action(Enum):
    """What is asked for: PAUSE means that somebody intends to go on later."""

    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True)
class Request:
    """A wish to end the run after the step at hand, and why."""

    action: Action
    reason: str


#: What the trainer calls between steps.
Control = Callable[[], Request | None]


def no_requests() -> None:
    """The control of a run that nobody stops."""
    return


class StopSignals:
    """While entered, SIGINT and SIGTERM ask for a stop; the second ends at once.

    So does the first, while nobody has asked for requests yet: before the first step
    is done there is nothing to save. `notify` is called with a line for the person at
    the keyboard. Only the main thread may enter it (the operating system's rule).
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._request: Request | None = None
        self._stepping = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> Request | None:
        self._stepping = True
        return self._request

    def _receive(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._request is not None or not self._stepping:
            raise KeyboardInterrupt(name)
        self._request = Request(Action.STOP, name)
        self._notify(f"{name}: stopping after this step; once more ends at once")
