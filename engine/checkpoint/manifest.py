"""`state.json` of a checkpoint: what its files must be, and where training stood.

The manifest describes itself too: `sha256` is the hash of all its other fields, so
that an altered one is found out. It knows no arrays.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.checkpoint.tensors import FileSum
from engine.errors import CheckpointError
from engine.storage import to_json

NAME = "state.json"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What `state.json` says.

    step      optimizer steps done
    val_loss  validation loss at this step, where it was evaluated
    trainer   `TrainerState.to_dict`
    about     whose checkpoint it is: run, config, tokenizer, dataset, environment
    files     file name -> its size and hash
    """

    step: int
    val_loss: float | None
    trainer: dict[str, Any]
    about: dict[str, Any]
    files: dict[str, FileSum] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Size of the checkpoint's files, this one not counted."""
        return sum(entry.bytes for entry in self.files.values())

    def encode(self) -> bytes:
        """The file's bytes."""
        record = {"format": FORMAT} | dataclasses.asdict(self)
        return to_json(record | {"sha256": _digest(record)}, indent=2)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of the checkpoint in `folder`.

        Raises CheckpointError that names the file when it is missing or altered.
        """
        path = folder / NAME
        try:
            record = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise CheckpointError(
                f"{folder} is no checkpoint: it has no {NAME}"
            ) from None
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise CheckpointError(f"{path} is truncated or altered: {error}") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}")
        claimed = record.pop("sha256", None)
        if claimed != _digest(record):
            raise CheckpointError(f"{path} has been altered: its hash does not match")
        del record["format"]
        files = {name: FileSum(**entry) for name, entry in record["files"].items()}
        return cls(**(record | {"files": files}))


def _digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of the record in one settled spelling."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
