"""What can be known to go wrong before the first step, from counts alone.

Each finding is a `Warning` with a code, a figure and a remedy. What cannot work at
all is not here: the config classes and the data refuse it with an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import RunConfig
from engine.train.events import Warning

#: Passes over the data up to which repeated tokens are worth nearly as much as new
#: ones (Muennighoff et al., "Scaling Data-Constrained Language Models", 2023).
PASSES = 4.0
#: Tokens a parameter at which training is compute-optimal (Hoffmann et al., 2022).
CHINCHILLA = 20.0
#: Occurrences a vocabulary entry needs on average to be learnt.
OCCURRENCES = 10
#: Validation windows below which the validation loss is mostly noise.
VAL_WINDOWS = 8


@dataclass(frozen=True)
class Budget:
    """The counts a plan is judged by.

    train_tokens  tokens in the training split, val_tokens in the validation split
    step_tokens   tokens one step trains on
    """

    parameters: int
    train_tokens: int
    val_tokens: int
    vocab_size: int
    step_tokens: int
    iters: int

    @property
    def trained_tokens(self) -> int:
        return self.step_tokens * self.iters

    @property
    def passes(self) -> float:
        """How often training goes over the data."""
        return self.trained_tokens / max(1, self.train_tokens)

    @property
    def tokens_per_parameter(self) -> float:
        """Distinct training tokens for each parameter."""
        return self.train_tokens / max(1, self.parameters)


def check_plan(config: RunConfig, budget: Budget) -> list[Warning]:
    """Warnings about a run that would work, but badly."""
    found = {
        "tokens_per_parameter": _tokens_per_parameter(budget),
        "dataset_passes": _passes(budget),
        "vocabulary": _vocabulary(budget),
        "validation_split": _validation(config, budget),
        "warmup": _warmup(config),
    }
    return [Warning(0, code, message) for code, message in found.items() if message]


def _tokens_per_parameter(budget: Budget) -> str:
    ratio = budget.tokens_per_parameter
    if ratio >= 1.0:
        return ""
    return (
        f"{ratio:.2g} training tokens per parameter ({budget.train_tokens:,} for "
        f"{budget.parameters:,}): the model can learn them by heart; "
        f"{CHINCHILLA:g} per parameter is the rule; take a smaller model or more data"
    )


def _passes(budget: Budget) -> str:
    if budget.passes <= PASSES:
        return ""
    fitting = int(PASSES * budget.train_tokens // budget.step_tokens)
    return (
        f"{budget.passes:.1f} passes over the data; beyond {PASSES:g} they teach "
        f"little: {fitting} iterations, or more data"
    )


def _vocabulary(budget: Budget) -> str:
    if budget.train_tokens >= OCCURRENCES * budget.vocab_size:
        return ""
    fitting = max(1, budget.train_tokens // OCCURRENCES)
    return (
        f"{budget.vocab_size:,} vocabulary entries for {budget.train_tokens:,} "
        f"training tokens: most are hardly ever seen; at most {fitting:,} fit this data"
    )


def _validation(config: RunConfig, budget: Budget) -> str:
    windows = budget.val_tokens / config.model.block_size
    if windows >= VAL_WINDOWS:
        return ""
    return (
        f"the validation split holds {windows:.1f} blocks of "
        f"{config.model.block_size} tokens: its loss will be noisy; more data, a "
        "larger val_fraction or a shorter block"
    )


def _warmup(config: RunConfig) -> str:
    warmup, iters = config.optim.warmup, config.train.iters
    if warmup < iters:
        return ""
    return f"warmup takes {warmup} iterations of {iters}: the rate never reaches lr"
