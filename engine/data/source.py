"""Where text comes from: a text file, a folder or list of files, JSONL, chat JSONL.

Knows how a source falls into documents and documents into pieces. Knows nothing
about tokens, splits or caches.

    source          is read as                        kind
    text file       one document                      text
    folder          every file in it a document       documents
    .jsonl, text    every line a document             documents
    .jsonl, chat    every line a conversation         chat
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from engine.data.jsonl import Message, Record, read_records
from engine.data.textfile import in_pieces, open_bytes, read_text
from engine.errors import DataError

Kind = Literal["text", "documents", "chat"]

JSONL_ENDINGS = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Piece:
    """A part of a document that may be encoded by itself.

    text      the characters; of a conversation the contents of its messages
    last      no more pieces of this document follow
    messages  the conversation (a conversation is never cut)
    """

    text: str
    last: bool
    messages: tuple[Message, ...] = ()

    def content(self) -> bytes:
        """What hashes see of the piece: its text, or the canonical conversation."""
        if not self.messages:
            return self.text.encode()
        turns = [[message.role, message.content] for message in self.messages]
        return json.dumps(turns, ensure_ascii=False, separators=(",", ":")).encode()


class Source(Protocol):
    """Text that can be read more than once, always the same.

    name   what errors and records call it
    kind   text, documents or chat
    size   bytes on disk, to tell progress by
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def size(self) -> int: ...

    def pieces(self) -> Iterator[Piece]:
        """The documents' pieces in order; every document has at least one.

        A document without any text is passed over. Raises DataError.
        """
        ...


@dataclass(frozen=True)
class TextFile:
    """A plain text: one document."""

    path: Path
    kind: Kind = "text"

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        return _size(self.path)

    def pieces(self) -> Iterator[Piece]:
        return _pieces_of(read_text(self.path), self.name)


@dataclass(frozen=True)
class TextFiles:
    """Files of which each is a document, in the order given."""

    name: str
    paths: Sequence[Path]
    kind: Kind = "documents"

    @property
    def size(self) -> int:
        return sum(_size(path) for path in self.paths)

    def pieces(self) -> Iterator[Piece]:
        for path in self.paths:
            yield from _pieces_of(read_text(path), str(path))


@dataclass(frozen=True)
class TextLines:
    """A JSONL file of {"text": ...}: every line a document."""

    path: Path
    kind: Kind = "documents"

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        return _size(self.path)

    def pieces(self) -> Iterator[Piece]:
        for record in read_records(self.path):
            yield from _pieces_of([record.text], f"{self.path}, line {record.line}")


@dataclass(frozen=True)
class ChatLines:
    """A JSONL file of {"messages": [...]}: every line a conversation."""

    path: Path
    kind: Kind = "chat"

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        return _size(self.path)

    def pieces(self) -> Iterator[Piece]:
        for record in read_records(self.path):
            text = "".join(message.content for message in record.messages)
            yield Piece(text, last=True, messages=record.messages)


@dataclass(frozen=True)
class Texts:
    """Documents held in memory: for a library's user and for tests."""

    texts: Sequence[str]
    name: str = "texts"
    kind: Kind = "documents"
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(len(text) for text in self.texts))

    def pieces(self) -> Iterator[Piece]:
        for text in self.texts:
            yield from _pieces_of([text], self.name)


def open_source(path: str | os.PathLike[str]) -> Source:
    """The source at `path`, by what is there: a folder, a .jsonl file, a text file.

    Raises DataError for what is missing, empty, unreadable or of no known form.
    """
    place = Path(path)
    if place.is_dir():
        return open_folder(place)
    with open_bytes(place) as handle:
        if not handle.read(1):
            raise DataError(f"{place}: the file is empty; a text is needed")
    ending = place.suffix.lower()
    if ending == ".json":
        raise DataError(
            f"{place}: JSON is read one object a line, from a file named .jsonl"
        )
    if ending in JSONL_ENDINGS:
        return ChatLines(place) if _first(place).is_chat else TextLines(place)
    return TextFile(place)


def open_folder(folder: Path) -> TextFiles:
    """Every file in `folder` and below, a document each, in the order of the paths.

    Names that begin with a dot are passed over; links to folders are not followed.
    """
    paths = [
        Path(root, name)
        for root, folders, names in os.walk(folder, onerror=_unreadable)
        for name in names
        if not any(part.startswith(".") for part in _parts(Path(root, name), folder))
    ]
    if not paths:
        raise DataError(f"{folder}: the folder holds no files; texts are needed")
    for path in paths:
        if path.suffix.lower() in (*JSONL_ENDINGS, ".json"):
            raise DataError(
                f"{path}: a folder holds one text a file; give JSONL as a file"
            )
    return TextFiles(str(folder), sorted(paths, key=lambda path: path.as_posix()))


def texts(source: Source) -> Iterator[str]:
    """Every text of a source, piece by piece: what a tokenizer is built from."""
    for piece in source.pieces():
        if piece.messages:
            yield from (message.content for message in piece.messages)
        else:
            yield piece.text


def _pieces_of(blocks: Iterable[str], name: str) -> Iterator[Piece]:
    held: str | None = None
    for text in in_pieces(blocks, name):
        if held is not None:
            yield Piece(held, last=False)
        held = text
    if held is not None:
        yield Piece(held, last=True)


def _first(path: Path) -> Record:
    for record in read_records(path):
        return record
    raise DataError(f"{path}: no line holds a record")


def _parts(path: Path, folder: Path) -> tuple[str, ...]:
    return path.relative_to(folder).parts


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
