"""What a trainer is given, and what it hands out to be saved. Values, no behaviour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from engine.config import TrainConfig
from engine.train.control import Control, no_requests
from engine.train.events import Warning
from engine.train.state import TrainerState
from engine.train.step import Batch, StepProgram


@dataclass(frozen=True)
class Snapshot:
    """All that a checkpoint needs to go on exactly from `step`.

    arrays    what `StepProgram.state` gave
    trainer   what `TrainerState.to_dict` gave
    val_loss  the validation loss at this very step, if it was evaluated
    """

    step: int
    arrays: dict[str, NDArray[Any]]
    trainer: dict[str, Any]
    val_loss: float | None
    best: bool


@dataclass(frozen=True)
class Saved:
    """Where a snapshot lies, and how large it is."""

    path: str
    bytes: int


@dataclass
class Job:
    """What a trainer is given.

    lr            learning rate at a step; steps count from 1
    batches       training micro-batches from number `state.cursor` on, without end
    eval_batches  the batches of one evaluation, the same each time
    sample        text after (prompt, step, index); None for a run without samples
    notices       warnings to give before the first step
    clock         seconds; only differences matter
    """

    program: StepProgram
    config: TrainConfig
    lr: Callable[[int], float]
    batches: Iterator[Batch]
    eval_batches: Callable[[], Iterable[Batch]]
    sample: Callable[[str, int, int], str] | None = None
    prompts: Sequence[str] = ()
    control: Control = no_requests
    notices: Sequence[Warning] = ()
    state: TrainerState = field(default_factory=TrainerState)
    clock: Callable[[], float] = time.perf_counter
