"""Threads that share out the tasks of a phase, and meet before the next.

Knows nothing of tensors. Which thread runs a task changes no result, because tasks
of a phase touch nothing that another of them writes.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

import numpy as np

#: A task gets the number of the thread that runs it: its scratch memory's index.
Task = Callable[[int], None]


class Team:
    """`size` threads, the caller's among them. Workers sleep between runs."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._wake = [threading.Semaphore(0) for _ in range(size - 1)]
        self._barrier = threading.Barrier(size)
        self._done = threading.Semaphore(0)
        self._phases: Sequence[Sequence[Task]] = ()
        self._counters: list[itertools.count[int]] = []
        self._error: BaseException | None = None
        for index in range(size - 1):
            thread = threading.Thread(
                target=self._worker, args=(index,), daemon=True, name=f"alpha-{index}"
            )
            thread.start()

    def run(self, phases: Sequence[Sequence[Task]], *, alone: bool = False) -> None:
        """Run all tasks, phase by phase; `alone`: on the calling thread only.

        Raises the first exception of a task; the rest of the run is abandoned.
        """
        with np.errstate(all="ignore"):
            if alone or self.size == 1:
                for phase in phases:
                    for task in phase:
                        task(0)
                return
            self._phases = phases
            self._counters = [itertools.count() for _ in phases]
            self._error = None
            for semaphore in self._wake:
                semaphore.release()
            self._share(0)
            for _ in self._wake:
                self._done.acquire()
        self._raise()

    def _raise(self) -> None:
        """Raise what a task of the last run raised, ready for the next run."""
        error, self._error = self._error, None
        if error is not None:
            self._barrier.reset()
            raise error

    def _worker(self, index: int) -> None:
        with np.errstate(all="ignore"):
            while True:
                self._wake[index].acquire()
                self._share(index + 1)
                self._done.release()

    def _share(self, thread: int) -> None:
        try:
            for phase, counter in zip(self._phases, self._counters, strict=True):
                count = len(phase)
                while (index := next(counter)) < count:
                    phase[index](thread)
                self._barrier.wait()
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:  # noqa: BLE001 (raised again by `run`)
            self._error = self._error or error
            self._barrier.abort()
