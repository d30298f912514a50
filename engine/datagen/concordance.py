"""A concordance of any text: every occurrence of every word, in its context.

    harbor (2)
              the boats that lay in the [harbor] were all painted blue, and
          a light at the mouth of the [harbor] told the pilots where to

An entry is a document; the words come in alphabetical order, each at least twice in
the text. A word with very many occurrences has several entries, one after the other.

Memory does not grow with the text beyond its vocabulary: positions are gathered for
as many words at a time as fit a budget, the text is read again for the next ones.
"""

from __future__ import annotations

import mmap
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.data.textfile import in_pieces, open_bytes, read_text
from engine.datagen.generator import Generator, Request, generators
from engine.errors import DataError

#: Letters of any script, with apostrophes inside.
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

#: Characters of context on either side.
CONTEXT = 36

#: Lines of one entry, and positions held at a time.
LINES = 500
BUDGET = 1 << 22

LEAST = 2
_BOM_BYTES = b"\xef\xbb\xbf"


def entries(path: Path, budget: int = BUDGET) -> Iterator[str]:
    """The concordance of a text file, entry by entry. Raises DataError."""
    counts = Counter(word for word, _ in _words(path))
    frequent = sorted(word for word, count in counts.items() if count >= LEAST)
    if not frequent:
        raise DataError(f"{path}: no word occurs {LEAST} times")
    with (
        open_bytes(path) as handle,
        mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        for group in _groups(frequent, counts, budget):
            places: dict[str, array[int]] = {word: array("Q") for word in group}
            for word, place in _words(path):
                if word in places:
                    places[word].append(place)
            for word in group:
                yield from _entry(word, places.pop(word), text)


def _groups(words: list[str], counts: Counter[str], budget: int) -> Iterator[list[str]]:
    """The words in order, in groups of at most `budget` occurrences where possible."""
    group: list[str] = []
    held = 0
    for word in words:
        if group and held + counts[word] > budget:
            yield group
            group, held = [], 0
        group.append(word)
        held += counts[word]
    yield group


def _entry(word: str, places: array[int], text: mmap.mmap) -> Iterator[str]:
    for first in range(0, len(places), LINES):
        lines = [f"{word} ({len(places)})"]
        lines += [context(text, place) for place in places[first : first + LINES]]
        yield "\n".join(lines) + "\n"


def context(text: mmap.mmap, place: int) -> str:
    """The line of the word that begins at byte `place`, cut to CONTEXT either side."""
    reach = 4 * CONTEXT
    before = text[max(0, place - reach) : place].decode(errors="ignore")
    after = text[place : place + 2 * reach].decode(errors="ignore")
    match = WORD.match(after)
    word = match.group() if match else after
    left = _one_line(before.removeprefix("\ufeff"))[-CONTEXT:]
    right = _one_line(after[len(word) :])[:CONTEXT]
    return f"{left:>{CONTEXT}}[{word}]{right}".rstrip()


def _one_line(text: str) -> str:
    """White space as single spaces, at the ends as well."""
    return " ".join(f"|{text}|".split())[1:-1]


def _words(path: Path) -> Iterator[tuple[str, int]]:
    """Every word, folded to one case, with the byte it begins at."""
    with open_bytes(path) as handle:
        base = len(_BOM_BYTES) if handle.read(3) == _BOM_BYTES else 0
    for piece in in_pieces(read_text(path), str(path)):
        starts = _byte_offsets(piece)
        for match in WORD.finditer(piece):
            yield match.group().casefold(), base + int(starts[match.start()])
        base += int(starts[-1])


def _byte_offsets(text: str) -> NDArray[np.int64]:
    """Where each character begins in UTF-8, and where the last ends: (n + 1,) int64."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    sizes = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))


def _documents(request: Request) -> Iterator[str]:
    if request.data is None:
        raise DataError("a concordance is made of a text file: name one")
    yield from entries(request.data)


generators.register("concordance")(
    Generator("every word of a text file in its context", _documents, needs_data=True)
)
