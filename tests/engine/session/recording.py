"""A whole run of the bigram model in a directory, started or gone on with.

`python recording.py DIR` is the process that tests kill.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.config import RunConfig, TrainConfig
from engine.rundir.environment import environment
from engine.rundir.layout import RunDir, create
from engine.rundir.lock import RunLock
from engine.rundir.record import RunRecord, now
from engine.session.conduct import run_session
from engine.session.resume import choose_checkpoint
from engine.train.control import Control, no_requests
from engine.train.events import Ending
from engine.train.job import Job
from engine.train.state import TrainerState
from tests.engine.train.bigram import Bigram, batches_from, validation

TRAIN = TrainConfig(
    iters=60,
    accum=2,
    eval_interval=10,
    sample_interval=15,
    checkpoint_interval=7,
    keep_last=2,
    spike_skip=1.25,
)

#: A short run in which everything that writes files happens.
SHORT = TrainConfig(
    iters=5,
    eval_interval=2,
    sample_interval=3,
    checkpoint_interval=2,
    keep_last=1,
)


def record_of(train: TrainConfig) -> RunRecord:
    """A record such as the command writes."""
    return RunRecord(
        run="bigram",
        name="",
        config=RunConfig(train=train).to_dict(),
        domain="",
        dataset={},
        tokenizer={},
        parameters=49,
        environment=environment({"blas_core": "any"}),
        created=now(),
    )


def train(
    path: Path,
    config: TrainConfig = TRAIN,
    *,
    control: Control = no_requests,
    sinks: Sequence[str] = ("journal",),
    from_step: int | None = None,
    program: Bigram | None = None,
) -> Ending:
    """Begin the run at `path`, or go on with it from its last checkpoint."""
    run = RunDir(path)
    if not run.exists():
        run = create(path, record_of(config), b"{}\n")
    with contextlib.closing(RunLock(path)):
        program = program or Bigram()
        state = TrainerState()
        checkpoint = choose_checkpoint(run, from_step)
        if checkpoint is not None:
            program.load_state(checkpoint.arrays)
            state = TrainerState.from_dict(checkpoint.manifest.trainer)
        job = Job(
            program,
            config,
            lr=lambda step: 0.5 / step**0.5,
            batches=batches_from(state.cursor),
            eval_batches=validation,
            sample=lambda prompt, step, index: f"{program.table.sum():.6f}",
            prompts=("a", "b"),
            control=control,
            state=state,
        )
        return run_session(run, run.record(), job, sinks)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
