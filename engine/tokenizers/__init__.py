"""Text to token ids and back, and the vocabularies that this takes.

    base          what every tokenizer is, and the registry of their builders
    pretokenize   the rule by which byte-level BPE cuts a text into pieces
    merges        learns BPE merges from counted pieces
    bpe           byte-level BPE: any bytes in, the same bytes out
    char          a vocabulary of characters
    word          a vocabulary of words
    special       the special tokens, and who needs which
    chat          a conversation to ids, and which of them are learnt
    stream        ids to text while they come, never half a character
    artifact      tokenizer.json
    cache         built once for one text, then read

Nothing here knows files of text, models or training.
"""

from __future__ import annotations

from engine.tokenizers.artifact import from_json, load_tokenizer
from engine.tokenizers.base import Builder, Tokenizer, tokenizers
from engine.tokenizers.bpe import BpeBuilder, BpeTokenizer
from engine.tokenizers.cache import Built, build_or_load
from engine.tokenizers.char import CharTokenizer
from engine.tokenizers.chat import render_chat
from engine.tokenizers.special import (
    ASSISTANT,
    CHAT_SPECIALS,
    END_OF_TEXT,
    SYSTEM,
    USER,
    specials_for,
)
from engine.tokenizers.stream import StreamDecoder
from engine.tokenizers.word import WordTokenizer

__all__ = [
    "ASSISTANT",
    "CHAT_SPECIALS",
    "END_OF_TEXT",
    "SYSTEM",
    "USER",
    "BpeBuilder",
    "BpeTokenizer",
    "Builder",
    "Built",
    "CharTokenizer",
    "StreamDecoder",
    "Tokenizer",
    "WordTokenizer",
    "build_or_load",
    "from_json",
    "load_tokenizer",
    "render_chat",
    "specials_for",
    "tokenizers",
]
