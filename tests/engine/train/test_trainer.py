import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

from engine.config import TrainConfig
from engine.train.control import Action, Request
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
from engine.train.job import Job, Saved, Snapshot
from engine.train.state import TrainerState
from engine.train.step import StepResult
from engine.train.trainer import Trainer
from tests.engine.train.bigram import Bigram, batches_from, validation

QUIET = {"eval_interval": 0, "sample_interval": 0, "checkpoint_interval": 0}


class Shelf:
    """Keeps snapshots in memory."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []

    def __call__(self, snapshot: Snapshot) -> Saved:
        self.snapshots.append(snapshot)
        return Saved(f"shelf/{snapshot.step}", 1)


def run(
    settings: dict[str, Any], shelf: Shelf | None = None, **job: Any
) -> tuple[list[Event], TrainerState]:
    config = TrainConfig(**(QUIET | {"iters": 6} | settings))
    state = job.pop("state", TrainerState())
    made = Job(
        **{
            "program": Bigram(),
            "config": config,
            "lr": lambda step: 0.5,
            "batches": batches_from(state.cursor),
            "eval_batches": validation,
            "state": state,
            **job,
        }
    )
    trainer = Trainer(made, shelf or Shelf())
    return list(trainer.events()), trainer.state


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


class Scripted(Bigram):
    """Gives prepared results instead of training."""

    def __init__(self, result: Callable[[int], StepResult]) -> None:
        super().__init__()
        self.result = result

    def train_step(self, micro_batches: Any, **kwargs: Any) -> StepResult:
        found = self.result(kwargs["step"])
        if found.grad_norm > kwargs["skip_above"]:
            return StepResult(found.loss, found.grad_norm, applied=False)
        return found


NAN = StepResult(math.nan, math.nan, applied=False)
FINE = StepResult(1.0, 1.0, applied=True)


def test_a_run_learns_and_ends_completed() -> None:
    events, state = run({"iters": 100})
    steps = of(StepDone, events)
    assert [step.step for step in steps] == list(range(1, 101))
    assert steps[-1].loss < steps[0].loss - 0.5
    assert isinstance(events[0], RunStarted)
    assert events[0] == RunStarted(0, iters=100, parameters=49, tokens=0)
    ending = events[-1]
    assert isinstance(ending, RunCompleted)
    assert ending.reason == "iters"
    assert ending.val_loss == pytest.approx(ending.best_val_loss)
    assert state.step == 100


def test_a_step_says_what_it_did_and_how_fast() -> None:
    ticks = itertools.count()
    events, _ = run({"iters": 2, "accum": 3}, clock=lambda: float(next(ticks)))
    first, second = of(StepDone, events)
    assert first.tokens == 3 * 4 * 8
    assert second.tokens == 2 * first.tokens
    assert first.lr == 0.5
    assert first.ms_per_iter == 1000.0
    assert first.tokens_per_sec == first.tokens
    assert second.elapsed_ms > first.elapsed_ms > first.ms_per_iter


def test_accumulation_takes_as_many_batches_as_it_says() -> None:
    _, state = run({"iters": 5, "accum": 3})
    assert state.cursor == 15


@pytest.mark.parametrize(
    ("interval", "iters", "steps"),
    [(0, 6, [6]), (2, 6, [2, 4, 6]), (4, 6, [4, 6]), (9, 6, [6])],
)
def test_evaluations_come_at_their_interval_and_at_the_end(
    interval: int, iters: int, steps: list[int]
) -> None:
    events, _ = run({"iters": iters, "eval_interval": interval})
    assert [event.step for event in of(EvalDone, events)] == steps
    rows = of(StepDone, events)
    assert [row.step for row in rows if row.val_loss is not None] == steps


def test_the_validation_loss_is_the_mean_over_all_counted_targets() -> None:
    program = Bigram()
    totals = [program.eval_loss(batch) for batch in validation() * 2]
    events, _ = run({"iters": 1}, eval_batches=lambda: validation() * 2, lr=no_rate)
    (evaluation,) = of(EvalDone, events)
    assert evaluation.tokens == sum(count for _, count in totals)
    expected = sum(loss for loss, _ in totals) / evaluation.tokens
    assert evaluation.val_loss == pytest.approx(expected)


def no_rate(step: int) -> float:
    return 0.0


def test_without_validation_data_there_is_no_evaluation() -> None:
    events, _ = run({"eval_interval": 2}, eval_batches=list)
    assert of(EvalDone, events) == []
    assert events[-1].val_loss is None  # type: ignore[attr-defined]


def test_samples_come_for_each_prompt_at_their_interval_and_at_the_end() -> None:
    events, _ = run(
        {"iters": 5, "sample_interval": 2},
        sample=lambda prompt, step, index: f"{prompt} {step} {index}",
        prompts=("a", "b"),
    )
    assert of(SampleReady, events) == [
        SampleReady(step, index, prompt, f"{prompt} {step} {index}")
        for step in (2, 4, 5)
        for index, prompt in enumerate("ab")
    ]


def test_checkpoints_come_at_their_interval_at_a_best_and_at_the_end() -> None:
    shelf = Shelf()
    events, _ = run({"iters": 10, "checkpoint_interval": 4, "eval_interval": 3}, shelf)
    assert [saved.step for saved in of(CheckpointSaved, events)] == [3, 4, 6, 8, 9, 10]
    assert [snapshot.step for snapshot in shelf.snapshots if snapshot.best] == [
        3,
        6,
        9,
        10,
    ]


def test_with_the_interval_zero_there_is_one_checkpoint_at_the_end() -> None:
    shelf = Shelf()
    run({"eval_interval": 1}, shelf)
    assert [snapshot.step for snapshot in shelf.snapshots] == [6]
    assert shelf.snapshots[0].val_loss is not None


def test_a_checkpoint_is_the_last_word_of_its_step() -> None:
    events, _ = run(
        {
            "iters": 2,
            "eval_interval": 1,
            "sample_interval": 1,
            "checkpoint_interval": 1,
        },
        sample=lambda *_: "text",
        prompts=("a",),
    )
    kinds = [event.kind for event in events if event.step == 1]
    assert kinds == ["step_done", "eval_done", "sample_ready", "checkpoint_saved"]


def test_a_run_from_a_snapshot_goes_on_as_if_never_interrupted() -> None:
    settings = {"iters": 20, "eval_interval": 3, "spike_skip": 1.2}
    whole, _ = run(settings)
    shelf = Shelf()
    run(settings | {"iters": 11}, shelf)
    program = Bigram(seed=99)
    program.load_state(shelf.snapshots[-1].arrays)
    state = TrainerState.from_dict(shelf.snapshots[-1].trainer)
    rest, _ = run(settings, program=program, state=state)
    assert [key(row) for row in of(StepDone, rest)] == [
        key(row) for row in of(StepDone, whole) if row.step > 11
    ]


def key(row: StepDone) -> tuple[object, ...]:
    return row.step, row.loss, row.grad_norm, row.tokens, row.skipped, row.val_loss


def test_a_finished_run_started_again_has_nothing_to_do() -> None:
    _, state = run({})
    shelf = Shelf()
    events, _ = run({}, shelf, state=state)
    assert [event.kind for event in events] == ["run_started", "run_completed"]
    assert shelf.snapshots == []


@pytest.mark.parametrize(
    ("action", "ending"), [(Action.STOP, RunStopped), (Action.PAUSE, RunPaused)]
)
def test_a_request_ends_the_run_after_the_step_with_a_checkpoint(
    action: Action, ending: type[Event]
) -> None:
    calls = itertools.count(1)
    shelf = Shelf()
    events, _ = run(
        {"eval_interval": 3},
        shelf,
        control=lambda: Request(action, "asked") if next(calls) == 3 else None,
    )
    last = events[-1]
    assert isinstance(last, ending)
    assert last.step == 3
    assert last.reason == "asked"  # type: ignore[attr-defined]
    assert last.train_loss is not None  # type: ignore[attr-defined]
    assert [snapshot.step for snapshot in shelf.snapshots] == [3]


def test_patience_ends_a_run_that_gains_nothing() -> None:
    events, state = run({"iters": 100, "eval_interval": 2, "patience": 3}, lr=no_rate)
    assert events[-1].reason == "patience"  # type: ignore[attr-defined]
    assert state.step == 8
    again, _ = run({"iters": 100, "patience": 3}, state=state)
    assert [event.kind for event in again] == ["run_started", "run_completed"]


def test_steps_that_are_not_finite_are_skipped_told_and_survived() -> None:
    events, state = run(
        {"iters": 5}, program=Scripted(lambda step: NAN if step in (2, 4) else FINE)
    )
    assert [row.skipped for row in of(StepDone, events)] == [
        "",
        "nonfinite",
        "",
        "nonfinite",
        "",
    ]
    (warning,) = of(Warning, events)
    assert (warning.step, warning.code) == (2, "nonfinite")
    assert state.train_loss.value == pytest.approx(1.0)


def test_too_many_of_them_in_a_row_fail_the_run_clearly() -> None:
    shelf = Shelf()
    events, _ = run(
        {"iters": 50, "max_nonfinite": 4},
        shelf,
        program=Scripted(lambda step: NAN if step > 3 else FINE),
    )
    last = events[-1]
    assert isinstance(last, RunFailed)
    assert last.step == 7
    assert "4 steps in a row: lower the learning rate" in last.reason
    assert shelf.snapshots == []


def test_a_spike_is_skipped_and_told() -> None:
    program = Scripted(
        lambda step: StepResult(1.0, 9.0 if step == 30 else 1.0, applied=True)
    )
    events, _ = run({"iters": 35, "spike_skip": 3.0}, program=program)
    skipped = [row.step for row in of(StepDone, events) if row.skipped == "spike"]
    assert skipped == [30]
    (warning,) = of(Warning, events)
    assert warning.message.startswith("gradient norm 9 above 3: update skipped")


def test_a_plateau_is_told() -> None:
    events, _ = run({"iters": 20, "eval_interval": 1}, lr=no_rate)
    assert [warning.code for warning in of(Warning, events)] == ["plateau"]


def test_overfitting_is_told_with_the_step_to_take_instead() -> None:
    losses = iter([5.0, 1.0, 2.0, 3.0, 4.0, 5.0])

    class Overfit(Scripted):
        def eval_loss(self, batch: Any) -> tuple[float, int]:
            return next(losses), 1

    program = Overfit(lambda step: StepResult(1.0 / step, 1.0, applied=True))
    events, _ = run({"iters": 6, "eval_interval": 1}, program=program)
    (warning,) = of(Warning, events)
    assert (warning.step, warning.code) == (5, "overfit")
    assert "take the checkpoint of step 2" in warning.message


def test_notices_come_before_the_first_step() -> None:
    notice = Warning(0, "dataset_passes", "9 passes")
    events, _ = run({"iters": 1}, notices=[notice])
    assert events[1] is notice


def test_an_error_of_the_program_passes_through() -> None:
    def fail(step: int) -> StepResult:
        raise MemoryError

    with pytest.raises(MemoryError):
        run({}, program=Scripted(fail))
