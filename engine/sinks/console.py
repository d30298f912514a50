"""A run for the person at the terminal: progress, evaluations, samples, warnings."""

from __future__ import annotations

import contextlib
import time

from engine.cli.console import Counter, progress
from engine.sinks.base import QuietSink, SinkContext, sinks
from engine.train.events import (
    CheckpointSaved,
    Ending,
    EvalDone,
    Event,
    RunStarted,
    SampleReady,
    StepDone,
    Warning,
)

#: Seconds between two looks at the numbers: faster than the eye costs steps.
REFRESH = 0.1


@sinks.register("console")
class ConsoleSink(QuietSink):
    """Shows one run on stderr: a live bar in a terminal, plain lines elsewhere."""

    def __init__(self, context: SinkContext) -> None:
        self._record = context.record
        self._path = context.run.path
        self._stack = contextlib.ExitStack()
        self._counter: Counter | None = None
        self._iters = 0
        self._due = 0.0
        self._val_loss = ""

    def handle(self, event: Event) -> None:
        """Show what concerns a person."""
        match event:
            case RunStarted():
                self._start(event)
            case StepDone():
                self._step(event)
            case EvalDone():
                self._evaluation(event)
            case SampleReady():
                self._say(f"sample at step {event.step}:\n{event.prompt}{event.text}\n")
            case CheckpointSaved():
                self._say(f"step {event.step}: saved {event.path}")
            case Warning():
                self._say(f"warning: {event.message} [{event.code}]")
            case Ending():
                self._end(event)

    def close(self) -> None:
        """Take the progress bar away."""
        self._stack.close()

    def _start(self, event: RunStarted) -> None:
        self._iters = event.iters
        bar = progress(self._record.run, event.iters)
        self._counter = self._stack.enter_context(bar)
        verb = f"going on from step {event.step}" if event.step else "starting"
        self._say(f"{verb}: {event.parameters:,} parameters, files in {self._path}")
        if event.step >= event.iters:
            further = f"--iters {2 * event.iters} would go further"
            self._say(f"all {event.iters} iterations are done; {further}")

    def _step(self, event: StepDone) -> None:
        moment = time.monotonic()
        if self._counter is None or (moment < self._due and event.step < self._iters):
            return
        self._due = moment + REFRESH
        rate = f"{event.tokens_per_sec:,.0f} tok/s"
        note = f"loss {event.loss:.4f}{self._val_loss}  lr {event.lr:.2e}  {rate}"
        self._counter.update(event.step, note)

    def _evaluation(self, event: EvalDone) -> None:
        self._val_loss = f"  val {event.val_loss:.4f}"
        best = " (best)" if event.best_step == event.step else ""
        self._say(f"step {event.step}: validation loss {event.val_loss:.4f}{best}")

    def _end(self, event: Ending) -> None:
        kind = event.kind.removeprefix("run_")
        self._say(f"{kind} at step {event.step}: {event.reason}")
        self._stack.close()
        self._counter = None

    def _say(self, text: str) -> None:
        if self._counter is not None:
            self._counter.write(text)
