"""Randomness is a function of its names: known answers, no overlap, right moments."""

from __future__ import annotations

from itertools import combinations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from engine.errors import ConfigError
from engine.random import Stream, integers, normal, permutation, philox, uniform

# The answers that Random123 publishes for philox4x32-10 (its file kat_vectors), with
# the counter and the key cut into the fields that `philox` names.
KNOWN = [
    pytest.param(
        {"seed": 0, "stream": 0, "step": 0, "start": 0, "salt": 0},
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        id="zeros",
    ),
    pytest.param(
        {
            "seed": 2**64 - 1,
            "stream": 0xFF,
            "step": 2**48 - 1,
            "start": 4 * (2**48 - 1),
            "salt": 2**24 - 1,
        },
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
        id="ones",
    ),
    pytest.param(
        # counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0
        {
            "seed": 0x299F31D0_A4093822,
            "stream": 0x44,
            "step": 0x85A3_13198A2E,
            "start": 4 * 0x08D3_243F6A88,
            "salt": 0x037073,
        },
        "d16cfe09 94fdcceb 5001e420 24126ea1",
        id="pi",
    ),
]


@pytest.mark.parametrize(("names", "answer"), KNOWN)
def test_philox_gives_the_published_answers(names: dict[str, int], answer: str) -> None:
    words = philox(count=4, **names)
    assert words.dtype == np.uint32
    assert " ".join(f"{word:08x}" for word in words) == answer


@given(start=st.integers(0, 40), count=st.integers(0, 40))
def test_a_sequence_may_be_entered_anywhere(start: int, count: int) -> None:
    whole = philox(7, Stream.BATCH, 3, 0, 80, salt=5)
    part = philox(7, Stream.BATCH, 3, start, count, salt=5)
    np.testing.assert_array_equal(part, whole[start : start + count])


def test_a_sequence_goes_on_past_32_bits_of_index() -> None:
    before = philox(1, Stream.INIT, 0, 4 * 2**32 - 4, 4)
    after = philox(1, Stream.INIT, 0, 4 * 2**32, 4)
    across = philox(1, Stream.INIT, 0, 4 * 2**32 - 4, 8)
    np.testing.assert_array_equal(across, np.concatenate((before, after)))
    assert not np.array_equal(after, philox(1, Stream.INIT, 0, 0, 4))


def test_sequences_of_different_names_do_not_overlap() -> None:
    """No block of 128 bits comes twice among names that differ in a single field."""
    names = [
        {"seed": seed, "stream": stream, "step": step, "salt": salt}
        for seed in (0, 1, 2**32)
        for stream in (Stream.INIT, Stream.DROPOUT, Stream.DATAGEN)
        for step in (0, 1, 2**32, 2**32 + 1, 2**47)
        for salt in (0, 1, 2**16, 2**24 - 1)
    ]
    blocks = [philox(start=0, count=64, **name).reshape(-1, 4) for name in names]
    rows = np.concatenate(blocks)
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_every_stream_has_a_number_of_its_own_that_fits() -> None:
    assert all(a != b for a, b in combinations([int(s) for s in Stream], 2))
    assert all(0 <= stream < 256 for stream in Stream)


@pytest.mark.parametrize(
    ("field", "value", "bits"),
    [
        ("seed", 2**64, 64),
        ("seed", -1, 64),
        ("stream", 256, 8),
        ("salt", 2**24, 24),
        ("step", 2**48, 48),
        ("start", -4, 50),
        ("start", 2**50, 50),
        ("count", -1, 50),
    ],
)
def test_what_has_no_room_in_the_counter_is_refused(
    field: str, value: int, bits: int
) -> None:
    names = {"seed": 0, "stream": 0, "step": 0, "start": 0, "count": 4, "salt": 0} | {
        field: value
    }
    with pytest.raises(ConfigError, match=rf"{field} = {value}: .*2\*\*{bits}"):
        philox(**names)


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    numbers = uniform(11, Stream.SAMPLE, 2, 100_000)
    assert numbers.dtype == np.float32
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert np.all(numbers * 2.0**24 == np.round(numbers * 2.0**24))
    counts, _ = np.histogram(numbers, bins=64, range=(0.0, 1.0))
    expected = len(numbers) / 64
    assert ((counts - expected) ** 2 / expected).sum() < 125  # p = 1e-5, 63 degrees


def test_uniform_numbers_may_be_entered_anywhere() -> None:
    whole = uniform(11, Stream.SAMPLE, 2, 50)
    np.testing.assert_array_equal(uniform(11, Stream.SAMPLE, 2, 20, 13), whole[13:33])


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    numbers = normal(5, Stream.INIT, 1, 200_001).astype(np.float64)
    assert len(numbers) == 200_001
    assert np.all(np.isfinite(numbers))
    # Each within five standard errors: sqrt of (1, 2, 6, 24) over the root of n.
    errors = 5 / np.sqrt(len(numbers)) * np.sqrt([1, 2, 6, 24])
    found = [
        numbers.mean(),
        numbers.var() - 1,
        (numbers**3).mean() - 3 * numbers.mean(),
        ((numbers - numbers.mean()) ** 4).mean() - 3 * numbers.var() ** 2,
    ]
    assert np.all(np.abs(found) < errors), (found, errors)
    assert 4.0 < np.abs(numbers).max() < 6.67  # sqrt(2 ln 2^32), the generator's end


def test_normal_numbers_side_by_side_are_independent() -> None:
    numbers = normal(5, Stream.INIT, 1, 100_000).astype(np.float64)
    half = len(numbers) // 2
    for a, b in [(numbers[:-1], numbers[1:]), (numbers[:half], numbers[half:])]:
        assert abs(np.mean(a * b)) < 5 / np.sqrt(len(a))


@pytest.mark.parametrize("bound", [1, 2, 3, 65, 2**31, 2**52])
def test_integers_fill_their_range(bound: int) -> None:
    numbers = integers(3, Stream.BATCH, 9, 20_000, bound)
    assert numbers.dtype == np.int64
    assert numbers.min() >= 0
    assert numbers.max() < bound
    if bound <= 65:
        counts = np.bincount(numbers, minlength=bound)
        expected = len(numbers) / bound
        assert ((counts - expected) ** 2 / expected).sum() < bound + 6 * np.sqrt(
            2 * bound + 10
        )
    else:
        assert abs(numbers.mean() / bound - 0.5) < 5 / np.sqrt(12 * len(numbers))
        assert len(set((numbers % 2).tolist())) == 2


@given(seed=st.integers(0, 2**64 - 1), count=st.integers(0, 300))
def test_a_permutation_holds_every_number_once(seed: int, count: int) -> None:
    order = permutation(seed, Stream.SPLIT, 0, count)
    assert sorted(order.tolist()) == list(range(count))


def test_permutations_have_every_order_equally_often() -> None:
    orders = [tuple(permutation(1, Stream.BATCH, step, 3)) for step in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert all(abs(count - 500) < 5 * np.sqrt(500 * 5 / 6) for count in counts)


@pytest.mark.parametrize("draw", [uniform, normal, permutation])
def test_the_same_names_give_the_same_numbers(draw: object) -> None:
    first, again, other = (
        draw(9, Stream.DATAGEN, step, 64)  # type: ignore[operator]
        for step in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
