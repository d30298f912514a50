"""Ids to text while they come: what is shown is never half a character.

Knows bytes and UTF-8. Knows no tokenizer but by its `token_bytes`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from engine.tokenizers.base import Tokenizer


class StreamDecoder:
    """Text of a growing list of ids.

    All that `push` gave, and then `flush`, is `Tokenizer.decode` of all the ids.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, ids: int | Iterable[int]) -> str:
        """The text that `ids` complete; the start of a character waits for its end.

        Raises TokenizerError for an id outside the vocabulary.
        """
        tokens = ids if isinstance(ids, Iterable) else (ids,)
        spelled = b"".join(self._tokenizer.token_bytes(int(token)) for token in tokens)
        return self._utf8.decode(spelled)

    def flush(self) -> str:
        """What still waited, now that nothing follows: U+FFFD, or nothing.

        The decoder is then as new.
        """
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
