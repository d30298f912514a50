"""What a generator is, and the registry of them.

Knows no generator and no file format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.data.jsonl import Message
from engine.datagen.draw import Draw
from engine.registry import Registry

#: A text that ends with a newline and holds no blank line, or a conversation.
Document = str | tuple[Message, ...]


@dataclass(frozen=True)
class Request:
    """What a generator is asked for: its seed, and the text it is to work on."""

    seed: int = 1337
    data: Path | None = None


@dataclass(frozen=True)
class Generator:
    """A named stream of documents.

    documents   the stream for a request: endless, or as long as the data allows
    version     raised whenever the same request would give other documents
    chat        documents are conversations, written as JSONL
    needs_data  it works on a text file
    """

    title: str
    documents: Callable[[Request], Iterator[Document]]
    version: int = 1
    chat: bool = False
    needs_data: bool = False


generators: Registry[Generator] = Registry("generator")


def endless(
    document: Callable[[Draw], Document],
) -> Callable[[Request], Iterator[Document]]:
    """The stream whose document number i is `document(Draw(seed, i))`."""

    def documents(request: Request) -> Iterator[Document]:
        index = 0
        while True:
            yield document(Draw(request.seed, index))
            index += 1

    return documents
