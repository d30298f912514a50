"""Processes that share out the tasks of a phase, and meet before the next.

Threads of one Python process wait for each other's interpreter between any two calls
of NumPy, and on small arrays that costs as much as the arithmetic. So the workers are
processes: forked once all programs are known, with every array that tasks exchange in
memory that they share (`shared`). Which worker runs a task changes no result, because
tasks of a phase touch nothing that another of them writes.

Knows nothing of tensors. Workers end with their parent, whatever ends it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import itertools
import mmap
import multiprocessing
import os
import signal
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from engine.errors import GraphError

#: A task gets the number of the worker that runs it: its scratch memory's index.
Task = Callable[[int], None]
Phases = Sequence[Sequence[Task]]

#: Phases that a program may have.
MOST_PHASES = 1 << 14
#: Looks at a counter before a waiting process begins to sleep between them.
SPINS = 20_000
#: Seconds between two looks of a sleeping process, and between two at its parent.
NAP, PARENT_CHECK = 50e-6, 5.0
#: Elements of the buffers that NumPy allocates, at every call, for operands that it
#: broadcasts or casts. Its own 8192 make a step allocate several times what a replay
#: may, and copy columns through them at a fifth of the speed.
BUFFER = 1024
#: Bytes for the message of an error in a worker.
MESSAGE = 1024

_PROGRAM, _ARRIVED, _DONE, _FAILED, _COUNTERS = 0, 8, 16, 24, 32
_PR_SET_PDEATHSIG = 1


class _Abandoned(Exception):
    """Another process failed: the rest of the run is not done."""


@contextlib.contextmanager
def _arithmetic() -> Iterator[None]:
    """How tasks compute: without warnings, with small buffers."""
    with np.errstate(all="ignore"):
        np.setbufsize(BUFFER)
        yield


class Crew:
    """`size` processes, the caller's among them. Workers sleep between runs."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._programs: dict[int, Phases] = {}
        self._keys = itertools.count(1)
        self._known: set[int] = set()
        self._workers: list[int] = []
        self._memory = mmap.mmap(-1, 8 * (_COUNTERS + MOST_PHASES) + MESSAGE)
        self._shared = memoryview(self._memory).cast("B")
        self._words = self._shared[: 8 * (_COUNTERS + MOST_PHASES)].cast("q")
        _crews.add(self)

    def register(self, phases: Phases) -> int:
        """Make a program known; its key. Its arrays must be shared already."""
        if len(phases) > MOST_PHASES:
            raise GraphError(
                f"a program of {len(phases)} phases: {MOST_PHASES} at most"
            )
        key = next(self._keys)
        self._programs[key] = phases
        return key

    def forget(self, key: int) -> None:
        """Let go of a program. Workers do with their next start."""
        self._programs.pop(key, None)

    def run(self, key: int, *, alone: bool = False) -> None:
        """Run all tasks, phase by phase; `alone`: in the calling process only.

        Raises what a task raises here, and GraphError for what one raises elsewhere;
        the rest of the run is then abandoned.
        """
        phases = self._programs[key]
        with _arithmetic():
            if alone or self.size == 1:
                for phase in phases:
                    for task in phase:
                        task(0)
                return
            if key not in self._known:
                self._start()
            self._begin(key, len(phases))
            error: BaseException | None = None
            try:
                self._share(0, phases)
            except BaseException as raised:  # noqa: BLE001 (raised again below)
                error = raised
                self._words[_FAILED] = 1
            self._finish()
        if isinstance(error, _Abandoned):
            text = bytes(self._shared[-MESSAGE:]).rstrip(b"\0").decode(errors="replace")
            raise GraphError(f"a worker failed: {text or 'it was killed'}")
        if error is not None:
            raise error

    def stop(self) -> None:
        """End the workers. They hold nothing that is not shared."""
        workers, self._workers, self._known = self._workers, [], set()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in workers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    # -- a run, in every process ------------------------------------------------------

    def _share(self, me: int, phases: Phases) -> None:
        words, lock = self._words, self._lock
        for index, phase in enumerate(phases):
            place, count = _COUNTERS + index, len(phase)
            while True:
                with lock:
                    task = words[place]
                    words[place] = task + 1
                if task >= count:
                    break
                phase[task](me)
            with lock:
                words[_ARRIVED] += 1
            self._await(_ARRIVED, (index + 1) * self.size)

    def _await(self, place: int, target: int) -> None:
        """Wait until a counter has reached `target`, and see what was written before.

        Taking the lock orders memory on processors that need to be told.
        """
        words, looks = self._words, 0
        while words[place] < target:
            looks += 1
            if words[_FAILED] and place != _DONE:
                raise _Abandoned
            if looks > SPINS:
                time.sleep(NAP)
                if looks % 1000 == 0:
                    self._check_workers()
        with self._lock:
            pass

    # -- in the parent ----------------------------------------------------------------

    def _begin(self, key: int, phases: int) -> None:
        words = self._words
        words[_ARRIVED] = words[_DONE] = words[_FAILED] = 0
        for index in range(phases):
            words[_COUNTERS + index] = 0
        self._shared[-MESSAGE:] = bytes(MESSAGE)
        words[_PROGRAM] = key
        for semaphore in self._wake:
            semaphore.release()

    def _finish(self) -> None:
        try:
            self._await(_DONE, len(self._workers))
        except GraphError:
            self.stop()
            raise

    def _check_workers(self) -> None:
        """GraphError if a worker is gone; nothing to do in a worker itself."""
        for pid in self._workers:
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._workers.remove(pid)
                self.stop()  # none is left to wait for
                raise GraphError(f"worker {pid} was ended from outside during a step")

    def _start(self) -> None:
        """Fork the workers anew, so that they know all programs there are now."""
        self.stop()
        self._new_locks()
        parent = os.getpid()
        for index in range(self.size - 1):
            with warnings.catch_warnings():
                # Python warns where other threads run; workers touch no lock of theirs.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                try:
                    self._work(index + 1, parent)
                finally:
                    os._exit(1)  # never back into what the parent was doing
            self._workers.append(pid)
        self._known = set(self._programs)

    def _new_locks(self) -> None:
        context = multiprocessing.get_context("fork")
        self._lock = context.Lock()
        self._wake = [context.Semaphore(0) for _ in range(self.size - 1)]

    # -- in a worker ------------------------------------------------------------------

    def _work(self, me: int, parent: int) -> None:
        """Serve runs for ever. Never returns."""
        self._workers = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        gc.disable()
        _die_with_parent()
        wake = self._wake[me - 1]
        with _arithmetic():
            while True:
                while not wake.acquire(timeout=PARENT_CHECK):
                    if os.getppid() != parent:
                        os._exit(0)
                self._serve(me)

    def _serve(self, me: int) -> None:
        try:
            self._share(me, self._programs[self._words[_PROGRAM]])
        except _Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001 (reported to the parent)
            text = f"{type(error).__name__}: {error}".encode()[:MESSAGE]
            self._shared[-MESSAGE:] = text.ljust(MESSAGE, b"\0")
            self._words[_FAILED] = 1
        with self._lock:
            self._words[_DONE] += 1


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent; else it looks now and then."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_crews: weakref.WeakSet[Crew] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for crew in _crews:
        crew.stop()
