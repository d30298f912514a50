"""The terminal: lines and progress for people, all on stderr.

On a terminal progress is a live bar; elsewhere (a pipe, a log file) it is a plain line
now and then. Knows no command, and nothing of what is counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

#: Seconds between two lines of progress where there is no terminal.
LINE_INTERVAL = 5.0

#: Columns a table may take in a file.
FILE_WIDTH = 200


def console() -> Console:
    """A console on stderr as it is now; wide and unwrapped where nobody looks."""
    found = Console(file=sys.stderr, highlight=False, emoji=False)
    if not found.is_terminal:
        found.width = FILE_WIDTH
        found.soft_wrap = True
    return found


def printable(text: str) -> str:
    """`text` without what a terminal would obey: a model can write escape codes."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


class Counter(Protocol):
    """Progress of something counted."""

    def update(self, done: int, note: str = "") -> None:
        """So many are done; `note` is shown beside the count."""
        ...

    def write(self, text: str) -> None:
        """Put `text` above the progress, to stay."""
        ...


class LiveCounter:
    """A bar that redraws itself in place."""

    def __init__(self, bars: Progress, title: str, total: int, done: int) -> None:
        self._bars = bars
        self._task = bars.add_task(title, total=total, completed=done, note="")

    def update(self, done: int, note: str = "") -> None:
        self._bars.update(self._task, completed=done, note=note)

    def write(self, text: str) -> None:
        self._bars.console.print(printable(text), markup=False, soft_wrap=True)


class LineCounter:
    """A line of text every few seconds, the first and the last count always."""

    def __init__(self, out: Console, title: str, total: int) -> None:
        self._out = out
        self._title = title
        self._total = total
        self._due = 0.0

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if now >= self._due or done >= self._total:
            self._due = now + LINE_INTERVAL
            self.write(f"{self._title} {done}/{self._total}  {note}".rstrip())

    def write(self, text: str) -> None:
        self._out.print(printable(text), markup=False, soft_wrap=True)


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Counter]:
    """Show the progress of `total` of something while the block runs.

    `done` were there before: the time that remains is not guessed from them.
    """
    out = console()
    if not out.is_terminal:
        yield LineCounter(out, title, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out) as bars:
        yield LiveCounter(bars, title, total, done)
