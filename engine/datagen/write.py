"""A corpus file out of a generator: streamed, counted, whole or absent.

Knows the two forms a corpus has. Knows no generator from inside.

    .jsonl       one {"text": ...} or {"messages": [...]} a line
    anything     the texts with a blank line between them (conversations refuse)
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.config import require
from engine.data.source import JSONL_ENDINGS
from engine.datagen.generator import Document, Generator, Request
from engine.errors import ConfigError, DataError, StorageError
from engine.storage import SCRAP, storage_errors, sync_folder, write_synced

#: Called with (documents, bytes) while a corpus grows.
Progress = Callable[[int, int], None]

#: Documents written when nobody says how many.
DOCUMENTS = 5000

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Written:
    """What a corpus file holds. `characters` are of its texts alone."""

    path: Path
    documents: int
    bytes: int
    characters: int


def write_corpus(
    name: str,
    generator: Generator,
    out: Path,
    request: Request,
    *,
    documents: int | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write at most `documents` documents, or as many whole ones as `size` bytes hold.

    With neither, DOCUMENTS of them; a generator that works on a text gives all it has.
    Raises ConfigError, DataError or StorageError, and `out` is then as it was.
    """
    _check_request(name, generator, out, request, documents, size)
    if documents is None and size is None and not generator.needs_data:
        documents = DOCUMENTS
    out = out.resolve()
    if out.exists() and not out.is_file():
        raise StorageError(f"cannot write {out}: it is not a regular file")
    corpus = _Corpus(generator, out, request, documents, size, progress)
    scrap = out.with_name(f"{SCRAP}{out.name}.{os.getpid()}")
    with storage_errors(out):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_synced(scrap, corpus.chunks())
            if corpus.documents == 0:
                raise _nothing_written(request, size)
            scrap.replace(out)
        except BaseException:
            with contextlib.suppress(OSError):
                scrap.unlink(missing_ok=True)
            raise
        sync_folder(out.parent)
    return Written(out, corpus.documents, corpus.bytes, corpus.characters)


def _check_request(
    name: str,
    generator: Generator,
    out: Path,
    request: Request,
    documents: int | None,
    size: int | None,
) -> None:
    for field, value in (("documents", documents), ("bytes", size)):
        require(value is None or value >= 1, field, value, "must be at least 1")
    require(request.seed >= 0, "seed", request.seed, "must be >= 0")
    if documents is not None and size is not None:
        raise ConfigError("bytes", size, "give either bytes or documents")
    if request.data is not None and request.data.resolve() == out.resolve():
        raise ConfigError("out", str(out), "would overwrite the text it is made of")
    if generator.chat and out.suffix.lower() not in JSONL_ENDINGS:
        raise ConfigError(
            "out", str(out), f"{name} is written as JSONL: name it .jsonl"
        )
    if generator.needs_data and request.data is None:
        raise ConfigError("data", None, f"{name} is made of a text file: name one")
    if not generator.needs_data and request.data is not None:
        raise ConfigError("data", str(request.data), f"{name} takes no text file")


def _nothing_written(request: Request, size: int | None) -> ConfigError | DataError:
    if size is not None:
        return ConfigError("bytes", size, "too few for a single document")
    return DataError(f"{request.data}: no word occurs often enough")


class _Corpus:
    """The bytes of a corpus, chunk by chunk, and what they hold so far."""

    def __init__(
        self,
        generator: Generator,
        out: Path,
        request: Request,
        limit: int | None,
        size: int | None,
        progress: Progress | None,
    ) -> None:
        self.documents = self.bytes = self.characters = 0
        stream = generator.documents(request)
        self._stream = itertools.islice(stream, limit)
        self._size = size
        self._jsonl = out.suffix.lower() in JSONL_ENDINGS
        self._progress = progress

    def chunks(self) -> Iterator[bytes]:
        held: list[bytes] = []
        waiting = 0
        for document in self._stream:
            data = self._line(document) if self._jsonl else self._block(document)
            if self._size is not None and self.bytes + len(data) > self._size:
                break
            self.documents += 1
            self.bytes += len(data)
            self.characters += _characters(document)
            held.append(data)
            waiting += len(data)
            if waiting >= _CHUNK:
                yield b"".join(held)
                held, waiting = [], 0
                if self._progress is not None:
                    self._progress(self.documents, self.bytes)
        yield b"".join(held)
        if self._progress is not None:
            self._progress(self.documents, self.bytes)

    def _line(self, document: Document) -> bytes:
        record: dict[str, object] = (
            {"text": document}
            if isinstance(document, str)
            else {"messages": [message.to_dict() for message in document]}
        )
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"

    def _block(self, document: Document) -> bytes:
        if not isinstance(document, str):
            raise TypeError("a conversation has no plain form")
        return ("\n" * (self.documents > 0) + document).encode()


def _characters(document: Document) -> int:
    if isinstance(document, str):
        return len(document)
    return sum(len(message.content) for message in document)
