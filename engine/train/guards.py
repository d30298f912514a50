"""What watches a run for trouble: averages, skipped steps, plateaus, overfitting.

Each guard is a small mutable record of numbers that a checkpoint keeps, so that a
resumed run is guarded exactly as an uninterrupted one. A guard only counts and
compares; the trainer decides what follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: A gain smaller than this share of the best validation loss is none (plateau).
PLATEAU_GAIN = 1e-3
#: Evaluations without such a gain that make a plateau.
PLATEAU_EVALS = 5
#: Evaluations in a row with a rising validation and a falling training loss.
OVERFIT_EVALS = 3
#: Gradient norms the average needs to have seen before a spike can be told.
SPIKE_WARMUP = 20


@dataclass
class Average:
    """An exponential average without bias toward its start.

    Kingma and Ba, "Adam", ICLR 2015, section 3: the weights sum to `weight`.
    """

    decay: float = 0.98
    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> None:
        self.total = self.decay * self.total + (1.0 - self.decay) * value
        self.weight = self.decay * self.weight + (1.0 - self.decay)

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight else None


@dataclass
class SpikeGuard:
    """The average gradient norm, and the norm above which a step is a spike."""

    average: Average
    seen: int = 0
    skipped: int = 0

    def limit(self, factor: float) -> float:
        """The largest norm to accept; infinite with `factor` 0 or too few seen."""
        value = self.average.value
        if factor <= 0.0 or value is None or self.seen < SPIKE_WARMUP:
            return math.inf
        return factor * value

    def observe(self, norm: float, limit: float) -> None:
        """Count a finite norm. A spike counts as the limit: should norms stay

        high, the average follows them and the skipping ends of itself.
        """
        self.average.add(min(norm, limit))
        self.seen += 1
        self.skipped += norm > limit


@dataclass
class NonFiniteGuard:
    """Steps whose loss or gradient was not a number: in all, and in a row."""

    total: int = 0
    in_row: int = 0

    def observe(self, finite: bool) -> None:
        self.in_row = 0 if finite else self.in_row + 1
        self.total += not finite

    @property
    def notable(self) -> bool:
        """True at the 1st, 10th, 100th ... such step, so that warnings stay few."""
        return self.in_row > 0 and str(self.total).rstrip("0") == "1"


@dataclass
class Evaluations:
    """How the validation loss has gone. `last` is None when it was not finite."""

    best: float | None = None
    best_step: int = 0
    since_best: int = 0
    last: float | None = None
    last_step: int = 0
    last_train: float | None = None
    plateau_from: float | None = None
    flat: int = 0
    rising: int = 0

    def observe(self, step: int, val_loss: float, train_loss: float | None) -> None:
        """Take an evaluation, with the training loss's average at its time."""
        self.since_best += 1
        finite = math.isfinite(val_loss)
        if finite:
            if self.best is None or val_loss < self.best:
                self.best, self.best_step, self.since_best = val_loss, step, 0
            self._watch_plateau(val_loss)
            self._watch_overfit(val_loss, train_loss)
        self.last, self.last_step = (val_loss if finite else None), step
        self.last_train = train_loss

    def at(self, step: int) -> float | None:
        """The validation loss at `step`, if that is where it was last taken."""
        return self.last if self.last_step == step else None

    def _watch_plateau(self, val_loss: float) -> None:
        start = self.plateau_from
        if start is None or val_loss < start - abs(start) * PLATEAU_GAIN:
            self.plateau_from, self.flat = val_loss, 0
        else:
            self.flat += 1

    def _watch_overfit(self, val_loss: float, train_loss: float | None) -> None:
        apart = (
            self.last is not None
            and self.last_train is not None
            and train_loss is not None
            and val_loss > self.last
            and train_loss < self.last_train
        )
        self.rising = self.rising + 1 if apart else 0

    @property
    def plateau(self) -> bool:
        """True once, when a plateau has just become one."""
        return self.flat == PLATEAU_EVALS

    @property
    def overfit(self) -> bool:
        """True once, when the losses have just parted for long enough."""
        return self.rising == OVERFIT_EVALS
