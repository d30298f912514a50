"""Pieces of text into token ids and the marks that say which of them are targets.

Knows what it asks of a tokenizer. Knows no tokenizer, and nothing about files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.data.source import Piece
from engine.errors import TokenizerError
from engine.tokenizers.chat import render_chat
from engine.tokenizers.special import END_OF_TEXT

Ids = NDArray[np.int32]
Counts = NDArray[np.bool_]


class Tokenizer(Protocol):
    """What the data side asks of a tokenizer."""

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def special_tokens(self) -> Mapping[str, int]: ...

    @property
    def fingerprint(self) -> str:
        """Hexadecimal; two tokenizers of one fingerprint encode alike."""
        ...

    def encode(self, text: str, *, special: bool = False) -> Ids: ...


@dataclass(frozen=True)
class Encoded:
    """Tokens of one piece; `counts` is None where every token is a target.

    target_bytes  how much of the text, in UTF-8 bytes, the targets spell
    """

    ids: Ids
    counts: Counts | None
    target_bytes: int


class Encoder:
    """Encodes the pieces of a source with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._end = tokenizer.special_tokens.get(END_OF_TEXT)

    def separator(self, kind: str) -> str | None:
        """What stands after each document of such a source (None: nothing).

        A plain text has no documents; a conversation ends as its template says.
        """
        return END_OF_TEXT if kind == "documents" and self._end is not None else None

    def encode(self, piece: Piece, kind: str) -> Encoded:
        """A piece's tokens, with the separator where a document ends."""
        if piece.messages:
            return self._conversation(piece)
        ids = self.tokenizer.encode(piece.text)
        if piece.last and self.separator(kind):
            ids = np.append(ids, np.int32(self._end or 0))
        self._check(ids)
        return Encoded(ids, None, len(piece.text.encode()))

    def _conversation(self, piece: Piece) -> Encoded:
        messages = [message.to_dict() for message in piece.messages]
        ids, counts = render_chat(self.tokenizer, messages)
        self._check(ids)
        answers = (m.content for m in piece.messages if m.role == "assistant")
        return Encoded(ids, counts, sum(len(text.encode()) for text in answers))

    def _check(self, ids: Ids) -> None:
        size = self.tokenizer.vocab_size
        if len(ids) and not (ids.min() >= 0 and ids.max() < size):
            wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
            raise TokenizerError(
                f"tokenizer {self.tokenizer.name} gave id {wrong}; "
                f"its vocabulary has {size} tokens"
            )
