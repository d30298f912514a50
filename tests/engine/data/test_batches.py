import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.batches import (
    BatchSource,
    dataset_passes,
    eval_batches,
    window_count,
)
from engine.data.store import TokenStore
from engine.errors import ConfigError, DataError

PACKINGS = ("random", "packed")

stores = st.integers(9, 200).map(lambda n: TokenStore.of(np.arange(n) + 100))


def targets(batches):
    """Every counted target, by its position in a store of 100, 101, ..."""
    found = [y[y >= 0] for _, y in batches]
    return (np.concatenate(found) - 100).tolist()


@pytest.mark.parametrize("packing", PACKINGS)
@given(stores, st.integers(1, 5), st.integers(1, 8), st.integers(0, 2**40))
def test_a_batch_is_tokens_and_the_tokens_after_them(packing, store, rows, block, at):
    x, y = BatchSource(store, rows, block, seed=3, packing=packing).batch(at)
    assert x.shape == y.shape == (rows, block)
    assert x.dtype == y.dtype == np.int32
    assert np.array_equal(y[y >= 0], x[y >= 0] + 1)
    assert np.array_equal(x[:, 1:][y[:, 1:] >= 0], y[:, :-1][y[:, 1:] >= 0])
    assert packing == "packed" or (y >= 0).all()


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_batch_depends_on_seed_and_index_alone(packing):
    store = TokenStore.of(np.arange(1000))

    def batch(index, seed=1, rows=4):
        return BatchSource(store, rows, 8, seed, packing).batch(index)[0].tolist()

    later = BatchSource(store, 4, 8, 1, packing)
    for index in (5, 2, 9):
        later.batch(index)
    assert later.batch(7)[0].tolist() == batch(7)
    assert batch(7) != batch(8)
    assert batch(7) != batch(7, seed=2)


def test_random_windows_reach_both_ends():
    store = TokenStore.of(np.arange(12))
    source = BatchSource(store, 64, 8, seed=1)
    starts = np.concatenate([source.batch(index)[0][:, 0] for index in range(20)])
    assert sorted(set(starts.tolist())) == [0, 1, 2, 3]


@given(stores, st.integers(1, 8), st.integers(1, 7))
def test_packed_counts_every_target_once_an_epoch(store, block, rows):
    source = BatchSource(store, rows, block, seed=5, packing="packed")
    windows = source.windows
    epochs = 3
    slots = [
        (index * rows + row, x[row], y[row])
        for index in range(-(-epochs * windows // rows))
        for x, y in [source.batch(index)]
        for row in range(rows)
    ]
    for epoch in range(epochs):
        inside = [(x, y) for slot, x, y in slots if slot // windows == epoch]
        assert sorted(targets(inside)) == list(range(1, len(store)))


def test_packed_epochs_differ_in_order():
    source = BatchSource(TokenStore.of(np.arange(801)), 100, 8, 1, "packed")
    first, second = source.batch(0)[0][:, 0], source.batch(1)[0][:, 0]
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist())


@given(stores, st.integers(1, 8), st.integers(1, 7))
def test_evaluation_counts_every_target_once_in_order(store, block, rows):
    batches = list(eval_batches(store, rows, block))
    assert targets(batches) == list(range(1, len(store)))
    assert len(batches) == -(-window_count(store, block) // rows)
    assert {x.shape for x, _ in batches} == {(rows, block)}


@given(stores, st.integers(1, 8), st.integers(1, 7), st.integers(1, 9))
def test_a_limited_evaluation_is_spread_over_the_store(store, block, rows, limit):
    batches = list(eval_batches(store, rows, block, limit))
    windows = window_count(store, block)
    assert len(batches) == min(limit, -(-windows // rows))
    starts = [
        x[0] - 100
        for xs, ys in batches
        for x, y in zip(xs, ys, strict=True)
        if y[0] >= 0
    ]
    taken = min(windows, limit * rows)
    assert starts == [place * windows // taken * block for place in range(taken)]


def test_a_store_shorter_than_a_block_can_be_evaluated():
    ((x, y),) = eval_batches(TokenStore.of([5, 6, 7]), 2, 4)
    assert x.tolist() == [[5, 6, 0, 0], [0, 0, 0, 0]]
    assert y.tolist() == [[6, 7, -1, -1], [-1, -1, -1, -1]]


def test_masked_tokens_are_no_targets_but_stay_inputs():
    store = TokenStore.of([5, 6, 7, 8, 9], counts=[1, 0, 0, 1, 1])
    ((x, y),) = eval_batches(store, 1, 4)
    assert x.tolist() == [[5, 6, 7, 8]]
    assert y.tolist() == [[-1, -1, 8, 9]]
    x, y = BatchSource(store, 3, 4, seed=1).batch(0)
    assert y.tolist() == [[-1, -1, 8, 9]] * 3


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_store_shorter_than_a_block_says_what_it_has_and_needs(packing):
    store = TokenStore.of(np.arange(64), name="train")
    with pytest.raises(DataError) as caught:
        BatchSource(store, 4, 64, seed=1, packing=packing)
    assert str(caught.value).startswith(
        "the train side has 64 tokens, but a block of 64 needs at least 65"
    )
    BatchSource(store, 4, 63, seed=1, packing=packing).batch(0)


def test_a_store_without_a_target_cannot_be_evaluated():
    with pytest.raises(DataError, match="the val side has 1 tokens"):
        list(eval_batches(TokenStore.of([1], name="val"), 1, 1))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [((0, 4, 1), "batch"), ((2, 0, 1), "block_size"), ((2, 4, 1, "dense"), "packing")],
)
def test_settings_that_make_no_batch_are_refused(arguments, field):
    with pytest.raises(ConfigError, match=field):
        BatchSource(TokenStore.of(np.arange(99)), *arguments)


def test_passes_over_the_dataset():
    store = TokenStore.of(np.arange(1000))
    assert dataset_passes(store, iters=100, batch=4, block=25, accum=2) == 20.0
