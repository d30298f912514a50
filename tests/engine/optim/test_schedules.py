import math

import pytest

from engine.config import OptimConfig
from engine.errors import ConfigError
from engine.optim.schedules import schedule, schedules


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("constant", {1: 0.25, 2: 0.5, 4: 1.0, 8: 1.0, 12: 1.0, 20: 1.0}),
        ("linear", {1: 0.25, 2: 0.5, 4: 1.0, 8: 0.6, 12: 0.2, 20: 0.2}),
        ("cosine", {1: 0.25, 2: 0.5, 4: 1.0, 8: 0.6, 12: 0.2, 20: 0.2}),
    ],
)
def test_the_rate_rises_over_the_warmup_then_falls_to_the_final_one(
    name: str, rates: dict[int, float]
) -> None:
    config = OptimConfig(schedule=name, lr=1.0, min_lr=0.2, warmup=4)
    rate = schedule(config, iters=12)
    assert {step: rate(step) for step in rates} == pytest.approx(rates)


def test_the_cosine_is_slow_at_its_ends() -> None:
    rate = schedule(OptimConfig(schedule="cosine", lr=1.0, min_lr=0.0, warmup=0), 100)
    assert rate(25) == pytest.approx(0.5 + 0.5 * math.cos(math.pi / 4))


def test_without_a_final_rate_it_is_a_tenth_of_the_peak() -> None:
    assert schedule(OptimConfig(lr=0.5, warmup=0), 10)(10) == pytest.approx(0.05)


def test_a_warmup_as_long_as_the_run_never_divides_by_zero() -> None:
    rate = schedule(OptimConfig(lr=1.0, warmup=10), iters=10)
    assert rate(10) == 1.0


def test_a_schedule_can_come_from_outside() -> None:
    schedules.register("stairs")(lambda progress: 1.0 - round(progress))
    try:
        config = OptimConfig(schedule="stairs", lr=1.0, min_lr=0.0, warmup=0)
        assert [schedule(config, 10)(step) for step in (4, 6)] == [1.0, 0.0]
    finally:
        schedules.unregister("stairs")


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'spiral': known are: constant, linear"):
        schedule(OptimConfig(schedule="spiral"), 10)
