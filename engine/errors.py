"""Everything the engine raises on purpose.

AlphaError                 something went wrong; the message is one line
├── InputError             what the user gave is wrong (exit status 2)
│   ├── ConfigError        a field of a config class: names field, value, remedy
│   ├── DataError          a text, JSONL or chat file, or a token shard
│   ├── TokenizerError     text or ids that a tokenizer cannot take
│   └── CheckpointError    a checkpoint that is missing, truncated or altered
├── GraphError             a graph that cannot be built, differentiated or run
├── TrainingError          training cannot go on: the numbers are lost
└── StorageError           the disk is full, or a path cannot be written
"""

from __future__ import annotations


class AlphaError(Exception):
    """Root of the tree. `exit_status` is what a command returns for it."""

    exit_status = 1


class InputError(AlphaError):
    """The input is wrong; the same command fails again until it is mended."""

    exit_status = 2


class ConfigError(InputError):
    """A configuration field holds a value that cannot be used."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} = {value!r}: {expected}")
        self.field = field
        self.value = value
        self.expected = expected


class DataError(InputError):
    """A data file cannot be read as what it claims to be."""


class TokenizerError(InputError):
    """A tokenizer cannot encode this text, decode these ids, or be built so."""


class CheckpointError(InputError):
    """A checkpoint is missing, truncated, altered, or of another model."""


class GraphError(AlphaError):
    """A graph is malformed: wrong shapes, a missing rule, an unknown op."""


class TrainingError(AlphaError):
    """Training cannot go on: no finite loss or gradient for too many steps."""


class StorageError(AlphaError):
    """Files cannot be written: the disk is full or the path is not writable."""
