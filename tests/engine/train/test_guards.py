import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.train.guards import (
    OVERFIT_EVALS,
    PLATEAU_EVALS,
    SPIKE_WARMUP,
    Average,
    Evaluations,
    NonFiniteGuard,
    SpikeGuard,
)

numbers = st.floats(-1e3, 1e3)


@given(value=numbers, count=st.integers(1, 50))
def test_the_average_of_equal_numbers_is_that_number_from_the_first(
    value: float, count: int
) -> None:
    average = Average()
    for _ in range(count):
        average.add(value)
    assert average.value == pytest.approx(value)


@given(values=st.lists(numbers, min_size=1, max_size=30))
def test_the_average_lies_among_its_numbers(values: list[float]) -> None:
    average = Average(decay=0.9)
    for value in values:
        average.add(value)
    assert average.value is not None
    assert min(values) - 1e-9 <= average.value <= max(values) + 1e-9


def test_an_average_of_nothing_is_none() -> None:
    assert Average().value is None


def spikes_after(norms: Iterable[float]) -> SpikeGuard:
    guard = SpikeGuard(Average())
    for norm in norms:
        guard.observe(norm, guard.limit(3.0))
    return guard


def test_nothing_is_a_spike_before_the_average_is_settled() -> None:
    assert spikes_after([1.0] * (SPIKE_WARMUP - 1)).limit(3.0) == math.inf
    assert spikes_after([1.0] * SPIKE_WARMUP).limit(3.0) == pytest.approx(3.0)


def test_with_the_factor_zero_nothing_is_ever_a_spike() -> None:
    assert spikes_after([1.0] * 100).limit(0.0) == math.inf


def test_a_spike_moves_the_average_no_more_than_the_limit_would() -> None:
    guard = spikes_after([1.0] * 100)
    guard.observe(1e9, guard.limit(3.0))
    assert guard.limit(3.0) < 3.3
    assert guard.skipped == 1


def test_norms_that_stay_high_are_followed_so_that_skipping_ends() -> None:
    guard = spikes_after([1.0] * 100 + [50.0] * 300)
    assert guard.limit(3.0) > 50.0


def test_steps_that_are_not_finite_are_counted_in_all_and_in_a_row() -> None:
    guard = NonFiniteGuard()
    for finite in (False, False, True, False):
        guard.observe(finite)
    assert (guard.total, guard.in_row) == (3, 1)


def test_warnings_of_them_thin_out_as_they_repeat() -> None:
    guard, notable = NonFiniteGuard(), []
    for step in range(1, 1500):
        guard.observe(finite=False)
        if guard.notable:
            notable.append(step)
    assert notable == [1, 10, 100, 1000]


def evaluated(losses: Iterable[float], train: Iterable[float]) -> Evaluations:
    evaluations = Evaluations()
    for step, (val, trained) in enumerate(zip(losses, train, strict=True), 1):
        evaluations.observe(step, val, trained)
    return evaluations


def test_the_best_evaluation_is_remembered() -> None:
    found = evaluated([3.0, 2.0, 2.5, 2.0], [1.0] * 4)
    assert (found.best, found.best_step, found.since_best) == (2.0, 2, 2)
    assert found.at(4) == 2.0
    assert found.at(3) is None


def test_a_loss_that_is_not_a_number_is_never_the_best() -> None:
    found = evaluated([math.nan, 2.0, math.nan], [1.0] * 3)
    assert (found.best, found.since_best, found.last) == (2.0, 1, None)


def test_a_plateau_is_told_once() -> None:
    flat = [2.0 - 1e-5 * i for i in range(PLATEAU_EVALS + 1)]
    assert evaluated(flat, [1.0] * len(flat)).plateau
    assert not evaluated(flat[:-1], [1.0] * (len(flat) - 1)).plateau
    assert not evaluated([*flat, 2.0], [1.0] * (len(flat) + 1)).plateau


def test_a_gain_ends_a_plateau_so_that_the_next_is_told_again() -> None:
    losses = [2.0] * (PLATEAU_EVALS + 2) + [1.0] * (PLATEAU_EVALS + 1)
    assert evaluated(losses, [1.0] * len(losses)).plateau


def test_parting_losses_are_overfitting() -> None:
    count = OVERFIT_EVALS + 1
    up = [1.0 + 0.1 * i for i in range(count)]
    down = [1.0 - 0.1 * i for i in range(count)]
    assert evaluated(up, down).overfit
    assert not evaluated(up, up).overfit
    assert not evaluated(down, down).overfit
    assert not evaluated([*up[:-1], 0.5, *up[1:3]], [*down, 0.1, 0.0]).overfit
