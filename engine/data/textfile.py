"""Strict UTF-8 text out of files of any size, in pieces that may be encoded alone.

Knows bytes and characters. Knows nothing about documents, tokens or splits.

A piece ends before white space that follows a letter or a digit, or before a space
that follows anything but white space. Pre-tokenizers (GPT-2's, GPT-4's, those of
engine.tokenizers) never make one token of both sides of such a place and do not look
across it, so that the tokens of the pieces, one after the other, are the tokens of
the whole text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from engine.errors import DataError

#: Bytes read at a time, and the characters a piece has at most where it can be cut.
PIECE = 1 << 20

#: Characters without a place to cut after which a text is refused.
LONGEST_PIECE = 1 << 24

BOM = "\ufeff"

_CUT = re.compile(r"(?<=[^\W_])[ \t\r\n]|(?<=\S) ")


def open_bytes(path: Path) -> BinaryIO:
    """Open a regular, readable file; DataError says why it cannot be."""
    try:
        if not path.is_file():
            reason = "not a regular file" if path.exists() else "no such file"
            raise DataError(f"{path}: {reason}")
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def read_block(handle: BinaryIO, path: Path, size: int) -> bytes:
    """At most `size` bytes; DataError names the file that a disk will not give."""
    try:
        return handle.read(size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def read_text(path: Path) -> Iterator[str]:
    """The file's text in blocks, a byte order mark taken off, nothing else changed.

    Raises DataError for a missing file and for broken UTF-8, naming the byte offset.
    """
    with open_bytes(path) as handle:
        base, rest = 0, b""
        while True:
            block = read_block(handle, path, PIECE)
            data = rest + block
            try:
                text, used = codecs.utf_8_decode(data, "strict", not block)
            except UnicodeDecodeError as error:
                raise broken_utf8(path, base, error) from None
            if base == 0 and text:
                text = text.removeprefix(BOM)
            if text:
                yield text
            if not block:
                return
            base, rest = base + used, data[used:]


def broken_utf8(path: Path, base: int, error: UnicodeDecodeError) -> DataError:
    """The error for a byte that is not UTF-8, `base` bytes after the file's start."""
    byte = error.object[error.start]
    offset = base + error.start
    hint = "save the file as UTF-8"
    if offset == 0 and error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        hint = "it looks like UTF-16; " + hint
    return DataError(
        f"{path}: not UTF-8 at byte {offset} (0x{byte:02x}: {error.reason}); {hint}"
    )


def in_pieces(
    blocks: Iterable[str],
    name: str,
    size: int = PIECE,
    longest: int = LONGEST_PIECE,
) -> Iterator[str]:
    """The text of `blocks` in pieces of about `size` characters, none of them empty.

    Raises DataError when `longest` characters hold no place to cut at: memory could
    not stay bounded.
    """
    buffer, done = "", 0
    for block in blocks:
        buffer += block
        while len(buffer) > size:
            cut = _place_to_cut(buffer, size)
            if cut == 0 and len(buffer) <= longest:
                break
            if cut == 0 or cut > longest:
                raise DataError(
                    f"{name}: the {longest} characters from character {done} on hold "
                    "no word that ends in white space; break the text into lines"
                )
            yield buffer[:cut]
            buffer, done = buffer[cut:], done + cut
    if buffer:
        yield buffer


def _place_to_cut(text: str, size: int) -> int:
    """The last place within `size` characters, else the first after, else 0."""
    reach = 1024
    while True:
        start = max(0, size - reach)
        places = [match.start() for match in _CUT.finditer(text, start, size)]
        if places:
            return places[-1]
        if start == 0:
            match = _CUT.search(text, size)
            return match.start() if match else 0
        reach *= 8
