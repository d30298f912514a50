"""The training loop, as a generator of events.

It knows a step program, where batches come from, a schedule and a few settings. It
knows no file, database, network, terminal or clock on the wall. What it needs done
outside (saving a snapshot, writing a sample, asking whether to stop) it calls; what
happened it yields. Saving is a call, not an event, because `CheckpointSaved` must
mean that the checkpoint is whole on disk, and because no event should carry a
model's weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from engine.train.control import Action
from engine.train.events import (
    CheckpointSaved,
    Ending,
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
from engine.train.step import StepResult


class Trainer:
    """Trains a `Job` from its state on. `events` may be iterated once.

    `save` puts a snapshot where it survives, before it returns.
    """

    def __init__(self, job: Job, save: Callable[[Snapshot], Saved]) -> None:
        self.job = job
        self._save = save
        self.state = job.state
        self._saved_step = job.state.step
        self._began = 0.0
        self._elapsed_before = 0.0
        self._tokens_before = job.state.tokens
        self._stepping = 0.0

    def events(self) -> Iterator[Event]:
        """Train to the end, or until asked to stop; the last event is an ending.

        At the end of a step the order is StepDone, EvalDone, warnings, samples,
        CheckpointSaved: so a checkpoint is younger than all that its step said.
        Whatever the program, the data or `save` raises passes through.
        """
        job, state = self.job, self.state
        self._began = job.clock()
        self._elapsed_before = state.elapsed_ms
        yield RunStarted(
            state.step, job.config.iters, job.program.parameter_count, state.tokens
        )
        yield from job.notices
        while not self._finished():
            yield from self._step()
            if state.nonfinite.in_row >= job.config.max_nonfinite:
                yield self.ending(RunFailed, self._divergence())
                return
            request = None if self._finished() else job.control()
            if request is not None:
                yield from self._checkpoint()
                paused = request.action is Action.PAUSE
                yield self.ending(RunPaused if paused else RunStopped, request.reason)
                return
        yield from self._checkpoint()
        done = state.step >= job.config.iters
        yield self.ending(RunCompleted, "iters" if done else "patience")

    def _finished(self) -> bool:
        return self.state.step >= self.job.config.iters or self._out_of_patience()

    def _out_of_patience(self) -> bool:
        patience = self.job.config.patience
        return 0 < patience <= self.state.evaluations.since_best

    def _step(self) -> Iterator[Event]:
        """One optimizer step and all that falls due after it."""
        job, state = self.job, self.state
        start = job.clock()
        step = state.step + 1
        lr = job.lr(step)
        limit = state.spikes.limit(job.config.spike_skip)
        batches = [next(job.batches) for _ in range(job.config.accum)]
        result = job.program.train_step(batches, lr=lr, step=step, skip_above=limit)
        took = job.clock() - start
        self._stepping += took
        tokens = sum(x.size for x, _ in batches)
        state.step = step
        state.cursor += len(batches)
        state.tokens += tokens
        state.loss_scale = result.loss_scale
        skipped = self._guard(result, limit)
        evaluation = self._evaluate()
        state.elapsed_ms = self._elapsed_before + 1e3 * (job.clock() - self._began)
        yield StepDone(
            step,
            loss=result.loss,
            lr=lr,
            grad_norm=result.grad_norm,
            tokens=state.tokens,
            elapsed_ms=state.elapsed_ms,
            ms_per_iter=1e3 * took,
            tokens_per_sec=tokens / took if took > 0 else 0.0,
            val_loss=evaluation.val_loss if evaluation else None,
            skipped=skipped,
            loss_scale=result.loss_scale,
        )
        if evaluation is not None:
            yield evaluation
        yield from self._warnings(skipped, result, limit, evaluation is not None)
        yield from self._samples()
        if self._checkpoint_due():
            yield from self._checkpoint()

    def _guard(self, result: StepResult, limit: float) -> str:
        """Count the step in the guards; why its update was skipped, or ""."""
        state = self.state
        finite = math.isfinite(result.loss) and math.isfinite(result.grad_norm)
        state.nonfinite.observe(finite)
        if not finite:
            return "nonfinite"
        state.train_loss.add(result.loss)
        state.spikes.observe(result.grad_norm, limit)
        return "" if result.applied else "spike"

    def _evaluate(self) -> EvalDone | None:
        """The evaluation due after this step."""
        job, state = self.job, self.state
        if not _due(state.step, job.config.eval_interval, job.config.iters):
            return None
        start = job.clock()
        total, counted = 0.0, 0
        for batch in job.eval_batches():
            loss, count = job.program.eval_loss(batch)
            total += loss
            counted += count
        if counted == 0:
            return None
        val_loss = total / counted
        state.evaluations.observe(state.step, val_loss, state.train_loss.value)
        return EvalDone(
            state.step,
            val_loss=val_loss,
            tokens=counted,
            best_val_loss=_or_nan(state.evaluations.best),
            best_step=state.evaluations.best_step,
            took_ms=1e3 * (job.clock() - start),
        )

    def _warnings(
        self, skipped: str, result: StepResult, limit: float, evaluated: bool
    ) -> Iterator[Warning]:
        state = self.state
        if skipped == "nonfinite" and state.nonfinite.notable:
            yield Warning(
                state.step,
                "nonfinite",
                f"loss {result.loss}, gradient norm {result.grad_norm}: update "
                f"skipped ({state.nonfinite.total} so far)",
            )
        if skipped == "spike":
            yield Warning(
                state.step,
                "spike",
                f"gradient norm {result.grad_norm:.3g} above {limit:.3g}: "
                f"update skipped ({state.spikes.skipped} so far)",
            )
        if evaluated and state.evaluations.plateau:
            yield Warning(
                state.step,
                "plateau",
                f"no gain in validation loss over {state.evaluations.flat} "
                "evaluations: lower the learning rate, or stop",
            )
        if evaluated and state.evaluations.overfit:
            yield Warning(
                state.step,
                "overfit",
                f"validation loss rose {state.evaluations.rising} evaluations in a "
                "row while the training loss fell: more data, dropout or decay, or "
                f"take the checkpoint of step {state.evaluations.best_step}",
            )

    def _samples(self) -> Iterator[SampleReady]:
        job, step = self.job, self.state.step
        interval = job.config.sample_interval
        if job.sample is None or interval == 0:
            return
        if _due(step, interval, job.config.iters):
            for index, prompt in enumerate(job.prompts):
                text = job.sample(prompt, step, index)
                yield SampleReady(step, index, prompt, text)

    def _checkpoint_due(self) -> bool:
        interval, step = self.job.config.checkpoint_interval, self.state.step
        best = self.state.evaluations.best_step == step
        return interval > 0 and (best or step % interval == 0)

    def _checkpoint(self) -> Iterator[Event]:
        """Save, unless this very step is saved already."""
        state = self.state
        if state.step == self._saved_step:
            return
        val_loss = state.evaluations.at(state.step)
        best = val_loss is not None and state.evaluations.best_step == state.step
        snapshot = Snapshot(
            state.step, self.job.program.state(), state.to_dict(), val_loss, best
        )
        saved = self._save(snapshot)
        self._saved_step = state.step
        yield CheckpointSaved(
            state.step, saved.path, saved.bytes, val_loss=val_loss, best=best
        )

    def _divergence(self) -> str:
        return (
            "loss or gradient was not a finite number for "
            f"{self.state.nonfinite.in_row} steps in a row: lower the learning rate, "
            "or resume from an earlier checkpoint"
        )

    def ending(self, kind: type[Ending], reason: str) -> Ending:
        """An ending of this kind, with what the state says of the run."""
        evaluations = self.state.evaluations
        tokens = self.state.tokens - self._tokens_before
        return kind(
            self.state.step,
            reason,
            train_loss=self.state.train_loss.value,
            val_loss=evaluations.last,
            best_val_loss=evaluations.best,
            best_step=evaluations.best_step,
            tokens_per_sec=tokens / self._stepping if self._stepping else None,
        )


def _due(step: int, interval: int, last: int) -> bool:
    """Every `interval` steps (0: never) and at the last."""
    return step == last or (interval > 0 and step % interval == 0)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
