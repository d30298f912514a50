"""Which text trains and which validates.

Knows digests and sizes of documents. Knows nothing about tokens or files.

    documents    a document validates when its hash, seeded, falls below the fraction:
                 adding documents moves no other, and equal documents stay together
    contiguous   the last part validates; a single text is cut inside, several
                 documents between two of them
    auto         contiguous for a plain text and for a single document, else documents
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.data.source import Kind, Piece, Source
from engine.errors import DataError

Rule = Literal["documents", "contiguous"]
Side = Literal["train", "val"]

SIDES: tuple[Side, Side] = ("train", "val")
DIGEST_BYTES = 32
_RANGE = 1 << 64


@dataclass(frozen=True)
class Scan:
    """What one reading of a source found.

    digest      of all documents in order, hexadecimal
    documents   how many have text
    bytes       of their text in UTF-8 (of a conversation: its messages' contents)
    characters  of the same
    seed, val_fraction  what the split by hash was asked with
    validates   (documents,) bool: the document falls to the validation side
    """

    digest: str
    documents: int
    bytes: int
    characters: int
    seed: int
    val_fraction: float
    validates: NDArray[np.bool_]


class ContentDigest:
    """The digest of a source out of its pieces: one of documents' digests."""

    def __init__(self, kind: Kind) -> None:
        self._total = hashlib.blake2b(kind.encode(), digest_size=DIGEST_BYTES)
        self._document = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def add(self, piece: Piece) -> bytes | None:
        """Take a piece in; the document's digest when it is whole."""
        self._document.update(piece.content())
        if not piece.last:
            return None
        digest = self._document.digest()
        self._total.update(digest)
        self._document = hashlib.blake2b(digest_size=DIGEST_BYTES)
        return digest

    def hexdigest(self) -> str:
        """The digest of all documents that are whole so far."""
        return self._total.hexdigest()


def scan(source: Source, seed: int, val_fraction: float) -> Scan:
    """Read a source once. Raises DataError for one that holds no text."""
    content = ContentDigest(source.kind)
    values = array("Q")
    size = characters = 0
    for piece in source.pieces():
        digest = content.add(piece)
        size += len(piece.text.encode())
        characters += len(piece.text)
        if digest is not None:
            values.append(hash_value(digest, seed))
    if characters == 0:
        raise DataError(f"{source.name}: holds no text")
    return Scan(
        digest=content.hexdigest(),
        documents=len(values),
        bytes=size,
        characters=characters,
        seed=seed,
        val_fraction=val_fraction,
        validates=sides_by_hash(values, val_fraction),
    )


def hash_value(digest: bytes, seed: int) -> int:
    """Where a document lies in [0, 2**64), by its digest and the seed alone."""
    key = seed.to_bytes(16, "little", signed=True)
    hashed = hashlib.blake2b(digest, digest_size=8, key=key)
    return int.from_bytes(hashed.digest(), "little")


def sides_by_hash(values: array[int], val_fraction: float) -> NDArray[np.bool_]:
    """True where a document validates: (documents,) bool.

    With few documents chance may leave a side empty. Then the documents of the lowest
    value validate all the same (or those of the highest train).
    """
    hashes = np.frombuffer(values, dtype=np.uint64)
    validates = hashes < np.uint64(int(val_fraction * _RANGE))
    if not validates.any():
        validates = hashes == hashes.min()
    elif validates.all():
        validates = hashes != hashes.max()
    return validates


def choose_rule(source: Source, asked: str, documents: int) -> Rule:
    """The rule that `asked` (auto, documents, contiguous) means for this source."""
    if asked == "contiguous":
        return "contiguous"
    if asked == "documents":
        if source.kind == "text":
            raise DataError(
                f"{source.name}: a plain text has no documents to split by; "
                "use --split contiguous, or give JSONL or a folder"
            )
        return "documents"
    if source.kind == "text" or documents == 1:
        return "contiguous"
    return "documents"


@dataclass(frozen=True)
class SidedPiece:
    """A piece, the side it belongs to, and whether a document begins with it."""

    side: Side
    piece: Piece
    first: bool


def sided_pieces(source: Source, found: Scan, rule: Rule) -> Iterator[SidedPiece]:
    """The source's pieces, each with its side.

    Raises DataError where a rule cannot give both sides a document. A plain text too
    short for its cut shows as a side without pieces.
    """
    if rule == "documents":
        return _by_hash(source, found)
    cut = int(found.bytes * (1.0 - found.val_fraction))
    if found.documents > 1:
        return _between_documents(source, found, cut)
    return _inside_document(source, found, cut)


def _by_hash(source: Source, found: Scan) -> Iterator[SidedPiece]:
    if found.validates.all() or not found.validates.any():
        raise DataError(
            f"{source.name}: {_count(found)}, so that no split by documents leaves "
            "both sides some; give more, or use --split contiguous"
        )
    index, first = 0, True
    for piece in source.pieces():
        if index == found.documents:
            raise changed(source)
        yield SidedPiece(SIDES[int(found.validates[index])], piece, first)
        index, first = index + piece.last, piece.last


def _between_documents(source: Source, found: Scan, cut: int) -> Iterator[SidedPiece]:
    index, begun, first = 0, 0, True
    side: Side = "train"
    for piece in source.pieces():
        past = begun >= cut or index == found.documents - 1
        if first and index > 0 and past:
            side = "val"
        yield SidedPiece(side, piece, first)
        begun += len(piece.text.encode())
        index, first = index + piece.last, piece.last


def _inside_document(source: Source, found: Scan, cut: int) -> Iterator[SidedPiece]:
    """The text before byte `cut` trains, and a character that straddles it."""
    if source.kind == "chat":
        raise DataError(
            f"{source.name}: a single conversation cannot be split; give at least two"
        )
    begun, side, first = 0, SIDES[0], True
    for piece in source.pieces():
        data = piece.text.encode()
        place = cut - begun
        if side == "train" and place < len(data):
            while 0 < place < len(data) and data[place] & 0xC0 == 0x80:
                place += 1
            if place > 0:
                yield SidedPiece("train", Piece(data[:place].decode(), False), first)
            side, first = "val", True
            piece = Piece(data[place:].decode(), piece.last)
        if piece.text:
            yield SidedPiece(side, piece, first)
            first = False
        begun += len(data)


def changed(source: Source) -> DataError:
    """The error for a source that is not what its scan found."""
    return DataError(f"{source.name}: changed while it was read; run again")


def _count(found: Scan) -> str:
    if found.documents == 1:
        return "there is only one document"
    return f"all {found.documents} documents are equal"
