import threading

import pytest

from engine.data.prefetch import Prefetcher


def alive():
    return [t for t in threading.enumerate() if t.name == "alpha-prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not alive()


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_items_come_in_order_from_the_start(depth):
    with Prefetcher(lambda index: index * 10, start=5, stop=50, depth=depth) as items:
        assert list(items) == [index * 10 for index in range(5, 50)]


def test_it_stays_at_most_so_many_ahead():
    made = []
    settled = threading.Event()

    def make(index):
        made.append(index)
        if index == 2:
            settled.set()
        return index

    with Prefetcher(make, depth=3) as items:
        assert settled.wait(10)
        assert made == [0, 1, 2]
        assert next(items) == 0
        assert next(items) == 1
    assert len(made) <= 5


def test_an_error_comes_in_its_turn_and_stays():
    def make(index):
        if index == 2:
            raise RuntimeError("broken shard")
        return index

    with Prefetcher(make) as items:
        assert [next(items), next(items)] == [0, 1]
        for _ in range(2):
            with pytest.raises(RuntimeError, match="broken shard"):
                next(items)


def test_closing_ends_the_thread_in_the_middle_of_things():
    items = Prefetcher(lambda index: index, depth=2)
    assert next(items) == 0
    items.close()
    items.close()
    with pytest.raises(ValueError, match="closed"):
        next(items)


def test_the_end_is_the_end():
    with Prefetcher(lambda index: index, stop=1) as items:
        assert list(items) == [0]
        assert list(items) == []


def test_work_is_done_ahead_in_another_thread():
    threads = set()

    def make(index):
        threads.add(threading.get_ident())
        return index

    with Prefetcher(make, stop=3) as items:
        assert list(items) == [0, 1, 2]
    assert threading.get_ident() not in threads
