import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine import storage
from engine.config import TrainConfig
from engine.errors import CheckpointError, InputError, StorageError, TrainingError
from engine.rundir.layout import RunDir
from engine.rundir.lock import RunLock
from engine.sinks import QuietSink, SinkContext, sinks
from engine.train.control import Action, Request, StopSignals
from engine.train.events import Event, RunCompleted, RunStopped
from engine.train.step import StepResult
from tests.engine.session.recording import train
from tests.engine.train.bigram import Bigram

SHORT = TrainConfig(
    iters=12, eval_interval=4, sample_interval=0, checkpoint_interval=4, keep_last=3
)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Failing(Bigram):
    """Raises `error` at a step."""

    def __init__(self, at: int, error: BaseException) -> None:
        super().__init__()
        self.at, self.error = at, error

    def train_step(self, micro_batches: Any, **kwargs: Any) -> StepResult:
        if kwargs["step"] == self.at:
            raise self.error
        return super().train_step(micro_batches, **kwargs)


def test_a_run_leaves_its_directory_complete(tmp_path: Path) -> None:
    ending = train(tmp_path / "run", SHORT)
    run = RunDir(tmp_path / "run")
    assert isinstance(ending, RunCompleted)
    assert [row["step"] for row in rows(run.metrics)] == list(range(1, 13))
    assert [row["step"] for row in rows(run.metrics) if "val_loss" in row] == [4, 8, 12]
    assert run.store.steps() == [4, 8, 12]
    record = run.record()
    assert (record.state, record.step) == ("completed", 12)
    assert record.val_loss == ending.val_loss == rows(run.metrics)[-1]["val_loss"]
    assert record.checkpoint == "checkpoints/step-00000012"
    about = run.store.load(12).manifest.about
    assert about["run"] == "bigram"
    assert about["environment"]["blas_core"]
    assert (run.path / str(record.checkpoint)).is_dir()


