"""What holds for every tokenizer, and how a third party brings another kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.errors import ConfigError, TokenizerError
from engine.tokenizers import (
    CHAT_SPECIALS,
    END_OF_TEXT,
    USER,
    Tokenizer,
    load_tokenizer,
    tokenizers,
)

TEXT = "One fish, two fish <|user|> red fish <|end_of_text|> blue fish, <| |> user"
SIZES = {"char": 0, "word": 0, "bpe": 285}


def build(name: str, specials: Sequence[str] = CHAT_SPECIALS) -> Tokenizer:
    return tokenizers.get(name).build([TEXT], SIZES[name], specials=specials)


BUILT = {name: build(name) for name in SIZES}
every_kind = pytest.mark.parametrize("tokenizer", BUILT.values(), ids=list(BUILT))


@every_kind
def test_specials_have_the_last_ids_in_the_order_given(tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size
    assert tokenizer.special_tokens == {
        token: size - len(CHAT_SPECIALS) + index
        for index, token in enumerate(CHAT_SPECIALS)
    }


@every_kind
def test_the_spelling_of_a_special_is_ordinary_text_by_default(
    tokenizer: Tokenizer,
) -> None:
    ids = tokenizer.encode(TEXT)
    assert not set(ids.tolist()) & set(tokenizer.special_tokens.values())
    assert tokenizer.decode(ids) == TEXT


@every_kind
@pytest.mark.parametrize("as_data", [False, True])
def test_specials_are_recognised_on_demand_and_never_split(
    tokenizer: Tokenizer, as_data: bool
) -> None:
    text: str | bytes = TEXT.encode() if as_data else TEXT
    ids = tokenizer.encode(text, special=True).tolist()
    found = [i for i in ids if i in tokenizer.special_tokens.values()]
    assert found == [
        tokenizer.special_tokens[USER],
        tokenizer.special_tokens[END_OF_TEXT],
    ]
    at = ids.index(found[0])
    assert tokenizer.decode(ids[:at]) == "One fish, two fish "
    assert tokenizer.decode(ids) == TEXT


parts = st.lists(
    st.sampled_from([*CHAT_SPECIALS, "One", "fish", "<|", "|>", " ", "user", "<"])
)


@given(parts)
def test_special_and_ordinary_text_agree_on_everything_between(
    pieces: list[str],
) -> None:
    bpe = BUILT["bpe"]
    text = "".join(pieces)
    ids = bpe.encode(text, special=True)
    assert bpe.decode(ids) == text
    specials = [i for i in ids.tolist() if i >= bpe.vocab_size - len(CHAT_SPECIALS)]
    assert len(specials) == sum(text.count(token) for token in CHAT_SPECIALS)


def test_the_longest_of_two_specials_wins() -> None:
    built = build("char", specials=("<|user", "<|user|>"))
    assert built.encode("<|user|>", special=True).tolist() == [
        built.special_tokens["<|user|>"]
    ]


@every_kind
def test_nothing_encodes_to_nothing(tokenizer: Tokenizer) -> None:
    for special in (False, True):
        ids = tokenizer.encode("", special=special)
        assert ids.shape == (0,)
        assert ids.dtype == np.int32
    assert tokenizer.decode([]) == ""


@every_kind
@pytest.mark.parametrize("wrong", [-1, 10**6, 2**40])
def test_an_id_outside_the_vocabulary_is_named(
    tokenizer: Tokenizer, wrong: int
) -> None:
    message = f"id {wrong} is not in the vocabulary .* ids are 0 to"
    with pytest.raises(TokenizerError, match=message):
        tokenizer.decode([0, wrong])
    with pytest.raises(TokenizerError, match=message):
        tokenizer.token_bytes(wrong)


@pytest.mark.parametrize("wrong", [[0.5], [[1, 2]], ["a"], [True]])
def test_what_is_not_a_list_of_ids_is_refused(wrong: Any) -> None:
    with pytest.raises(TokenizerError, match="must be a list of whole numbers"):
        BUILT["bpe"].decode(wrong)


@pytest.mark.parametrize(
    ("specials", "message"),
    [((""), None), (("a", "a"), "must differ: a, a"), (("",), "must not be empty")],
)
def test_specials_that_cannot_be_told_apart_are_refused(
    specials: Sequence[str], message: str | None
) -> None:
    if message is None:
        assert build("char", specials=specials).special_tokens == {}
        return
    with pytest.raises(TokenizerError, match=message):
        build("char", specials=specials)


def test_the_fingerprint_tells_ids_apart_and_not_names() -> None:
    same = tokenizers.get("bpe-8k").build([TEXT], 285, specials=CHAT_SPECIALS)
    assert same.name != BUILT["bpe"].name
    assert same.fingerprint == BUILT["bpe"].fingerprint
    others = [
        build("bpe", specials=()),
        tokenizers.get("bpe").build([TEXT], 284, specials=CHAT_SPECIALS),
        tokenizers.get("bpe").build([TEXT[::-1]], 285, specials=CHAT_SPECIALS),
        BUILT["char"],
        BUILT["word"],
    ]
    prints = {same.fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == 6
    assert all(len(one) == 64 and int(one, 16) >= 0 for one in prints)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"known are: bpe, bpe-4k, .*char, word"):
        tokenizers.get("bqe")


class VowelTokenizer(Tokenizer):
    """A third party's: one id for each of five vowels, whatever else there is."""

    kind = "vowels"

    def __init__(self, specials: Sequence[str]) -> None:
        super().__init__("vowels", [b"a", b"e", b"i", b"o", b"u"], specials)

    def encode_ordinary(self, text: str | bytes, at: int = 0) -> NDArray[np.int32]:
        characters = text if isinstance(text, str) else text.decode()
        found = ["aeiou".index(char) for char in characters if char in "aeiou"]
        return np.array(found, dtype=np.int32)

    def content(self) -> dict[str, Any]:
        return {}


class VowelBuilder:
    version = 1

    def build(
        self,
        texts: Iterable[str | bytes],
        vocab_size: int = 0,
        *,
        specials: Sequence[str] = (),
    ) -> VowelTokenizer:
        return VowelTokenizer(specials)

    def load(self, record: Mapping[str, Any]) -> VowelTokenizer:
        return VowelTokenizer(list(record["special_tokens"]))


@pytest.fixture
def vowels() -> Iterator[VowelBuilder]:
    builder = VowelBuilder()
    tokenizers.register("vowels")(builder)
    yield builder
    tokenizers.unregister("vowels")


def test_a_third_party_adds_a_kind_without_touching_the_engine(
    vowels: VowelBuilder, tmp_path: Path
) -> None:
    built = tokenizers.get("vowels").build([], specials=(END_OF_TEXT,))
    assert built.encode(f"outside{END_OF_TEXT}", special=True).tolist() == [
        3,
        4,
        2,
        1,
        5,
    ]
    built.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert isinstance(loaded, VowelTokenizer)
    assert loaded.fingerprint == built.fingerprint
