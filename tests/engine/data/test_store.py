import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.store import TokenStore

IDS = np.arange(50, dtype=np.uint16) * 7


def sharded(masked):
    """50 tokens in shards of 16, every third of them no target."""
    counts = np.arange(50) % 3 != 0
    cuts = (16, 32, 48)
    masks = [np.packbits(part, bitorder="little") for part in np.split(counts, cuts)]
    store = TokenStore(
        "val",
        np.split(IDS, cuts),
        masks if masked else None,
        np.zeros(1, dtype=np.uint64),
        int(counts.sum()),
    )
    return store, counts


@given(st.integers(0, 50), st.integers(0, 50))
def test_shards_read_as_one_array(a, b):
    store, counts = sharded(masked=True)
    start, stop = sorted((a, b))
    assert store.tokens(start, stop).tolist() == IDS[start:stop].tolist()
    assert store.counts(start, stop).tolist() == counts[start:stop].tolist()


def test_tokens_are_int32_and_a_copy():
    store, _ = sharded(masked=False)
    tokens = store.tokens(0, 3)
    assert tokens.dtype == np.int32
    tokens[:] = 0
    assert store.tokens(0, 3).tolist() == [0, 7, 14]


def test_without_a_mask_every_token_counts():
    store, _ = sharded(masked=False)
    assert not store.masked
    assert store.counts(10, 20).all()


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 51), (4, 3)])
def test_positions_outside_are_refused(start, stop):
    store, _ = sharded(masked=True)
    with pytest.raises(IndexError, match="of 50"):
        store.tokens(start, stop)
    with pytest.raises(IndexError, match="of 50"):
        store.counts(start, stop)


def test_a_store_over_tokens_in_memory():
    store = TokenStore.of([5, 6, 7], counts=[0, 1, 1], name="mine")
    assert (len(store), store.targets, store.name) == (3, 2, "mine")
    assert store.counts(0, 3).tolist() == [False, True, True]
    assert TokenStore.of([5, 6, 7]).targets == 3
