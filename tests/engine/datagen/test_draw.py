from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.datagen.draw import Draw, words


@given(st.integers(0, 2**63), st.integers(0, 2**40), st.integers(1, 2**32))
def test_numbers_stay_below_their_bound(seed, document, bound):
    draw = Draw(seed, document)
    assert all(0 <= draw.below(bound) < bound for _ in range(5))


def test_draws_are_replayed_past_the_first_block_of_words():
    first, again, other = Draw(1, 7), Draw(1, 7), Draw(1, 8)
    numbers = [first.below(1000) for _ in range(1000)]
    assert numbers == [again.below(1000) for _ in range(1000)]
    assert numbers != [other.below(1000) for _ in range(1000)]
    assert len(set(numbers[:300])) > 200


def test_every_choice_is_as_likely_as_its_weight():
    draw = Draw(3, 0)
    seen = Counter(draw.weighted((("a", 1), ("b", 3))) for _ in range(4000))
    assert 850 < seen["a"] < 1150
    assert 850 < sum(draw.chance(25) for _ in range(4000)) < 1150
    assert {draw.between(2, 4) for _ in range(100)} == {2, 3, 4}
    assert {draw.pick("xyz") for _ in range(100)} == set("xyz")


def test_a_sample_holds_each_at_most_once():
    found = Draw(1, 1).sample(range(10), 10)
    assert sorted(found) == list(range(10)) != found


@pytest.mark.parametrize(
    ("text", "between", "found"),
    [("a b  c", None, ("a", "b", "c")), ("a b|c", "|", ("a b", "c"))],
)
def test_lists_of_words(text, between, found):
    assert words(text, between) == found
