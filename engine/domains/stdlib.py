"""The corpus that every machine has: the sources of Python's standard library.

Knows where they lie and which of them read like programs. Knows nothing about
training.

Left out are tests, installed packages, generated tables, and tools that few ever
import; what is left is taken in the order of a hash of its path until LIMIT bytes are
there, so that the choice favours no part of the library. The same Python gives the
same corpus.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from engine.data.source import TextFiles
from engine.errors import DataError

#: Bytes of the corpus.
LIMIT = 8_000_000

FOLDERS_LEFT_OUT = frozenset(
    (
        "__pycache__",
        "dist-packages",
        "encodings",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    )
)

#: The start of names of files that were generated for the machine at hand.
GENERATED = "_sysconfigdata"


def python_sources(root: Path | None = None, limit: int = LIMIT) -> TextFiles:
    """The standard library's sources as documents, a file each.

    `root` is the library's folder (None: this Python's). Raises DataError when the
    sources are not there, as where the library is a zip file.
    """
    folder = root or Path(sysconfig.get_path("stdlib"))
    taken: list[Path] = []
    size = 0
    for path in sorted(_candidates(folder), key=lambda path: _rank(path, folder)):
        length = _text_length(path)
        if size + length > limit:
            break
        if length:
            taken.append(path)
            size += length
    if not taken:
        raise DataError(
            f"{folder}: no Python sources here; give a text with --data instead"
        )
    taken.sort(key=lambda path: path.as_posix())
    return TextFiles(f"Python {platform.python_version()} standard library", taken)


def _candidates(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in FOLDERS_LEFT_OUT]
        for name in names:
            if name.endswith(".py") and not name.startswith(GENERATED):
                yield Path(root, name)


def _rank(path: Path, folder: Path) -> bytes:
    name = path.relative_to(folder).as_posix()
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape")).digest()


def _text_length(path: Path) -> int:
    """Bytes of a file in UTF-8; none for the few sources in another encoding."""
    try:
        data = path.read_bytes()
        data.decode()
    except UnicodeDecodeError:
        return 0
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return len(data)