def test_more_iterations_go_on_where_the_run_ended(tmp_path: Path) -> None:
    longer = TrainConfig(**(SHORT.__dict__ | {"iters": 20}))
    train(tmp_path / "a", SHORT)
    train(tmp_path / "a", longer)
    train(tmp_path / "b", longer)
    losses = [
        [row["loss"] for row in rows(tmp_path / n / "metrics.jsonl")] for n in "ab"
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 20


def test_a_signal_ends_the_run_cleanly_and_it_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    class Interrupted(Bigram):
        def train_step(self, micro_batches: Any, **kwargs: Any) -> StepResult:
            if kwargs["step"] == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().train_step(micro_batches, **kwargs)

    with StopSignals(lambda line: None) as control:
        ending = train(tmp_path / "run", SHORT, control=control, program=Interrupted())
    run = RunDir(tmp_path / "run")
    record = run.record()
    assert (type(ending), ending.step, ending.reason) == (RunStopped, 6, "SIGTERM")
    assert (record.state, record.train_loss) == ("stopped", ending.train_loss)
    assert record.tokens_per_sec == ending.tokens_per_sec
    assert run.store.steps()[-1] == 6
    assert isinstance(train(tmp_path / "run", SHORT), RunCompleted)
    train(tmp_path / "whole", SHORT)
    ours, theirs = (rows(tmp_path / n / "metrics.jsonl") for n in ("run", "whole"))
    assert [row["loss"] for row in ours] == [row["loss"] for row in theirs]


def test_an_interrupt_in_mid_step_is_a_stop_without_a_checkpoint(
    tmp_path: Path,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", SHORT, program=Failing(6, KeyboardInterrupt()))
    run = RunDir(tmp_path / "run")
    assert (run.record().state, run.record().message) == ("stopped", "interrupted")
    assert run.store.steps() == [4]


def test_an_error_is_written_down_and_passes_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two"):
        train(tmp_path / "run", SHORT, program=Failing(6, ValueError("two\nlines")))
    run = RunDir(tmp_path / "run")
    record = run.record()
    assert (record.state, record.message) == ("failed", "ValueError: two")
    assert record.step == 5
    assert run.state() == "failed"
    assert isinstance(train(tmp_path / "run", SHORT), RunCompleted)


def test_numbers_that_are_lost_are_a_training_error(tmp_path: Path) -> None:
    program = Bigram()
    program.table[:] = float("nan")
    with pytest.raises(TrainingError, match="25 steps in a row"):
        train(tmp_path / "run", TrainConfig(iters=100), program=program)
    assert RunDir(tmp_path / "run").record().state == "failed"


@pytest.mark.parametrize("room", [0, 1000, 4000, 9000, 15000])
def test_a_full_disk_fails_the_run_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Wherever the disk fills, the run can be gone on with once there is room."""
    path = tmp_path / "run"
    train(path, TrainConfig(**(SHORT.__dict__ | {"iters": 4})))
    write, left = os.write, room

    def full(descriptor: int, data: memoryview) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(left, len(data))
        left -= taken
        return write(descriptor, data[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "write", full)
        with pytest.raises(StorageError, match="No space left on device; free some"):
            train(path, SHORT)
    run = RunDir(path)
    assert run.state() in ("failed", "stale", "completed")
    assert not list(path.rglob(f"{storage.SCRAP}*"))
    assert all(run.store.fault(step) is None for step in run.store.steps())
    train(path, SHORT)
    train(tmp_path / "whole", SHORT)
    ours, theirs = (rows(p / "metrics.jsonl") for p in (path, tmp_path / "whole"))
    assert [row["loss"] for row in ours] == [row["loss"] for row in theirs]


def test_a_damaged_checkpoint_is_refused_and_an_earlier_one_used_when_asked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run"
    train(path, SHORT)
    before = rows(path / "metrics.jsonl")
    (path / "checkpoints/step-00000012/model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError) as caught:
        train(path, SHORT)
    assert "model.safetensors is truncated" in str(caught.value)
    assert "step 8 is sound: go on from there with --from-step 8" in str(caught.value)
    assert rows(path / "metrics.jsonl") == before
    train(path, SHORT, from_step=8)
    after = rows(path / "metrics.jsonl")
    assert [row["loss"] for row in after] == [row["loss"] for row in before]
    assert RunDir(path).store.fault(12) is None


def test_going_on_from_an_earlier_step_drops_what_came_after_it(tmp_path: Path) -> None:
    path = tmp_path / "run"
    train(path, SHORT)
    stop = Request(Action.STOP, "enough")
    train(path, SHORT, from_step=4, control=lambda: stop)
    assert RunDir(path).store.steps() == [4, 5]
    assert [row["step"] for row in rows(path / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    assert RunDir(path).record().checkpoint == "checkpoints/step-00000005"


def test_with_no_sound_checkpoint_the_beginning_is_offered(tmp_path: Path) -> None:
    path = tmp_path / "run"
    train(path, SHORT)
    for step in (4, 8, 12):
        (RunDir(path).store.path(step) / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"none is sound.*--from-step 0"):
        train(path, SHORT)
    assert isinstance(train(path, SHORT, from_step=0), RunCompleted)
    assert len(rows(path / "metrics.jsonl")) == 12


def test_a_step_without_a_checkpoint_cannot_be_gone_on_from(tmp_path: Path) -> None:
    train(tmp_path / "run", SHORT)
    with pytest.raises(InputError, match="no checkpoint of step 5; it has 4, 8, 12"):
        train(tmp_path / "run", SHORT, from_step=5)


def test_two_processes_never_write_one_run(tmp_path: Path) -> None:
    train(tmp_path / "run", SHORT)
    lock = RunLock(tmp_path / "run")
    with pytest.raises(StorageError, match="is being written by process"):
        train(tmp_path / "run", SHORT)
    lock.close()


def test_a_sink_can_come_from_outside(tmp_path: Path) -> None:
    heard: list[Event] = []

    @sinks.register("parrot")
    class Parrot(QuietSink):
        def __init__(self, context: SinkContext) -> None:
            assert context.run.path == tmp_path / "run"

        def handle(self, event: Event) -> None:
            heard.append(event)

    try:
        ending = train(tmp_path / "run", SHORT, sinks=("journal", "parrot"))
    finally:
        sinks.unregister("parrot")
    assert heard[-1] == ending


def test_a_broken_sink_from_outside_does_not_stop_the_run(tmp_path: Path) -> None:
    @sinks.register("broken")
    class Broken(QuietSink):
        def __init__(self, context: SinkContext) -> None:
            pass

        def handle(self, event: Event) -> None:
            raise ConnectionError("nobody there")

    try:
        train(tmp_path / "run", SHORT, sinks=("broken", "journal"))
    finally:
        sinks.unregister("broken")
    events = rows(tmp_path / "run" / "events.jsonl")
    told = [row["message"] for row in events if row["event"] == "warning"]
    assert told == [
        "Broken failed and is left out from now on: ConnectionError: nobody there"
    ]
