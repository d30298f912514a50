"""Files that are either whole or absent, whatever kills the process or fills the disk.

Everything the engine writes for keeps goes through here: bytes reach the disk under
another name, and take their own name only when they are all there. It knows nothing
of what the bytes mean.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import StorageError

#: Names that begin so belong to no one once their writer is dead.
SCRAP = ".scrap-"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into the StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "; free some space" if error.errno in _FULL else ""
        raise StorageError(f"cannot write {path}: {reason}{remedy}") from error


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write the whole of `data`: a nearly full disk takes only part of it at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write `chunks` to a new file at `path` and wait until the disk has them."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    descriptor = os.open(path, flags, 0o666)
    try:
        for chunk in chunks:
            write_all(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: a reader sees the old file or the new one.

    Raises StorageError, and then the old file is as it was.
    """
    scrap = path.with_name(f"{SCRAP}{path.name}.{os.getpid()}")
    with storage_errors(path):
        try:
            write_synced(scrap, [data])
            scrap.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                scrap.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def to_json(record: Mapping[str, Any], *, indent: int | None = None) -> bytes:
    """`record` as JSON and a newline. Raises ValueError for a NaN or an infinity."""
    text = json.dumps(record, indent=indent, allow_nan=False, ensure_ascii=False)
    return text.encode() + b"\n"


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to fill, that becomes `path` when the block ends without an error.

    Files in it are to be written with `write_synced`. On an error nothing is left.
    A `path` that exists and is not empty is an error, unless it is to `replace`:
    then there is a moment with neither the old folder nor the new one.
    """
    scrap = path.with_name(f"{SCRAP}{path.name}.{os.getpid()}")
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            scrap.mkdir()
            yield scrap
            sync_folder(scrap)
            if replace and path.exists():
                remove_folder(path)
            scrap.rename(path)
        except BaseException:
            shutil.rmtree(scrap, ignore_errors=True)
            raise
        sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that no one ever sees half of it."""
    scrap = path.with_name(f"{SCRAP}{path.name}.gone")
    with storage_errors(path):
        if scrap.exists():
            shutil.rmtree(scrap)
        path.rename(scrap)
        shutil.rmtree(scrap)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in `folder`.

    Only for a caller that knows itself to be the only writer there.
    """
    with storage_errors(folder):
        for path in folder.glob(f"{SCRAP}*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
