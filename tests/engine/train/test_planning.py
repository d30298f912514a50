import dataclasses

import pytest

from engine.config import RunConfig
from engine.train.planning import Budget, check_plan

SOUND = Budget(
    parameters=1_000_000,
    train_tokens=20_000_000,
    val_tokens=2_000_000,
    vocab_size=4_000,
    step_tokens=8_192,
    iters=2_000,
)


def codes(budget: Budget, config: RunConfig | None = None) -> list[str]:
    return [warning.code for warning in check_plan(config or RunConfig(), budget)]


def test_a_sound_plan_has_no_warnings() -> None:
    assert codes(SOUND) == []


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        (
            {"parameters": 200_000_000},
            "tokens_per_parameter",
            "0.1 training tokens per parameter (20,000,000 for 200,000,000)",
        ),
        (
            {"iters": 20_000},
            "dataset_passes",
            "8.2 passes over the data; beyond 4 they teach little: 9765 iterations",
        ),
        ({"vocab_size": 3_000_000}, "vocabulary", "at most 2,000,000 fit this data"),
        ({"val_tokens": 512}, "validation_split", "holds 2.0 blocks of 256 tokens"),
    ],
)
def test_a_doubtful_plan_is_told_with_figures(
    changes: dict[str, int], code: str, says: str
) -> None:
    (warning,) = check_plan(RunConfig(), dataclasses.replace(SOUND, **changes))
    assert (warning.step, warning.code) == (0, code)
    assert says in warning.message


def test_a_warmup_longer_than_the_run_is_told() -> None:
    config = RunConfig.from_dict({"optim": {"warmup": 50}, "train": {"iters": 50}})
    assert codes(SOUND, config) == ["warmup"]


def test_the_counts_of_a_plan() -> None:
    assert SOUND.trained_tokens == 16_384_000
    assert SOUND.passes == pytest.approx(0.8192)
    assert SOUND.tokens_per_parameter == 20.0
