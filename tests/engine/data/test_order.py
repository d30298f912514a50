import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.order import round_keys, shuffled


def order(count, seed=1, epoch=0):
    return shuffled(np.arange(count), count, round_keys(seed, epoch))


@given(st.integers(1, 3000), st.integers(0, 2**63), st.integers(0, 1000))
def test_every_number_stands_at_one_place(count, seed, epoch):
    assert sorted(order(count, seed, epoch).tolist()) == list(range(count))


@given(st.integers(1, 2**62), st.data())
def test_places_may_be_asked_for_one_by_one(count, data):
    keys = round_keys(7, 3)
    places = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=8))
    together = shuffled(np.array(places, np.int64), count, keys).tolist()
    alone = [int(shuffled(np.array([p], np.int64), count, keys)[0]) for p in places]
    assert together == alone
    assert all(0 <= value < count for value in together)
    assert len(set(together)) == len(set(places))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [order(1000, seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    orders.append(np.arange(1000))
    for index, one in enumerate(orders):
        for other in orders[:index]:
            assert np.count_nonzero(one == other) < 20


@pytest.mark.parametrize("count", [3, 7, 100])
def test_every_number_is_as_likely_at_every_place(count):
    epochs = 600
    places = np.arange(count)
    seen = np.zeros((count, count))
    for epoch in range(epochs):
        seen[places, shuffled(places, count, round_keys(11, epoch))] += 1
    expected = epochs / count
    chi2 = ((seen - expected) ** 2 / expected).sum()
    freedom = (count - 1) ** 2
    assert abs(chi2 - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbours_do_not_stay_together():
    steps = np.diff(order(100_000))
    assert np.count_nonzero(np.abs(steps) == 1) < 20
    correlation = np.corrcoef(np.arange(100_000), order(100_000))[0, 1]
    assert abs(correlation) < 0.02
