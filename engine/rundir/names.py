"""Names of runs: readable, sortable by time, unique, and harmless as file names."""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from engine.errors import ConfigError

LONGEST = 100
_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def new_run_id(label: str, now: datetime) -> str:
    """A name such as "20261123-151200-python-a3f9" for a run begun at `now`.

    `label` (a domain, a file's name) is reduced to what a run's name may hold. The
    last four digits are the operating system's: no result depends on a run's name.
    """
    words = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40].strip("-")
    parts = [now.strftime("%Y%m%d-%H%M%S"), words, secrets.token_hex(2)]
    return "-".join(part for part in parts if part)


def check_run_id(name: str) -> str:
    """`name`, if it can be a run's: one path component that hides nothing.

    Raises ConfigError otherwise.
    """
    if not _ALLOWED.fullmatch(name) or len(name) > LONGEST:
        raise ConfigError(
            "run",
            name,
            "a run's name has letters, digits, '.', '_' and '-', begins with a "
            f"letter or digit, and is at most {LONGEST} long",
        )
    return name
