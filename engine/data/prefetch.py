"""The next batches, made by a thread while the step runs.

Knows a function from index to batch and the order of indices. Knows nothing about
what a batch is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Yields make(start), make(start + 1), ... and stays at most `depth` ahead.

    An exception of `make` comes out of `__next__` in its turn, then and ever after.
    Use as a context manager, or call `close`: the thread has then ended.
    """

    def __init__(
        self,
        make: Callable[[int], T],
        start: int = 0,
        stop: int | None = None,
        depth: int = 4,
    ) -> None:
        self._make, self._next, self._stop = make, start, stop
        self._depth = max(1, depth)
        self._ready: deque[T] = deque()
        self._error: BaseException | None = None
        self._done = False
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(
            target=self._fill, name="alpha-prefetch", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Prefetcher[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._change:
            self._change.wait_for(lambda: self._ready or self._done or self._closed)
            if self._closed:
                raise ValueError("this prefetcher is closed")
            if self._ready:
                item = self._ready.popleft()
                self._change.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise StopIteration

    def close(self) -> None:
        """Drop what is ready and wait for the thread to end. Twice does no harm."""
        with self._change:
            self._closed = True
            self._ready.clear()
            self._change.notify_all()
        self._thread.join()

    def _fill(self) -> None:
        try:
            while self._wait_for_room():
                item = self._make(self._next)
                with self._change:
                    self._next += 1
                    self._ready.append(item)
                    self._change.notify_all()
        except BaseException as error:  # noqa: BLE001 - it is the consumer's to handle
            with self._change:
                self._error = error
        with self._change:
            self._done = True
            self._change.notify_all()

    def _wait_for_room(self) -> bool:
        """False when nothing more is to be made."""
        with self._change:
            if self._stop is not None and self._next >= self._stop:
                return False
            self._change.wait_for(
                lambda: len(self._ready) < self._depth or self._closed
            )
            return not self._closed
