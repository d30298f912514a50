"""One session of a run: the trainer's events go to the sinks, its snapshots to disk.

A run has one session from its start or resumption to its end, its failure or its
death. This is the only place where trainer, sinks and checkpoints meet; it knows
neither where batches come from nor what a model is.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from engine.errors import AlphaError, StorageError, TrainingError
from engine.rundir.layout import RunDir
from engine.rundir.record import RunRecord
from engine.sinks.base import SinkContext, sinks
from engine.sinks.fanout import Fanout
from engine.storage import sweep
from engine.train.events import Ending, Event, RunFailed, RunStopped
from engine.train.job import Job, Saved, Snapshot
from engine.train.trainer import Trainer

DEFAULT_SINKS = ("journal", "console")


def run_session(
    run: RunDir,
    record: RunRecord,
    job: Job,
    sink_names: Sequence[str] = DEFAULT_SINKS,
) -> Ending:
    """Train `job` in the directory of `run`, whose lock the caller holds.

    `record` is the run's record with this session's config and environment. Files
    that a killed session left are repaired first, and what is younger than
    `job.state.step` is dropped. Gives the ending; raises TrainingError for a run
    whose numbers are lost, StorageError when the journal or a checkpoint cannot be
    written, and whatever else broke the run, after telling the sinks.
    """
    step = job.state.step
    sweep(run.path)
    run.store.sweep()
    run.store.drop_after(step)
    run.store.prune(job.config.keep_last)
    context = SinkContext(run, _rewound(run, record, job), step)
    with contextlib.closing(_open_sinks(sink_names, context)) as fanout:
        trainer = Trainer(job, lambda snapshot: _save(run, record, fanout, snapshot))
        ending = _drive(trainer, fanout)
    if isinstance(ending, RunFailed):
        raise TrainingError(ending.reason)
    return ending


def _drive(trainer: Trainer, fanout: Fanout) -> Ending:
    """Hand on every event, whatever happens; the last one is the ending."""
    event: Event | None = None
    try:
        for event in trainer.events():
            fanout.handle(event)
    except KeyboardInterrupt:
        fanout.handle(trainer.ending(RunStopped, "interrupted"))
        raise
    except Exception as error:
        foreseen = isinstance(error, AlphaError)
        text = str(error) if foreseen else f"{type(error).__name__}: {error}"
        reason = text.splitlines()[0]
        # On a full disk this cannot be written either; the first error is the news,
        # and a run that is active without a writer is known to be dead.
        with contextlib.suppress(StorageError):
            fanout.handle(trainer.ending(RunFailed, reason))
        raise
    assert isinstance(event, Ending)
    return event


def _open_sinks(names: Sequence[str], context: SinkContext) -> Fanout:
    opened = []
    with contextlib.ExitStack() as stack:
        for name in names:
            sink = sinks.get(name)(context)
            stack.callback(sink.close)
            opened.append(sink)
        stack.pop_all()
    return Fanout(opened)


def _save(run: RunDir, record: RunRecord, fanout: Fanout, snapshot: Snapshot) -> Saved:
    """Save a snapshot and prune. The journal is secured first: a checkpoint must

    never be ahead of the lines it counts on.
    """
    fanout.sync()
    about = {
        "run": record.run,
        "config": record.config,
        "dataset": record.dataset,
        "tokenizer": record.tokenizer,
        "parameters": record.parameters,
        "environment": record.environment,
        "versions": record.versions,
    }
    path = run.store.save(
        snapshot.step, snapshot.arrays, snapshot.trainer, about, snapshot.val_loss
    )
    run.store.prune(record.run_config().train.keep_last)
    size = sum(file.stat().st_size for file in path.iterdir())
    return Saved(str(path.relative_to(run.path)), size)


def _rewound(run: RunDir, record: RunRecord, job: Job) -> RunRecord:
    """The record as it was at the step this session begins after."""
    evaluations, step = job.state.evaluations, job.state.step
    checkpoint = str(run.store.path(step).relative_to(run.path)) if step else None
    return dataclasses.replace(
        record,
        step=step,
        tokens=job.state.tokens,
        elapsed_ms=job.state.elapsed_ms,
        val_loss=evaluations.last,
        best_val_loss=evaluations.best,
        best_step=evaluations.best_step,
        checkpoint=checkpoint,
    )
