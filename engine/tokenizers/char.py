"""A vocabulary of characters: each of the text's own, in the order of their codes.

Knows characters (code points). Takes no others than those it was built from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

KIND = "char"

_UNKNOWN = -1


class CharTokenizer(Tokenizer):
    """One id for each character of `characters`, in that order."""

    kind = KIND

    def __init__(
        self, name: str, characters: str, specials: Sequence[str] = ()
    ) -> None:
        super().__init__(name, [char.encode() for char in characters], specials)
        self.characters = characters
        codes = code_points(characters)
        # One place more than the highest code, for all codes above it.
        self._id_of = np.full(int(codes.max(initial=0)) + 2, _UNKNOWN, dtype=np.int32)
        self._id_of[codes] = np.arange(len(codes), dtype=np.int32)

    def encode_ordinary(self, text: Text, at: int = 0) -> Ids:
        """One id a character: (characters,) int32.

        Raises TokenizerError for a character outside the vocabulary, and for bytes
        that are not UTF-8.
        """
        characters = as_utf8(text, self.name, at)
        codes = code_points(characters)
        ids: Ids = self._id_of[np.minimum(codes, len(self._id_of) - 1)]
        if len(ids) and ids.min() == _UNKNOWN:
            place = int(np.argmin(ids))
            char = characters[place]
            raise TokenizerError(
                f"character {char!r} (U+{ord(char):04X}) at position {at + place} is "
                f"not in the vocabulary of tokenizer {self.name} "
                f"({len(self.characters)} characters)"
            )
        return ids

    def content(self) -> dict[str, Any]:
        return {"characters": self.characters}


def code_points(text: str) -> NDArray[np.uint32]:
    """The code of every character: (characters,) uint32."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


@dataclass(frozen=True)
class CharBuilder:
    """Takes the characters of texts as a vocabulary."""

    name: str = KIND
    version: int = 1

    def build(
        self,
        texts: Iterable[Text],
        vocab_size: int = 0,
        *,
        specials: Sequence[str] = (),
    ) -> CharTokenizer:
        """The distinct characters of `texts`, and `specials`.

        Raises TokenizerError for texts that are empty, and for any other size than
        the one that this makes.
        """
        found: set[str] = set()
        for text in texts:
            found.update(as_utf8(text, self.name))
        check_size(self.name, vocab_size, len(found), len(specials))
        return CharTokenizer(self.name, "".join(sorted(found)), specials)

    def load(self, record: Mapping[str, Any]) -> CharTokenizer:
        """The tokenizer whose `to_json` is `record`. Raises TokenizerError."""
        characters = as_utf8(field(record, "characters", str), self.name)
        if not characters or len(set(characters)) != len(characters):
            raise TokenizerError("tokenizer file: 'characters' must be distinct")
        specials = specials_of(record, len(characters))
        return CharTokenizer(field(record, "name", str), characters, specials)


def check_size(name: str, wanted: int, found: int, specials: int) -> None:
    """Raise TokenizerError unless `wanted` (0: any) is what the text makes."""
    if found == 0:
        raise TokenizerError(f"tokenizer {name}: the text is empty, nothing to learn")
    size = found + specials
    if wanted not in (0, size):
        relation = "larger than this text allows" if wanted > size else "too small"
        raise TokenizerError(
            f"a vocabulary of {wanted} is {relation}: a {name} vocabulary of it has "
            f"{size} entries, no more and no less"
        )


tokenizers.register(KIND)(CharBuilder())
