"""Placement: buffers in use together never overlap, others share memory."""

from __future__ import annotations

from itertools import combinations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from engine.graph.plan import ALIGNMENT, Lifetime, MemoryPlan, aligned, place

spans = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)
sizes = st.integers(0, 500) | st.sampled_from([1, 64, 65, 4096])
programs = st.lists(st.tuples(sizes, spans), max_size=40).map(
    lambda items: [
        Lifetime(index, size, first, last)
        for index, (size, (first, last)) in enumerate(items)
    ]
)


def meet(a: Lifetime, b: Lifetime) -> bool:
    return a.first <= b.last and b.first <= a.last


@given(items=programs)
def test_buffers_in_use_together_never_overlap(items: list[Lifetime]) -> None:
    arena = place(items)
    for a, b in combinations(items, 2):
        if meet(a, b) and a.size and b.size:
            start_a, start_b = arena.offsets[a.key], arena.offsets[b.key]
            assert start_a + a.size <= start_b or start_b + b.size <= start_a


@given(items=programs)
def test_every_buffer_is_aligned_and_within_the_arena(items: list[Lifetime]) -> None:
    arena = place(items)
    assert set(arena.offsets) == {item.key for item in items}
    for item in items:
        offset = arena.offsets[item.key]
        assert offset >= 0
        assert offset % ALIGNMENT == 0
        assert offset + item.size <= arena.size


@given(items=programs)
def test_an_arena_lies_between_the_busiest_step_and_the_sum_of_all(
    items: list[Lifetime],
) -> None:
    busiest = max(
        (
            sum(aligned(item.size) for item in items if item.first <= step <= item.last)
            for step in range(13)
        ),
        default=0,
    )
    total = sum(aligned(item.size) for item in items)
    assert busiest <= place(items).size <= total


@given(items=programs)
def test_the_same_buffers_are_placed_the_same_way(items: list[Lifetime]) -> None:
    assert place(items) == place(items)


def test_a_buffer_takes_the_place_of_one_no_longer_in_use() -> None:
    chain = [Lifetime(step, 1000, step, step + 1) for step in range(10)]
    assert place(chain).size == 2 * aligned(1000)


def test_a_small_buffer_fills_a_gap_between_larger_ones() -> None:
    items = [
        Lifetime("low", 640, 0, 9),
        Lifetime("middle", 320, 0, 3),
        Lifetime("high", 256, 0, 9),
        Lifetime("late", 192, 5, 9),
    ]
    arena = place(items)
    assert arena.offsets["late"] == arena.offsets["middle"]
    assert arena.size == 640 + 320 + 256


def test_nothing_takes_no_memory() -> None:
    assert place([]).size == 0


@pytest.mark.parametrize(("size", "rounded"), [(0, 0), (1, 64), (64, 64), (65, 128)])
def test_sizes_are_rounded_up_to_the_alignment(size: int, rounded: int) -> None:
    assert aligned(size) == rounded


def test_a_plan_adds_up_its_kinds() -> None:
    assert MemoryPlan(state=1, arena=20, scratch=300, inputs=4000).total == 4321
