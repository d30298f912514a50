from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.tokenizers.merges import learn_merges

Merges = list[tuple[int, int]]


def naive_merges(pieces: dict[bytes, int], limit: int) -> Merges:
    """Byte-pair encoding as the paper has it, every pair counted anew each time."""
    words = [(list(piece), count) for piece, count in pieces.items()]
    merges: Merges = []
    while len(merges) < limit:
        counts: dict[tuple[int, int], int] = {}
        for word, count in words:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + count
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], max(pair), pair))
        merges.append(best)
        for word, _ in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = [255 + len(merges)]
                at += 1
    return merges


def corpora(alphabet: bytes) -> st.SearchStrategy[dict[bytes, int]]:
    letters = st.lists(st.sampled_from(alphabet), max_size=14).map(bytes)
    return st.dictionaries(letters, st.integers(1, 5), max_size=12)


@given(corpora(b"ab") | corpora(b"abcdef") | corpora(bytes(range(256))))
@example({b"aaa": 1})
@example({b"aaaaaaa": 2, b"aa": 1})
@example({b"abababab": 3, b"ba": 1})
@example({b"": 4})
@example({})
def test_the_merges_are_those_of_the_naive_algorithm(pieces: dict[bytes, int]) -> None:
    assert learn_merges(pieces, 60) == naive_merges(pieces, 60)


def test_more_pairs_than_the_first_table_holds_are_no_trouble() -> None:
    pieces = {bytes([a, b]): 1 for a in range(256) for b in range(256)}
    pieces[b"xyz"] = 3
    assert learn_merges(pieces, 3) == [(120, 121), (256, 122), (0, 0)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ({b"ab": 2, b"cd": 3}, [(99, 100), (97, 98)]),
        # Equal counts: the pair whose younger symbol is older, so ba before ac.
        ({b"ac": 1, b"ba": 1}, [(98, 97), (97, 99)]),
        # Then the one with the older left symbol.
        ({b"bc": 1, b"ac": 1}, [(97, 99), (98, 99)]),
        # A pair of a merged symbol comes after all pairs that were there before.
        ({b"abc": 2, b"yz": 2}, [(97, 98), (121, 122), (256, 99)]),
        ({b"aaa": 1}, [(97, 97), (256, 97)]),
    ],
)
def test_ties_go_to_the_pair_that_came_into_being_first(
    pieces: dict[bytes, int], expected: Merges
) -> None:
    assert learn_merges(pieces, 10) == expected


def test_the_order_of_the_pieces_does_not_matter() -> None:
    pieces = {b"lower": 2, b"low": 5, b"newest": 6, b"widest": 3}
    turned = dict(reversed(pieces.items()))
    assert learn_merges(pieces, 20) == learn_merges(turned, 20)


def test_merges_end_when_every_piece_is_one_symbol() -> None:
    assert learn_merges({b"abc": 1}, 100) == [(97, 98), (256, 99)]
    assert learn_merges({b"a": 9}, 100) == []
