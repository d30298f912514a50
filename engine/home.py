"""Where files go: `outputs/` for runs, `var/` for all that can be made again.

Both lie in ALPHA_HOME; without it in the checkout, or, where the package was
installed without one, in the current directory. Nothing here makes a directory.
"""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The directory that holds `outputs/` and `var/`."""
    named = os.environ.get("ALPHA_HOME")
    if named:
        return Path(named).expanduser().resolve()
    return CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()


def outputs_dir() -> Path:
    """Run directories: `outputs/<run id>/`."""
    return home() / "outputs"


def var_dir() -> Path:
    """Files of this machine: secrets, databases, caches."""
    return home() / "var"


def cache_dir() -> Path:
    """What can be thrown away at any time: token shards, tokenizers, tuning."""
    return var_dir() / "cache"
