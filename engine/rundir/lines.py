"""Files of JSON lines that a kill can tear, and how they are made whole again.

A line is written with one call and ends in a newline; only the last can be torn.
Knows no event and no run.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.storage import replace_file, storage_errors, write_all

Record = dict[str, Any]


class LineWriter:
    """Appends lines; each is in the kernel's hands when `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with storage_errors(path):
            self._descriptor = os.open(path, flags, 0o666)
            self._size = os.fstat(self._descriptor).st_size

    def append(self, line: bytes) -> None:
        """Write a line. Raises StorageError, and then takes back what part of it

        was written, so that the file stays whole.
        """
        with storage_errors(self.path):
            try:
                write_all(self._descriptor, line)
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                raise
        self._size += len(line)

    def sync(self) -> None:
        """Wait until the disk has every line."""
        with storage_errors(self.path):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_lines(path: Path) -> Iterator[Record]:
    """The records of a file, without a torn or ruined tail; none if it is missing."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            record = _parse(line)
            if record is None:
                return
            yield record


def cut(path: Path, last_step: int) -> int:
    """Drop the torn tail of `path`, and all lines whose step is after `last_step`.

    For a file whose steps never fall: it is read from its end, and cut with one
    system call. Gives the step of the last line left, 0 if there is none.
    """
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with storage_errors(path), path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            end, step = len(view), 0
            while end > 0:
                begin = view.rfind(b"\n", 0, end - 1) + 1
                record = _parse(view[begin:end])
                if record is not None and record["step"] <= last_step:
                    step = record["step"]
                    break
                end = begin
        if end < path.stat().st_size:
            os.ftruncate(file.fileno(), end)
            os.fsync(file.fileno())
    return int(step)


def keep(path: Path, wanted: Callable[[Record], bool]) -> None:
    """Rewrite `path`, in one step, with only the whole lines that are `wanted`."""
    if not path.exists():
        return
    data = path.read_bytes()
    kept = []
    for line in data.splitlines(keepends=True):
        record = _parse(line)
        if record is not None and wanted(record):
            kept.append(line)
    whole = b"".join(kept)
    if whole != data:
        replace_file(path, whole)


def _parse(line: bytes) -> Record | None:
    """The record of a whole line, None for a torn or ruined one."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if isinstance(record, dict) and isinstance(record.get("step"), int):
        return record
    return None
