"""Going on with a run: from which checkpoint, and with what changed.

A run is gone on with only as what it was: its model, its data, its tokenizer, its
optimizer and the order of its batches are fixed when it begins. How long, how often
and how fast may change; such changes are told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from engine.checkpoint import Checkpoint
from engine.config import RunConfig
from engine.errors import CheckpointError, ConfigError, InputError
from engine.rundir.environment import differences
from engine.rundir.layout import RunDir
from engine.train.events import Warning

#: Fields that must stay what they were, by section; "*" is all of them.
FIXED: dict[str, tuple[str, ...]] = {
    "model": ("*",),
    "optim": ("optimizer",),
    "data": ("tokenizer", "tokenizer_vocab", "split", "val_fraction", "packing"),
    "train": ("seed", "batch", "accum", "precision"),
}


def check_config(before: RunConfig, wanted: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The fields that change, with their old and new values.

    Raises ConfigError for the first one that must not.
    """
    changed: dict[str, tuple[Any, Any]] = {}
    for section, fixed in FIXED.items():
        old, new = getattr(before, section), getattr(wanted, section)
        for item in dataclasses.fields(old):
            was, now = getattr(old, item.name), getattr(new, item.name)
            if was == now:
                continue
            if "*" in fixed or item.name in fixed:
                raise ConfigError(
                    item.name,
                    now,
                    f"the run has {was!r}, and resuming cannot change it; "
                    "start a new run for that",
                )
            changed[item.name] = (was, now)
    return changed


def check_same(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ConfigError when the field `name` (data, tokenizer) is not what it was.

    The two are the records of it, in `run.json` and as found now.
    """
    for key, was in before.items():
        if now.get(key) != was:
            raise ConfigError(
                name,
                now.get(key),
                f"its {key} was {was!r} when the run began; resuming needs the same",
            )


def choose_checkpoint(run: RunDir, step: int | None = None) -> Checkpoint | None:
    """The checkpoint to go on from: the last, or that of `step`. None: from step 0.

    Raises CheckpointError for one that is damaged, and says which earlier one is
    sound; that one is used only when asked for by its step.
    """
    steps = run.store.steps()
    if step is None:
        step = steps[-1] if steps else 0
    elif step not in (0, *steps):
        known = ", ".join(map(str, steps)) or "none"
        raise InputError(f"{run.path} has no checkpoint of step {step}; it has {known}")
    if step == 0:
        return None
    try:
        return run.store.load(step)
    except CheckpointError as error:
        good = run.store.last_good(before=step) or 0
        advice = f"the checkpoint of step {good} is sound" if good else "none is sound"
        raise CheckpointError(
            f"{error}; {advice}: go on from there with --from-step {good}"
        ) from None


def notices(
    step: int,
    changed: Mapping[str, tuple[Any, Any]],
    environment_then: dict[str, Any],
    environment_now: dict[str, Any],
) -> list[Warning]:
    """What to tell of a resumption: changed settings, and another BLAS or processor."""
    told = []
    if changed:
        listed = ", ".join(f"{k} {a!r} -> {b!r}" for k, (a, b) in changed.items())
        told.append(Warning(step, "settings_changed", f"resumed with {listed}"))
    other = differences(environment_then, environment_now)
    if other:
        message = f"{'; '.join(other)}: the last bits of the results may differ"
        told.append(Warning(step, "environment_changed", message))
    return told
