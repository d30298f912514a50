"""The checkpoints of one run: saved whole or not at all, verified, pruned.

    checkpoints/step-00002000/
        model.safetensors      parameters, by their names in the model
        optimizer.safetensors  optimizer state and loss scale
        state.json             see `engine.checkpoint.manifest`

A folder takes its name only when all its files are on the disk. It knows nothing of
what the arrays mean, nor when one should be saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from engine.checkpoint.manifest import NAME, Manifest
from engine.checkpoint.tensors import (
    check_size,
    read_checked,
    read_tensors,
    write_tensors,
)
from engine.errors import CheckpointError
from engine.storage import new_folder, remove_folder, sweep, write_synced

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
_PREFIX = "step-"
_MODEL_PREFIX = "model."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was read. `arrays` has the names `StepProgram.state` gave."""

    path: Path
    manifest: Manifest
    arrays: dict[str, NDArray[Any]]


class CheckpointStore:
    """The folder `checkpoints/` of a run. Reading needs no lock; writing does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, step: int) -> Path:
        """Where the checkpoint of `step` lies, or would."""
        return self.folder / f"{_PREFIX}{step:08d}"

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, sound or not, in order."""
        found = []
        for path in self.folder.glob(f"{_PREFIX}*"):
            digits = path.name.removeprefix(_PREFIX)
            if digits.isdigit() and path.is_dir():
                found.append(int(digits))
        return sorted(found)

    def save(
        self,
        step: int,
        arrays: Mapping[str, NDArray[Any]],
        trainer: dict[str, Any],
        about: dict[str, Any],
        val_loss: float | None = None,
    ) -> Path:
        """Write a checkpoint; when this returns, a power cut does not undo it.

        Raises StorageError (a full disk), and then nothing has changed.
        """
        model, rest = _parts(arrays)
        with new_folder(self.path(step), replace=True) as folder:
            files = {
                MODEL: write_tensors(folder / MODEL, model),
                OPTIMIZER: write_tensors(folder / OPTIMIZER, rest),
            }
            manifest = Manifest(step, val_loss, trainer, about, files)
            write_synced(folder / NAME, [manifest.encode()])
        return self.path(step)

    def load(self, step: int) -> Checkpoint:
        """Read and verify the checkpoint of `step`. Raises CheckpointError."""
        return load_checkpoint(self.path(step))

    def fault(self, step: int) -> CheckpointError | None:
        """What is wrong with a checkpoint, by reading all of it; None if nothing."""
        try:
            verify(self.path(step))
        except CheckpointError as error:
            return error
        return None

    def last_good(self, before: int) -> int | None:
        """The latest step below `before` whose checkpoint is sound."""
        for step in reversed(self.steps()):
            if step < before and self.fault(step) is None:
                return step
        return None

    def prune(self, keep_last: int) -> list[int]:
        """Delete all but the last `keep_last` sound checkpoints and the best one.

        Sound means here that the manifest is unaltered and the sizes are right;
        while fewer than `keep_last` are sound, nothing is deleted. Gives the steps
        deleted.
        """
        sound = {s: m for s in self.steps() if (m := _glance(self.path(s))) is not None}
        last = sorted(sound)[-keep_last:]
        if len(last) < keep_last:
            return []
        losses = {s: m.val_loss for s, m in sound.items() if m.val_loss is not None}
        best = min(losses, key=lambda s: (losses[s], s), default=None)
        gone = [s for s in self.steps() if s < last[0] and s != best]
        for step in gone:
            remove_folder(self.path(step))
        return gone

    def drop_after(self, step: int) -> list[int]:
        """Delete the checkpoints of a future that a resumed run will write anew."""
        gone = [s for s in self.steps() if s > step]
        for later in reversed(gone):
            remove_folder(self.path(later))
        return gone

    def sweep(self) -> None:
        """Remove what a killed writer left. Only for the run's one writer."""
        sweep(self.folder)


def load_checkpoint(path: Path, *, optimizer: bool = True) -> Checkpoint:
    """Read and verify the checkpoint in folder `path`.

    Without `optimizer`, only the model's arrays are read. Raises CheckpointError
    that names the file at fault.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint")
    manifest = Manifest.read(path)
    arrays: dict[str, NDArray[Any]] = {}
    for name in (MODEL, OPTIMIZER) if optimizer else (MODEL,):
        if name not in manifest.files:
            raise CheckpointError(f"{path / NAME} does not list {name}")
        prefix = _MODEL_PREFIX if name == MODEL else ""
        part = read_tensors(path / name, manifest.files[name])
        arrays |= {prefix + key: array for key, array in part.items()}
    return Checkpoint(path, manifest, arrays)


def verify(path: Path) -> Manifest:
    """Read all of a checkpoint's bytes; CheckpointError names the file at fault."""
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint")
    manifest = Manifest.read(path)
    for name, expected in manifest.files.items():
        read_checked(path / name, expected)
    return manifest


def _glance(path: Path) -> Manifest | None:
    """The manifest, if it is unaltered and every file has its size."""
    try:
        manifest = Manifest.read(path)
        for name, expected in manifest.files.items():
            check_size(path / name, expected)
    except CheckpointError:
        return None
    return manifest


def _parts(
    arrays: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The model's arrays, without their prefix, and all others."""
    model, rest = {}, {}
    for name, array in arrays.items():
        if name.startswith(_MODEL_PREFIX):
            model[name.removeprefix(_MODEL_PREFIX)] = array
        else:
            rest[name] = array
    return model, rest
