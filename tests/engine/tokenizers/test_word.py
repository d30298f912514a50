from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TokenizerError
from engine.tokenizers import END_OF_TEXT, WordTokenizer, from_json, tokenizers

TEXT = "the cat, the dog -- the naïve_dog\n\n  (the 2 dogs)"
WORD = tokenizers.get("word").build([TEXT])


@given(st.text() | st.text(alphabet="ab1 .\n'é_"))
def test_a_text_seen_comes_back(text: str) -> None:
    built = tokenizers.get("word").build([text + "x"])
    ids = built.encode(text + "x")
    assert ids.dtype == np.int32
    assert built.decode(ids) == text + "x"


def test_words_white_space_and_marks_are_runs_of_their_own() -> None:
    found = "|".join(WORD.token_bytes(token).decode() for token in WORD.encode(TEXT))
    assert found == (
        "the| |cat|,| |the| |dog| |--| |the| |naïve|_|dog|\n\n  |(|the| |2| |dogs|)"
    )


def test_the_most_frequent_words_have_the_lowest_ids() -> None:
    built = tokenizers.get("word").build(["b b b a a c"])
    assert [built.token_bytes(i) for i in range(4)] == [b" ", b"b", b"a", b"c"]


def test_specials_come_after_the_words_when_asked_for() -> None:
    built = tokenizers.get("word").build(["a b"], specials=(END_OF_TEXT,))
    assert built.special_tokens == {END_OF_TEXT: 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the bird, the bird", "word 'bird' at position 4 is not in the vocabulary"),
        ("the   cat", "word '   ' at position 3"),
        ("z" * 99, r"word 'z{40}\.\.\.' at position 0"),
        (b"the \xff", "byte 0xff at position 4 is not UTF-8"),
    ],
)
def test_what_cannot_be_encoded_is_named_with_its_place(
    text: str | bytes, message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        WORD.encode(text)


@pytest.mark.parametrize("size", [1, 4, 6])
def test_any_other_size_than_the_texts_own_is_refused(size: int) -> None:
    assert tokenizers.get("word").build(["a b, a"], 5 - 1).vocab_size == 4
    with pytest.raises(TokenizerError, match="has 5 entries, no more and no less"):
        tokenizers.get("word").build(["a b, c"], size)


def test_an_empty_text_makes_no_vocabulary() -> None:
    with pytest.raises(TokenizerError, match="the text is empty"):
        tokenizers.get("word").build([""])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": ["a", "a"]}, "'words' must be distinct"),
        ({"words": ["a b"]}, "'words' must be runs of one class"),
        ({"words": ["a", 3]}, "'words' must be runs of one class"),
        ({"words": []}, "'words' must be runs of one class"),
        ({"words": {}}, "'words' must be a list"),
    ],
)
def test_an_artifact_that_makes_no_sense_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        from_json(WORD.to_json() | change)


def test_loading_gives_the_same_tokenizer() -> None:
    loaded = from_json(WORD.to_json())
    assert isinstance(loaded, WordTokenizer)
    assert loaded.encode(TEXT).tolist() == WORD.encode(TEXT).tolist()
