import numpy as np
import pytest

from engine.data.encode import Encoder
from engine.data.jsonl import Message
from engine.data.source import Piece
from engine.errors import TokenizerError
from engine.tokenizers import CHAT_SPECIALS, END_OF_TEXT, CharTokenizer

PLAIN = CharTokenizer("char", "abc")
ENDING = CharTokenizer("char", "abc", [END_OF_TEXT])
CHAT = CharTokenizer("char", "abcü", CHAT_SPECIALS)


@pytest.mark.parametrize(
    ("tokenizer", "kind", "last", "ids"),
    [
        (ENDING, "documents", True, [0, 1, 3]),
        (ENDING, "documents", False, [0, 1]),
        (ENDING, "text", True, [0, 1]),
        (PLAIN, "documents", True, [0, 1]),
    ],
)
def test_a_document_ends_with_the_separator_that_the_tokenizer_has(
    tokenizer, kind, last, ids
):
    encoded = Encoder(tokenizer).encode(Piece("ab", last), kind)
    assert encoded.ids.tolist() == ids
    assert encoded.ids.dtype == np.int32
    assert encoded.counts is None
    assert encoded.target_bytes == 2


@pytest.mark.parametrize(
    ("tokenizer", "kind", "separator"),
    [
        (ENDING, "documents", END_OF_TEXT),
        (ENDING, "text", None),
        (ENDING, "chat", None),
        (PLAIN, "documents", None),
    ],
)
def test_the_separator_is_told(tokenizer, kind, separator):
    assert Encoder(tokenizer).separator(kind) == separator


def test_of_a_conversation_only_the_answers_are_targets():
    messages = (Message("user", "ab"), Message("assistant", "cü"))
    piece = Piece("abcü", last=True, messages=messages)
    encoded = Encoder(CHAT).encode(piece, "chat")
    text = CHAT.decode(encoded.ids)
    assert text == f"<|user|>ab<|assistant|>cü{END_OF_TEXT}"
    assert encoded.counts is not None
    assert CHAT.decode(encoded.ids[encoded.counts]) == f"cü{END_OF_TEXT}"
    assert encoded.target_bytes == 3


def test_the_spelling_of_a_special_token_is_text():
    tokenizer = CharTokenizer("char", "<|_>adefnotx", [END_OF_TEXT])
    encoded = Encoder(tokenizer).encode(Piece(END_OF_TEXT, False), "documents")
    assert len(encoded.ids) == len(END_OF_TEXT)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_ids_outside_the_vocabulary_never_reach_the_disk(wrong):
    class Lying(CharTokenizer):
        def encode_ordinary(self, text, at=0):
            return np.array([0, wrong], dtype=np.int32)

    with pytest.raises(TokenizerError, match=f"tokenizer liar gave id {wrong}; .* 3"):
        Encoder(Lying("liar", "abc")).encode(Piece("ab", True), "text")
