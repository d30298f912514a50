from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TokenizerError
from engine.tokenizers import END_OF_TEXT, BpeTokenizer, from_json, tokenizers
from engine.tokenizers import bpe as bpe_module
from engine.tokenizers.pretokenize import as_bytes, as_characters, pieces

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, "
    "it was the age of foolishness, it was the epoch of belief, it was the epoch of "
    "incredulity; don't 123 123 \N{EM DASH} naïve café\n\n    indented\n"
)
BPE = tokenizers.get("bpe").build([TEXT], 340)


def naive_encode(tokenizer: BpeTokenizer, data: bytes) -> list[int]:
    """Each merge in turn over each whole piece."""
    out: list[int] = []
    for found in pieces(as_characters(data)):
        for piece in found:
            ids = list(as_bytes(piece))
            for new, pair in enumerate(tokenizer.merges, 256):
                at = 0
                while at + 1 < len(ids):
                    if (ids[at], ids[at + 1]) == pair:
                        ids[at : at + 2] = [new]
                    at += 1
            out += ids
    return out


#: Words of the text, in parts and out of order, and anything else between.
texts = st.lists(
    st.sampled_from([TEXT[i : i + 7] for i in range(0, len(TEXT), 5)]) | st.text()
).map("".join)


@given(st.binary() | texts.map(str.encode))
def test_any_bytes_come_back_unchanged(data: bytes) -> None:
    assert BPE.decode_bytes(BPE.encode(data)) == data


@given(texts)
def test_text_and_its_bytes_have_the_same_ids(text: str) -> None:
    assert BPE.encode(text).tolist() == BPE.encode(text.encode()).tolist()
    assert BPE.decode(BPE.encode(text)) == text


@given(st.binary() | texts.map(str.encode))
def test_ids_are_those_of_the_naive_algorithm(data: bytes) -> None:
    assert isinstance(BPE, BpeTokenizer)
    assert BPE.encode(data).tolist() == naive_encode(BPE, data)


def test_ids_are_int32_and_the_callers_own() -> None:
    ids = BPE.encode(TEXT)
    assert ids.dtype == np.int32
    ids[0] = 0
    assert BPE.encode("").shape == (0,)


def test_every_byte_has_its_id_and_specials_come_last() -> None:
    assert [BPE.token_bytes(byte) for byte in range(256)] == [
        bytes([byte]) for byte in range(256)
    ]
    assert BPE.special_tokens == {END_OF_TEXT: 339}
    assert BPE.token_bytes(339) == END_OF_TEXT.encode()


def test_no_token_is_learnt_across_two_texts() -> None:
    built = tokenizers.get("bpe").build(["ab", "ab", "ba"], 258)
    assert built.token_bytes(256) == b"ab"
    with pytest.raises(TokenizerError, match="gives 259 at most"):
        tokenizers.get("bpe").build(["ab", "ab", "ba"], 260)


@pytest.mark.parametrize("size", [257, 258, 300, 340])
def test_the_vocabulary_has_exactly_the_size_asked_for(size: int) -> None:
    built = tokenizers.get("bpe").build([TEXT], size)
    assert built.vocab_size == size
    used = built.encode(TEXT)
    assert used.max() < size - 1


def test_a_smaller_vocabulary_is_the_beginning_of_a_larger_one() -> None:
    small = tokenizers.get("bpe").build([TEXT], 300)
    assert isinstance(small, BpeTokenizer)
    assert isinstance(BPE, BpeTokenizer)
    assert small.merges == BPE.merges[: len(small.merges)]


def test_the_largest_size_named_in_the_error_is_the_largest_that_works() -> None:
    with pytest.raises(TokenizerError, match=r"2000 is larger than .* gives (\d+) at"):
        tokenizers.get("bpe").build([TEXT])
    with pytest.raises(TokenizerError) as caught:
        tokenizers.get("bpe").build([TEXT], 100_000)
    largest = int(str(caught.value).split("gives ")[1].split()[0])
    assert tokenizers.get("bpe").build([TEXT], largest).vocab_size == largest
    with pytest.raises(TokenizerError):
        tokenizers.get("bpe").build([TEXT], largest + 1)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("bpe", 256, "256 is too small: 256 bytes and 1 special tokens make 257"),
        ("bpe", -5, "-5 is too small"),
        ("bpe-chat-4k", 259, "256 bytes and 4 special tokens make 260"),
    ],
)
def test_a_size_without_room_for_bytes_and_specials_is_refused(
    name: str, size: int, message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        tokenizers.get(name).build([TEXT], size)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("bpe", 2000),
        ("bpe-4k", 4000),
        ("bpe-8k", 8000),
        ("bpe-16k", 16000),
        ("bpe-32k", 32000),
        ("bpe-64k", 64000),
        ("bpe-chat-4k", 4000),
    ],
)
def test_a_name_stands_for_a_size(name: str, size: int) -> None:
    with pytest.raises(TokenizerError, match=f"a vocabulary of {size} is larger"):
        tokenizers.get(name).build([TEXT])
    assert tokenizers.get(name).build([TEXT], 300).name == name


def test_specials_asked_for_join_the_names_own() -> None:
    built = tokenizers.get("bpe").build([TEXT], 300, specials=("<|mask|>", END_OF_TEXT))
    assert built.special_tokens == {"<|mask|>": 298, END_OF_TEXT: 299}


def test_the_memory_for_known_pieces_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bpe_module, "CACHED_PIECES", 10)
    built = from_json(BPE.to_json())
    assert isinstance(built, BpeTokenizer)
    data = " ".join(f"{a}{b}" for a, b in pairwise("abcdefghijklmnopqrstuvwxyz"))
    assert built.decode(built.encode(data)) == data
    assert len(built._ids_of) <= 10


def doubling(depth: int) -> list[list[int]]:
    """Merges each of which doubles the bytes of the one before."""
    return [[0, 0], *([255 + n, 255 + n] for n in range(1, depth))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretokenizer": "other"}, "pretokenizer 'other' is unknown"),
        ({"merges": None}, "'merges' must be a list"),
        ({"merges": [[97, 98], [257, 99]]}, "merge 1 must be two ids below 257"),
        ({"merges": [[97, -1]]}, "merge 0 must be two ids"),
        ({"merges": [[97, 98, 99]]}, "merge 0 must be two ids"),
        ({"merges": [["a", "b"]]}, "merge 0 must be two ids"),
        ({"merges": [[97, 98], [97, 98]]}, "merge 1 repeats another"),
        ({"merges": doubling(70)}, "merge 9 makes 1024 bytes"),
        ({"special_tokens": {END_OF_TEXT: 3}}, "must have the ids from"),
        ({"name": 3}, "'name' must be a str"),
    ],
)
def test_an_artifact_that_makes_no_sense_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        from_json(BPE.to_json() | change)
