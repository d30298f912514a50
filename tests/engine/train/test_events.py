import json
import math

import pytest

from engine.errors import DataError
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
    from_dict,
)

STEP = StepDone(
    3,
    loss=1.5,
    lr=0.001,
    grad_norm=0.7,
    tokens=384,
    elapsed_ms=12.5,
    ms_per_iter=4.0,
    tokens_per_sec=32_000.0,
)

EVENTS: list[Event] = [
    RunStarted(0, iters=10, parameters=100, tokens=0),
    STEP,
    EvalDone(3, val_loss=1.0, tokens=5, best_val_loss=1.0, best_step=3, took_ms=1.0),
    SampleReady(3, index=1, prompt="To be", text=", or\nnot"),
    CheckpointSaved(3, path="checkpoints/step-00000003", bytes=9, val_loss=1.0),
    Warning(3, "spike", "gradient norm 9"),
    RunPaused(3, "the queue"),
    RunStopped(3, "SIGINT"),
    RunCompleted(3, "iters", 1.0, 1.0, 1.0, 3),
    RunFailed(3, "out of memory"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_goes_to_json_and_back(event: Event) -> None:
    assert from_dict(json.loads(json.dumps(event.to_dict()))) == event


def test_a_row_of_metrics_has_the_names_others_rely_on() -> None:
    assert list(STEP.fields()) == [
        "step",
        "loss",
        "lr",
        "grad_norm",
        "tokens",
        "elapsed_ms",
        "ms_per_iter",
        "tokens_per_sec",
    ]


def test_numbers_that_are_not_finite_are_null_in_json_and_nan_again_after() -> None:
    event = StepDone(1, math.nan, 0.1, math.inf, 1, 1.0, 1.0, 1.0, skipped="nonfinite")
    record = event.to_dict()
    assert record["loss"] is None
    assert record["grad_norm"] is None
    back = from_dict(record)
    assert isinstance(back, StepDone)
    assert math.isnan(back.loss)
    assert math.isnan(back.grad_norm)
    assert back.val_loss is None


def test_what_a_sink_adds_is_ignored() -> None:
    assert from_dict(RunFailed(1, "why").to_dict() | {"time": "now"}) == RunFailed(
        1, "why"
    )


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"event": "party", "step": 1}, "'party': known are run_started, step_done"),
        ({"step": 1}, "event None"),
        ({"event": "warning", "step": 1, "code": "x"}, "no field 'message'"),
    ],
)
def test_what_is_no_event_is_refused(record: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_dict(record)
