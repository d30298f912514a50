from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TokenizerError
from engine.tokenizers import END_OF_TEXT, CharTokenizer, from_json, tokenizers

TEXT = "To be, or not to be: ça, \N{MUSICAL SYMBOL G CLEF}!\n"
CHAR = tokenizers.get("char").build([TEXT])


@given(st.text(alphabet=TEXT))
def test_text_of_known_characters_comes_back(text: str) -> None:
    ids = CHAR.encode(text)
    assert ids.dtype == np.int32
    assert len(ids) == len(text)
    assert CHAR.decode(ids) == text
    assert CHAR.encode(text.encode()).tolist() == ids.tolist()


def test_the_vocabulary_is_the_characters_in_order_of_their_codes() -> None:
    built = tokenizers.get("char").build(["cab", "bad"])
    assert built.encode("abcd").tolist() == [0, 1, 2, 3]
    assert built.vocab_size == 4
    assert built.special_tokens == {}


def test_specials_come_after_the_characters_when_asked_for() -> None:
    built = tokenizers.get("char").build(["ab"], specials=(END_OF_TEXT,))
    assert built.special_tokens == {END_OF_TEXT: 2}
    assert built.encode(f"a{END_OF_TEXT}b", special=True).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("To bé", r"character 'é' \(U\+00E9\) at position 4 is not in the vocabulary"),
        ("To \U0001f600", r"\(U\+1F600\) at position 3"),
        ("Toz\x00", r"character 'z'"),
        (b"To \xff", "byte 0xff at position 3 is not UTF-8"),
        ("To \ud800", r"U\+D800 at position 3 is half a surrogate pair"),
    ],
)
def test_what_cannot_be_encoded_is_named_with_its_place(
    text: str | bytes, message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        CHAR.encode(text)


def test_the_place_counts_from_the_start_of_the_whole_text() -> None:
    built = tokenizers.get("char").build(["ab"], specials=(END_OF_TEXT,))
    with pytest.raises(TokenizerError, match=r"character 'z' .* at position 16"):
        built.encode(f"a{END_OF_TEXT}z", special=True)


@pytest.mark.parametrize("size", [1, 3, 5, 65])
def test_any_other_size_than_the_texts_own_is_refused(size: int) -> None:
    assert tokenizers.get("char").build(["abcd"], 4).vocab_size == 4
    with pytest.raises(TokenizerError, match="has 4 entries, no more and no less"):
        tokenizers.get("char").build(["abcd"], size)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_an_empty_text_makes_no_vocabulary(texts: list[str]) -> None:
    with pytest.raises(TokenizerError, match="the text is empty"):
        tokenizers.get("char").build(texts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"characters": "aa"}, "'characters' must be distinct"),
        ({"characters": ""}, "'characters' must be distinct"),
        ({"characters": 7}, "'characters' must be a str"),
        ({"characters": "\ud800"}, "half a surrogate pair"),
    ],
)
def test_an_artifact_that_makes_no_sense_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        from_json(CHAR.to_json() | change)


def test_loading_gives_the_same_tokenizer() -> None:
    loaded = from_json(CHAR.to_json())
    assert isinstance(loaded, CharTokenizer)
    assert loaded.encode(TEXT).tolist() == CHAR.encode(TEXT).tolist()
