"""A vocabulary of words: runs of letters and digits, of white space, of the rest.

Knows characters. Takes no other runs than those of the text it was built from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import TokenizerError
from engine.tokenizers.base import (
    Ids,
    Text,
    Tokenizer,
    as_utf8,
    field,
    specials_of,
    tokenizers,
)
from engine.tokenizers.char import check_size
from engine.tokenizers.pretokenize import (
    BLANK,
    LINE_END,
    SYMBOL,
    WHITE,
    chunks,
)

KIND = "word"

# Letters, marks and digits are all that is neither white space nor symbol.
_RUN = re.compile(rf"[^{LINE_END}{BLANK}{SYMBOL}]+|[{SYMBOL}]+|{WHITE}+")


class WordTokenizer(Tokenizer):
    """One id for each of `words`, in that order; any run of the rule is a word."""

    kind = KIND

    def __init__(
        self, name: str, words: Sequence[str], specials: Sequence[str] = ()
    ) -> None:
        super().__init__(name, [word.encode() for word in words], specials)
        self.words = tuple(words)
        self._id_of = {word: index for index, word in enumerate(words)}

    def encode_ordinary(self, text: Text, at: int = 0) -> Ids:
        """One id a run: (runs,) int32.

        Raises TokenizerError for a run outside the vocabulary, and for bytes that are
        not UTF-8.
        """
        characters = as_utf8(text, self.name, at)
        parts = [np.empty(0, dtype=np.int32)]
        for runs in runs_of(characters):
            try:
                ids = map(self._id_of.__getitem__, runs)
                parts.append(np.fromiter(ids, dtype=np.int32, count=len(runs)))
            except KeyError:
                raise self._unknown(characters, at) from None
        return np.concatenate(parts)

    def _unknown(self, text: str, at: int) -> TokenizerError:
        """The error for the first run of `text` that is no word."""
        found = next(run for run in _RUN.finditer(text) if run[0] not in self._id_of)
        shown = found[0] if len(found[0]) <= 40 else found[0][:40] + "..."
        return TokenizerError(
            f"word {shown!r} at position {at + found.start()} is not in the vocabulary "
            f"of tokenizer {self.name} ({len(self.words)} words)"
        )

    def content(self) -> dict[str, Any]:
        return {"words": list(self.words)}


def runs_of(text: str) -> Iterator[list[str]]:
    """The runs of `text` in order, in lists; one after the other they are `text`."""
    for start, stop in chunks(text):
        yield _RUN.findall(text, start, stop)


@dataclass(frozen=True)
class WordBuilder:
    """Takes the words of texts as a vocabulary, the most frequent first."""

    name: str = KIND
    version: int = 1

    def build(
        self,
        texts: Iterable[Text],
        vocab_size: int = 0,
        *,
        specials: Sequence[str] = (),
    ) -> WordTokenizer:
        """The distinct runs of `texts`, and `specials`.

        Raises TokenizerError for texts that are empty, and for any other size than
        the one that this makes.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            for runs in runs_of(as_utf8(text, self.name)):
                counts.update(runs)
        check_size(self.name, vocab_size, len(counts), len(specials))
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return WordTokenizer(self.name, words, specials)

    def load(self, record: Mapping[str, Any]) -> WordTokenizer:
        """The tokenizer whose `to_json` is `record`. Raises TokenizerError."""
        words = field(record, "words", list)
        if not words or not all(
            isinstance(word, str) and _RUN.fullmatch(as_utf8(word, self.name))
            for word in words
        ):
            raise TokenizerError("tokenizer file: 'words' must be runs of one class")
        if len(set(words)) != len(words):
            raise TokenizerError("tokenizer file: 'words' must be distinct")
        specials = specials_of(record, len(words))
        return WordTokenizer(field(record, "name", str), words, specials)


tokenizers.register(KIND)(WordBuilder())
