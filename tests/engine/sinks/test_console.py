from pathlib import Path

import pytest

from engine.rundir.layout import RunDir
from engine.sinks import ConsoleSink, SinkContext
from engine.train.events import (
    CheckpointSaved,
    EvalDone,
    RunCompleted,
    RunStarted,
    SampleReady,
    StepDone,
    Warning,
)
from tests.engine.session.recording import TRAIN, record_of


@pytest.fixture
def sink() -> ConsoleSink:
    return ConsoleSink(SinkContext(RunDir(Path("out/first")), record_of(TRAIN), 0))


def test_a_run_is_told_line_by_line_on_stderr(
    sink: ConsoleSink, capsys: pytest.CaptureFixture[str]
) -> None:
    sink.handle(RunStarted(0, iters=2, parameters=12_345, tokens=0))
    sink.handle(StepDone(1, 2.5, 0.001, 0.5, 8, 1.0, 1.0, 8000.0))
    sink.handle(StepDone(2, 2.25, 0.001, 0.5, 8, 1.0, 1.0, 8000.0, val_loss=2.0))
    sink.handle(EvalDone(2, 2.0, 9, 2.0, 2, 1.0))
    sink.handle(SampleReady(2, 0, "To be", " or not"))
    sink.handle(CheckpointSaved(2, "checkpoints/step-00000002", 10))
    sink.handle(Warning(2, "plateau", "no gain"))
    sink.handle(RunCompleted(2, "iters"))
    sink.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    for text in (
        "starting: 12,345 parameters, files in out/first",
        "loss 2.5000",
        "8,000 tok/s",
        "validation loss 2.0000 (best)",
        "To be or not",
        "saved checkpoints/step-00000002",
        "warning: no gain [plateau]",
        "completed at step 2: iters",
    ):
        assert text in captured.err


def test_the_last_step_is_always_shown(
    sink: ConsoleSink, capsys: pytest.CaptureFixture[str]
) -> None:
    sink.handle(RunStarted(0, iters=50, parameters=1, tokens=0))
    for step in range(1, 51):
        sink.handle(StepDone(step, 1.0 + step, 0.1, 0.5, 8, 1.0, 1.0, 8000.0))
    sink.close()
    shown = capsys.readouterr().err
    assert "50/50" in shown
    assert "loss 51.0000" in shown
    assert "loss 26.0000" not in shown


def test_a_finished_run_says_how_to_go_further(
    sink: ConsoleSink, capsys: pytest.CaptureFixture[str]
) -> None:
    sink.handle(RunStarted(50, iters=50, parameters=1, tokens=0))
    sink.close()
    said = capsys.readouterr().err
    assert "all 50 iterations are done; --iters 100 would go further" in said


def test_a_resumed_run_says_from_where(
    sink: ConsoleSink, capsys: pytest.CaptureFixture[str]
) -> None:
    sink.handle(RunStarted(500, iters=1000, parameters=1, tokens=0))
    sink.close()
    assert "going on from step 500" in capsys.readouterr().err
