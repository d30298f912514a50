import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DataError
from engine.rundir.layout import RunDir, create
from engine.sinks import Journal, SinkContext
from engine.train.events import (
    CheckpointSaved,
    EvalDone,
    Event,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunStarted,
    RunStopped,
    SampleReady,
    StepDone,
    Warning,
)
from tests.engine.session.recording import TRAIN, record_of


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create(tmp_path / "run", record_of(TRAIN), b"{}")


def journal(run: RunDir, step: int = 0) -> Journal:
    return Journal(SinkContext(run, run.record(), step))


def write(run: RunDir, events: Iterable[Event], step: int = 0) -> None:
    sink = journal(run, step)
    for event in events:
        sink.handle(event)
    sink.sync()
    sink.close()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def step_done(step: int, loss: float = 1.0) -> StepDone:
    return StepDone(step, loss, 0.1, 0.5, 8 * step, 1.5 * step, 1.0, 8000.0)


STORY: list[Event] = [
    RunStarted(0, iters=4, parameters=49, tokens=0),
    step_done(1),
    step_done(2),
    EvalDone(2, val_loss=2.0, tokens=9, best_val_loss=2.0, best_step=2, took_ms=1.0),
    SampleReady(2, 0, "a", "b"),
    CheckpointSaved(2, "checkpoints/step-00000002", 10, 2.0, best=True),
    step_done(3),
    Warning(3, "spike", "gradient norm 9"),
    SampleReady(3, 0, "a", "c"),
    RunFailed(3, "out of memory"),
]


def test_each_event_goes_to_its_file(run: RunDir) -> None:
    write(run, STORY)
    assert [row["step"] for row in read(run.metrics)] == [1, 2, 3]
    assert read(run.metrics)[0] == step_done(1).fields()
    assert [row["text"] for row in read(run.samples)] == ["b", "c"]
    assert [row["event"] for row in read(run.events)] == [
        "run_started",
        "eval_done",
        "checkpoint_saved",
        "warning",
        "run_failed",
    ]
    assert all("time" in row for row in read(run.events) + read(run.samples))


def test_a_line_is_there_for_others_as_soon_as_its_event_is_taken(run: RunDir) -> None:
    sink = journal(run)
    sink.handle(step_done(1))
    assert len(read(run.metrics)) == 1
    sink.close()


def test_the_record_follows_the_run(run: RunDir) -> None:
    sink = journal(run)
    sink.handle(STORY[0])
    assert run.record().state == "active"
    assert run.record().sessions == 1
    for event in STORY[1:-1]:
        sink.handle(event)
    record = run.record()
    assert (record.val_loss, record.best_val_loss, record.best_step) == (2.0, 2.0, 2)
    assert record.checkpoint == "checkpoints/step-00000002"
    sink.handle(STORY[-1])
    sink.close()
    record = run.record()
    assert (record.state, record.message) == ("failed", "out of memory")
    assert (record.step, record.tokens, record.elapsed_ms) == (3, 24, 4.5)
    assert record.finished is not None


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (RunPaused, "paused"),
        (RunStopped, "stopped"),
        (RunCompleted, "completed"),
        (RunFailed, "failed"),
    ],
)
def test_an_ending_gives_the_state(run: RunDir, ending: Any, state: str) -> None:
    write(run, [STORY[0], ending(0, "why", train_loss=1.25)])
    assert run.record().state == state
    assert run.record().train_loss == 1.25


def test_resuming_drops_what_came_after_the_checkpoint_but_not_the_history(
    run: RunDir,
) -> None:
    write(run, STORY)
    write(run, [RunStarted(2, iters=4, parameters=49, tokens=16)], step=2)
    assert [row["step"] for row in read(run.metrics)] == [1, 2]
    assert [row["text"] for row in read(run.samples)] == ["b"]
    assert [(row["event"], row["step"]) for row in read(run.events)] == [
        ("run_started", 0),
        ("eval_done", 2),
        ("checkpoint_saved", 2),
        ("run_failed", 3),
        ("run_started", 2),
    ]
    record = run.record()
    assert (record.state, record.sessions, record.finished) == ("active", 2, None)


def test_torn_lines_are_repaired(run: RunDir) -> None:
    write(run, STORY)
    for path in (run.metrics, run.samples, run.events):
        path.write_bytes(path.read_bytes()[:-3])
    write(run, [], step=2)
    assert [row["step"] for row in read(run.metrics)] == [1, 2]
    assert [row["step"] for row in read(run.samples)] == [2]
    assert [row["step"] for row in read(run.events)] == [0, 2, 2]


def test_metrics_that_end_before_the_checkpoint_are_refused(run: RunDir) -> None:
    write(run, STORY)
    with pytest.raises(DataError, match=r"metrics\.jsonl ends at step 3, before.*7"):
        journal(run, step=7)


def test_numbers_that_are_not_finite_leave_strict_json(run: RunDir) -> None:
    nan = float("nan")
    story = [
        RunStarted(0, iters=4, parameters=49, tokens=0),
        dataclasses.replace(step_done(1, nan), grad_norm=nan, skipped="nonfinite"),
        EvalDone(1, val_loss=nan, tokens=9, best_val_loss=nan, best_step=0, took_ms=1),
    ]
    write(run, story)
    assert read(run.metrics)[0]["loss"] is None
    assert run.record().val_loss is None
