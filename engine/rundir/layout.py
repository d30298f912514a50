"""Where the files of a run lie, and how a run is made, found and listed.

    outputs/<run id>/
        run.json  metrics.jsonl  events.jsonl  samples.jsonl  tokenizer.json  lock
        checkpoints/step-00002000/

A run's directory appears whole: with its record and its tokenizer, or not at all.
"""

from __future__ import annotations

from pathlib import Path

from engine.checkpoint import CheckpointStore
from engine.errors import InputError
from engine.rundir.lock import locked
from engine.rundir.names import check_run_id
from engine.rundir.record import NAME as RECORD
from engine.rundir.record import RunRecord, read_record
from engine.storage import new_folder, write_synced


class RunDir:
    """The files of one run. Makes none by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.events = path / "events.jsonl"
        self.samples = path / "samples.jsonl"
        self.tokenizer = path / "tokenizer.json"
        self.store = CheckpointStore(path / "checkpoints")

    def exists(self) -> bool:
        """Whether there is a run here."""
        return (self.path / RECORD).is_file()

    def record(self) -> RunRecord:
        """The run's record as it is now."""
        return read_record(self.path)

    def state(self) -> str:
        """The run's state; "stale" when it calls itself active and no one writes."""
        state = self.record().state
        return "stale" if state == "active" and not locked(self.path) else state


def create(path: Path, record: RunRecord, tokenizer: bytes) -> RunDir:
    """Make the directory of a new run at `path`.

    Raises InputError when something is there already, StorageError when the disk
    refuses; then nothing is left behind.
    """
    check_free(path)
    with new_folder(path) as folder:
        (folder / "checkpoints").mkdir()
        write_synced(folder / "tokenizer.json", [tokenizer])
        write_synced(folder / RECORD, [record.encode()])
    return RunDir(path)


def check_free(path: Path) -> None:
    """Raise InputError unless a run can be made at `path`."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists; choose another name or resume that run")


def runs(outputs: Path) -> list[RunDir]:
    """The runs in `outputs`, the oldest first. Skips what is no run."""
    if not outputs.is_dir():
        return []
    found = []
    for path in outputs.iterdir():
        run = RunDir(path)
        if not path.name.startswith(".") and run.exists():
            found.append((run.record().created, path.name, run))
    return [run for _, _, run in sorted(found, key=lambda entry: entry[:2])]


def find(name: str, outputs: Path) -> RunDir:
    """The run called `name` in `outputs`, the one at path `name`, or the "last".

    A path may also be that of a checkpoint in a run. Raises InputError, that says
    which runs there are.
    """
    if name == "last":
        found = runs(outputs)
        if not found:
            raise InputError(f"there is no run in {outputs}")
        return found[-1]
    if "/" in name or name in (".", ".."):
        return _at(Path(name))
    run = RunDir(outputs / check_run_id(name))
    if not run.exists():
        if Path(name).is_dir():
            return _at(Path(name))
        known = [entry.path.name for entry in runs(outputs)][-5:]
        last = f"; the last are {', '.join(known)}" if known else "; there is none yet"
        raise InputError(f"no run {name!r} in {outputs}{last}")
    return run


def _at(path: Path) -> RunDir:
    """The run whose directory, or whose checkpoint, is at `path`."""
    for folder in (path, path.parent.parent):
        run = RunDir(folder.resolve())
        if run.exists():
            return run
    raise InputError(f"{path} is not a run's directory: it has no {RECORD}")
