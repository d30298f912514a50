"""One writer per run: an advisory lock that dies with its process, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from engine.errors import StorageError
from engine.storage import storage_errors, write_all

NAME = "lock"


class RunLock:
    """Holds the run in `folder` until `close`. The file itself stays there."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises StorageError when another process holds it."""
        path = folder / NAME
        with storage_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StorageError(
                f"{folder.name} is being written by process {holder or 'unknown'}; "
                "stop that one first"
            ) from None
        with storage_errors(path):
            try:
                os.ftruncate(self._descriptor, 0)
                write_all(self._descriptor, f"{os.getpid()}\n".encode())
            except OSError:
                os.close(self._descriptor)
                raise

    def close(self) -> None:
        """Let the next writer in."""
        os.close(self._descriptor)


def locked(folder: Path) -> bool:
    """Whether a living process writes the run in `folder`."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
