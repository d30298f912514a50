"""How much memory a training step takes, before it runs, and which batch fits.

The figures are the compiler's: every buffer has its size and place once a step is
compiled. Knows nothing about data; reads the machine's memory, changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.backends import Backend
from engine.config import ModelConfig, OptimConfig, TrainConfig
from engine.errors import ConfigError
from engine.train.compile import CompiledStep, compile_step

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class StepMemory:
    """Bytes by kind.

    activations  what the programs of a step keep between their operations
    scratch      working space of the threads, and the step's inputs
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    scratch: int

    @property
    def total(self) -> int:
        """All of it."""
        fixed = self.parameters + self.gradients + self.optimizer
        return fixed + self.activations + self.scratch


def step_memory(step: CompiledStep) -> StepMemory:
    """What a compiled step takes."""
    plans = [program.plan for program in step.programs.values()]
    parameters = sum(4 * spec.size for spec in step.layout.buffers.values())
    state = max(plan.state for plan in plans)
    return StepMemory(
        parameters=parameters,
        gradients=parameters,
        optimizer=state - 2 * parameters,
        activations=sum(plan.arena for plan in plans),
        scratch=sum(plan.scratch + plan.inputs for plan in plans),
    )


def fit_remat(
    model: ModelConfig,
    optim: OptimConfig,
    train: TrainConfig,
    batch: int,
    backend: Backend,
    limit: int,
) -> CompiledStep:
    """The step that keeps its activations if that takes at most `limit` bytes.

    Otherwise one that recomputes them, block by block. For `remat` "auto".
    """
    keep, again = (replace(train, remat=remat) for remat in ("none", "block"))
    try:
        step = compile_step(model, optim, keep, batch, backend=backend)
        if step_memory(step).total <= limit:
            return step
    except MemoryError:
        pass
    return compile_step(model, optim, again, batch, backend=backend)


def fit_batch(
    model: ModelConfig,
    optim: OptimConfig,
    train: TrainConfig,
    backend: Backend,
    limit: int,
) -> CompiledStep:
    """The step with the largest batch that takes at most `limit` bytes.

    What a step takes grows almost evenly with the batch: the line through two known
    points says where to look next, between a batch that fits and one that does not.
    Raises ConfigError when not even one sequence fits.
    """
    fits = compile_step(model, optim, train, 1, backend=backend)
    taken = {1: step_memory(fits).total}
    if taken[1] > limit:
        raise ConfigError(
            "batch",
            "auto",
            f"one sequence takes {taken[1]:,} bytes, and {limit:,} may be taken; "
            "a smaller model or block, or a larger memory_share",
        )
    lowest, too_many = 1, 0
    while too_many != lowest + 1:
        batch = _next_batch(taken, limit, lowest, too_many)
        try:
            step = compile_step(model, optim, train, batch, backend=backend)
            taken[batch] = step_memory(step).total
        except MemoryError:
            too_many = batch
            continue
        if taken[batch] <= limit:
            lowest, fits = batch, step
        else:
            too_many = batch
    return fits


def _next_batch(taken: dict[int, int], limit: int, lowest: int, too_many: int) -> int:
    """Where the line through the two largest batches known meets the limit.

    Always between `lowest`, which fits, and `too_many` (0: none is known yet).
    """
    *_, one, two = (0, 0), *sorted(taken.items())
    slope = (two[1] - one[1]) / (two[0] - one[0])
    guess = lowest + int((limit - taken[lowest]) / slope)
    if too_many:
        guess = min(guess, too_many - 1)
    return max(guess, lowest + 1)


def available_memory() -> int:
    """Bytes that this process could take now, without swapping.

    The least of what the machine has free and what the control group allows.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(physical, *_free(), *_allowed())


def _free() -> Iterator[int]:
    """What Linux says could be taken."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024 * int(line.split()[1])


def _allowed() -> Iterator[int]:
    """What the control group's limit is, where it has one."""
    for path in _CGROUP_LIMITS:
        if path.exists() and (text := path.read_text().strip()).isdigit():
            yield int(text)
