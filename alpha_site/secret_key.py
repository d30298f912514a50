"""The key that signs sessions: made once on each machine, readable by its owner."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from engine.home import var_dir


@cache
def secret_key() -> str:
    """The key in `var/secret_key`, which is made if it is not there.

    Raises OSError where the file can be neither read nor written.
    """
    path = var_dir() / "secret_key"
    if not path.exists():
        write_once(path, secrets.token_urlsafe(48))
    return path.read_text(encoding="ascii")


def write_once(path: Path, text: str) -> None:
    """Put `text` there with mode 0600 unless another process was quicker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(file.name)
