"""`run.json`: what a run is, in which state it is, how far it came.

Everything that starts, resumes, lists or synchronises runs reads this file. It holds
no metrics and no model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.errors import DataError
from engine.storage import replace_file, to_json

NAME = "run.json"
FORMAT = 1

#: States a run directory can tell of itself; "stale" is worked out (see RunDir.state).
STATES = ("queued", "active", "paused", "completed", "failed", "stopped", "stale")


def now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class RunRecord:
    """The content of `run.json`; docs/runs.md explains every field."""

    run: str
    name: str
    config: dict[str, dict[str, Any]]
    domain: str
    dataset: dict[str, Any]
    tokenizer: dict[str, Any]
    parameters: int
    environment: dict[str, Any]
    created: str
    versions: dict[str, str] = field(default_factory=dict)
    state: str = "queued"
    message: str = ""
    started: str | None = None
    updated: str | None = None
    finished: str | None = None
    step: int = 0
    tokens: int = 0
    elapsed_ms: float = 0.0
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: int = 0
    tokens_per_sec: float | None = None
    checkpoint: str | None = None
    sessions: int = 0

    def run_config(self) -> RunConfig:
        """The run's configuration; ConfigError if it is of another version."""
        return RunConfig.from_dict(self.config)

    def encode(self) -> bytes:
        """The bytes of `run.json`."""
        return to_json({"format": FORMAT} | dataclasses.asdict(self), indent=2)

    def write(self, folder: Path) -> None:
        """Replace `run.json` in one step. Raises StorageError."""
        replace_file(folder / NAME, self.encode())


def read_record(folder: Path) -> RunRecord:
    """The record of the run in `folder`. DataError names a file that is not one."""
    path = folder / NAME
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} is not whole: {error}") from None
    return _build(path, record)


def _build(path: Path, record: Mapping[str, Any]) -> RunRecord:
    if not isinstance(record, Mapping) or record.get("format") != FORMAT:
        raise DataError(f"{path} is not a run's record of format {FORMAT}")
    values = {name: value for name, value in record.items() if name != "format"}
    try:
        return RunRecord(**values)
    except TypeError as error:
        raise DataError(f"{path} is not whole: {error}") from None
