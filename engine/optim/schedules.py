"""Learning rates over a run: warmup, then constant, linear or cosine decay.

A schedule is a function from the step (1 is the first) to the learning rate. Knows no
optimizer; a third party registers its own under a name.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from engine.config import OptimConfig
from engine.registry import Registry

#: Learning rate at a step.
Schedule = Callable[[int], float]

#: name -> the shape of the decay: from progress in [0, 1] to the share of the way
#: from the peak learning rate (1) to the final one (0).
schedules: Registry[Callable[[float], float]] = Registry("schedule")


@schedules.register("constant")
def constant(progress: float) -> float:
    """Stay at the peak."""
    return 1.0


@schedules.register("linear")
def linear(progress: float) -> float:
    """Fall evenly."""
    return 1.0 - progress


@schedules.register("cosine")
def cosine(progress: float) -> float:
    """Fall along half a cosine (Loshchilov and Hutter, "SGDR", ICLR 2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def schedule(config: OptimConfig, iters: int) -> Schedule:
    """The learning rate of every step of a run of `iters` steps.

    It rises evenly to `lr` at step `warmup`, then falls to `final_lr` at step
    `iters`, and stays there. Raises ConfigError for an unknown schedule.
    """
    shape = schedules.get(config.schedule)
    span = max(1, iters - config.warmup)

    def rate(step: int) -> float:
        if step < config.warmup:
            return config.lr * step / config.warmup
        share = shape(min(1.0, (step - config.warmup) / span))
        return config.final_lr + (config.lr - config.final_lr) * share

    return rate
