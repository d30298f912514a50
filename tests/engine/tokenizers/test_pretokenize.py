from __future__ import annotations

import re
import string
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TokenizerError
from engine.tokenizers import pretokenize
from engine.tokenizers.pretokenize import (
    LONGEST_PIECE,
    as_bytes,
    as_characters,
    chunks,
    pieces,
)

#: Text in which every rule has something to do.
tangled = st.text(alphabet="ab'’é 1٣_.-\t\n\r\u3000\x00😀", max_size=300)


def split(text: str, chunk: int = pretokenize.CHUNK) -> list[str]:
    return [piece for found in pieces(text, chunk) for piece in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("hello world", ["hello", " world"]),
        ("a  b", ["a", " ", " b"]),
        ("x\ty", ["x", "\t", "y"]),
        ("trailing  ", ["trailing", "  "]),
        ("abc123", ["abc", "123"]),
        ("f(x) != 10", ["f", "(", "x", ")", " !=", " 10"]),
        ("snake_case", ["snake", "_", "case"]),
        ("don't we'll", ["don", "'t", " we", "'ll"]),
        ("Thou'rt o'er", ["Thou", "'rt", " o", "'er"]),
        ("'tis 'spam'", ["'", "tis", " '", "spam", "'"]),
        ("rock'n'roll", ["rock", "'n", "'", "roll"]),
        ("end\nnext", ["end", "\n", "next"]),
        ("if x:\n    y", ["if", " x", ":", "\n    ", "y"]),
        ("a \t\n\n  b", ["a", " \t\n\n  ", "b"]),
        ("a\r\nb", ["a", "\r\n", "b"]),
        ("naïve café", ["naïve", " café"]),
        ("नमस्ते", ["नमस्ते"]),
        ("“so”—he", ["“", "so", "”—", "he"]),
        ("你好。", ["你好", "。"]),
        ("hi😀!", ["hi", "😀!"]),
    ],
)
def test_a_text_falls_into_the_pieces_of_the_rule(
    text: str, expected: list[str]
) -> None:
    assert split(text) == expected


@given(st.text() | tangled)
def test_the_pieces_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


@given(tangled, st.integers(1, 40))
def test_taking_a_long_text_in_chunks_changes_no_piece(text: str, chunk: int) -> None:
    assert split(text, chunk) == split(text)


@given(tangled, tangled)
def test_a_text_may_be_cut_where_white_space_follows_something_else(
    left: str, right: str
) -> None:
    left, right = left + "x", " " + right
    assert split(left) + split(right) == split(left + right)


@pytest.mark.parametrize("char", ["a", "7", "=", " ", "\n", "\u3000", "語", "😀"])
def test_no_piece_is_longer_than_the_bound(char: str) -> None:
    found = split(char * 1000)
    assert max(map(len, found)) <= LONGEST_PIECE
    assert len(found) < 50


@given(tangled)
def test_no_piece_mixes_letters_digits_and_symbols(text: str) -> None:
    classes = (
        re.compile(rf" ?{pretokenize.LETTER}+"),
        re.compile(rf" ?[{pretokenize.DIGIT}]+"),
        re.compile(rf" ?[{pretokenize.SYMBOL}]+"),
        re.compile(rf"{pretokenize.WHITE}+"),
        re.compile(rf"'{pretokenize.LETTER}{{1,2}}"),
    )
    for piece in split(text):
        assert any(one.fullmatch(piece) for one in classes), piece


def test_white_space_is_what_unicode_calls_so() -> None:
    white = re.compile(pretokenize.WHITE)
    for char in map(chr, range(sys.maxunicode + 1)):
        assert bool(white.match(char)) == char.isspace(), hex(ord(char))


def test_symbols_and_letters_of_ascii_are_the_usual_ones() -> None:
    symbol = re.compile(f"[{pretokenize.SYMBOL}]")
    assert all(symbol.match(char) for char in string.punctuation)
    letter = re.compile(pretokenize.LETTER)
    found = [char for char in map(chr, range(128)) if letter.match(char)]
    assert found == sorted(string.ascii_letters)


@given(st.binary())
def test_any_bytes_pass_through_characters_unchanged(data: bytes) -> None:
    assert as_bytes(as_characters(data)) == data


def test_half_a_surrogate_pair_is_refused_with_its_place() -> None:
    with pytest.raises(TokenizerError, match=r"U\+D83D at position 12 is half"):
        as_characters("ab\ud83d", at=10)


def test_chunks_are_about_as_long_as_asked_and_lie_end_to_end() -> None:
    text = "word " * 1000
    found = list(chunks(text, 100))
    assert found[0][0] == 0
    assert found[-1][1] == len(text)
    assert all(stop == start for (_, stop), (start, _) in pairwise(found))
    assert all(99 <= stop - start <= 106 for start, stop in found[:-1])
