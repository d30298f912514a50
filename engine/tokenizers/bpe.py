"""Byte-level byte-pair encoding: any bytes in, the same bytes out.

Knows ids. How a text falls into pieces is `pretokenize`'s business, how merges are
learnt `merges`'.

    ids                      are
    0 .. 255                 the bytes
    256 .. 255 + merges      what the merges make, in the order in which they were
                             learnt; a merge of lower id goes first
    the last ones            the special tokens
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from engine.errors import TokenizerError
from engine.tokenizers.base import (
    Ids,
    Text,
    Tokenizer,
    field,
    specials_of,
    tokenizers,
)
from engine.tokenizers.merges import BYTES, learn_merges
from engine.tokenizers.pretokenize import (
    LONGEST_PIECE,
    RULE,
    as_bytes,
    as_characters,
    pieces,
)
from engine.tokenizers.special import CHAT_SPECIALS, END_OF_TEXT

KIND = "bpe"

#: Distinct pieces whose ids are kept; then it starts anew, to bound the memory.
CACHED_PIECES = 1 << 20

#: The bytes of the longest piece, so of the longest token: UTF-8 takes four at most.
LONGEST_TOKEN = 4 * LONGEST_PIECE

#: Above every id: the rank of a pair that no merge joins.
_NEVER = 1 << 31

Merges = Sequence[tuple[int, int]]


class BpeTokenizer(Tokenizer):
    """Byte-level BPE. Merge i makes id 256 + i of the ids of its pair."""

    kind = KIND

    def __init__(self, name: str, merges: Merges, specials: Sequence[str]) -> None:
        self.merges = tuple(merges)
        ordinary = [bytes([byte]) for byte in range(BYTES)]
        for left, right in self.merges:
            ordinary.append(ordinary[left] + ordinary[right])
        super().__init__(name, ordinary, specials)
        self._ids_of = _PieceIds(self.merges)

    def encode_ordinary(self, text: Text, at: int = 0) -> Ids:
        """The ids of any text or bytes: (tokens,) int32.

        Raises TokenizerError for a `str` with half a surrogate pair.
        """
        ids_of = self._ids_of.__getitem__
        chunks = [
            b"".join(map(ids_of, found)) for found in pieces(as_characters(text, at))
        ]
        return np.frombuffer(bytearray().join(chunks), dtype=np.int32)

    def content(self) -> dict[str, Any]:
        return {"pretokenizer": RULE, "merges": [list(pair) for pair in self.merges]}


class _PieceIds(dict[str, bytes]):
    """Piece -> its ids as int32, one after the other; worked out when first asked."""

    def __init__(self, merges: Merges) -> None:
        super().__init__()
        self._rank = {pair: BYTES + index for index, pair in enumerate(merges)}

    def __missing__(self, piece: str) -> bytes:
        if len(self) >= CACHED_PIECES:
            self.clear()
        ids = self[piece] = array("i", self._merge(list(as_bytes(piece)))).tobytes()
        return ids

    def _merge(self, ids: list[int]) -> list[int]:
        """`ids` after all merges: each time the lowest id, of several the leftmost."""
        rank = self._rank
        ranks = [rank.get(pair, _NEVER) for pair in pairwise(ids)]
        while ranks and (lowest := min(ranks)) != _NEVER:
            at = ranks.index(lowest)
            ids[at : at + 2] = [lowest]
            del ranks[at]
            if at < len(ranks):
                ranks[at] = rank.get((lowest, ids[at + 1]), _NEVER)
            if at > 0:
                ranks[at - 1] = rank.get((ids[at - 1], lowest), _NEVER)
        return ids


@dataclass(frozen=True)
class BpeBuilder:
    """Learns byte-level BPE from texts.

    vocab_size  the size that the name stands for, special tokens included
    specials    the special tokens it has in any case
    """

    name: str
    vocab_size: int
    specials: tuple[str, ...] = (END_OF_TEXT,)
    version: int = 1

    def build(
        self,
        texts: Iterable[Text],
        vocab_size: int = 0,
        *,
        specials: Sequence[str] = (),
    ) -> BpeTokenizer:
        """Merges learnt from `texts`; no merge reaches from one text into another.

        Raises TokenizerError for a size that leaves no room for all bytes and special
        tokens, and for one larger than the texts allow.
        """
        wanted = vocab_size or self.vocab_size
        special = tuple(dict.fromkeys((*specials, *self.specials)))
        least = BYTES + len(special)
        if wanted < least:
            raise TokenizerError(
                f"a vocabulary of {wanted} is too small: {BYTES} bytes and "
                f"{len(special)} special tokens make {least} at least"
            )
        merges = learn_merges(count_pieces(texts), wanted - least)
        if len(merges) < wanted - least:
            raise TokenizerError(
                f"a vocabulary of {wanted} is larger than this text allows: "
                f"it gives {least + len(merges)} at most"
            )
        return BpeTokenizer(self.name, merges, special)

    def load(self, record: Mapping[str, Any]) -> BpeTokenizer:
        """The tokenizer whose `to_json` is `record`. Raises TokenizerError."""
        if record.get("pretokenizer") != RULE:
            raise TokenizerError(
                f"tokenizer file: pretokenizer {record.get('pretokenizer')!r} is "
                f"unknown; this program knows {RULE!r}"
            )
        merges = checked_merges(field(record, "merges", list))
        specials = specials_of(record, BYTES + len(merges))
        return BpeTokenizer(field(record, "name", str), merges, specials)


def count_pieces(texts: Iterable[Text]) -> dict[bytes, int]:
    """The distinct pieces of `texts` and how often each occurs."""
    counts: Counter[str] = Counter()
    for text in texts:
        for found in pieces(as_characters(text)):
            counts.update(found)
    return {as_bytes(piece): count for piece, count in counts.items()}


def checked_merges(rows: list[Any]) -> list[tuple[int, int]]:
    """The merges of an artifact. Raises TokenizerError for what cannot be merges."""
    merges: dict[tuple[int, int], None] = {}
    lengths = [1] * BYTES
    for index, row in enumerate(rows):
        match row:
            case [int(left), int(right)] if 0 <= min(row) <= max(row) < len(lengths):
                merges[left, right] = None
                lengths.append(lengths[left] + lengths[right])
            case _:
                raise TokenizerError(
                    f"tokenizer file: merge {index} must be two ids below "
                    f"{len(lengths)}, not {row!r}"
                )
        if len(merges) != index + 1:
            raise TokenizerError(f"tokenizer file: merge {index} repeats another")
        if lengths[-1] > LONGEST_TOKEN:
            raise TokenizerError(
                f"tokenizer file: merge {index} makes {lengths[-1]} bytes; no piece of "
                f"text has more than {LONGEST_TOKEN}"
            )
    return list(merges)


for _builder in (
    BpeBuilder(KIND, 2_000),
    BpeBuilder("bpe-4k", 4_000),
    BpeBuilder("bpe-8k", 8_000),
    BpeBuilder("bpe-16k", 16_000),
    BpeBuilder("bpe-32k", 32_000),
    BpeBuilder("bpe-64k", 64_000),
    BpeBuilder("bpe-chat-4k", 4_000, CHAT_SPECIALS),
):
    tokenizers.register(_builder.name)(_builder)
