r"""The rule by which byte-level BPE cuts a text into pieces; merges stay inside one.

Knows characters. Knows no bytes, ids or merges.

It is GPT-2's rule (Radford et al. 2019, section 2.2) with four changes, each for a
reason. Every character has one of four classes; a text falls into the longest pieces
that these alternatives give from left to right:

    1  ' and one or two letters, between letters and a non-letter: don't -> don 't
    2  a space, if there is one, and up to 64 letters, 64 digits or 64 symbols
    3  blanks, a line's end, and all white space that follows (128 at most)
    4  up to 64 blanks, without the last one where no blank follows
    5  up to 64 blanks

- Rule 1 looks at what stands before the apostrophe, so that the opening quote of
  'spam' is a symbol. GPT-2 tears 'spam' into 's and pam.
- Rule 3 leaves no space of an indentation to the first word of the line, so that this
  word is the same token whether or not the line is indented.
- Classes are a table here, not Unicode's properties: these change with each edition,
  and a tokenizer must not change with the edition of Python. Whatever the table does
  not name is a letter: combining marks stay with what they belong to.
- Pieces are bounded, so that no text costs more than linear time.

A place where white space follows anything else is always a cut, and no rule looks
across it: a text cut there gives the same pieces as the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.tokenizers.base import Text, half_pair

#: Goes into artifacts: pieces of another rule are pieces of another tokenizer.
RULE = "alpha-1"

LINE_END = r"\r\n"
BLANK = r"\t\x0b\x0c\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
DIGIT = "0-9"
SYMBOL = (
    r"!-/:-@\[-`{-~"  # ASCII, the underscore among them
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters
    r"\xa1-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u02c2-\u02df"  # Latin
    r"\u055a-\u055f\u0589-\u058f"  # Armenian
    r"\u05be\u05c0\u05c3\u05f3\u05f4"  # Hebrew
    r"\u0606-\u060f\u061b-\u061f\u066a-\u066d\u06d4"  # Arabic
    r"\u0964\u0965\u0e3f\u0e4f\u0e5a\u0e5b"  # Devanagari, Thai
    r"\u104a-\u104f\u1360-\u1368\u17d4-\u17db"  # Burmese, Ethiopic, Khmer
    r"\u2010-\u2027\u2030-\u205e\u2060-\u2bff\u2e00-\u2fff"  # dashes to dingbats
    r"\u3001-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30a0\u30fb"  # Chinese, ...
    r"\u3200-\u33ff\u4dc0-\u4dff"
    r"\ufe00-\ufe1f\ufe30-\ufe6f\ufff9-\uffff"  # variants, specials
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffee"  # wide
    r"\U0001f000-\U0001faff"  # emoji
)
LETTER = f"[^{LINE_END}{BLANK}{DIGIT}{SYMBOL}]"
WHITE = f"[{LINE_END}{BLANK}]"
BLACK = f"[^{LINE_END}{BLANK}]"

#: The longest run of one class in a piece, and the longest piece, in characters.
LONGEST_RUN = 64
LONGEST_PIECE = 128

# Where two spellings match alike, this is the one that Python's `re` runs faster.
_PIECE = re.compile(
    rf"'(?<={LETTER}'){LETTER}{{1,2}}(?!{LETTER})"
    rf"| ?(?:{LETTER}{LETTER}{{0,63}}|[{DIGIT}][{DIGIT}]{{0,63}}|[{SYMBOL}]{{1,64}})"
    rf"|[{BLANK}]{{0,63}}[{LINE_END}]{WHITE}{{0,64}}"
    rf"|[{BLANK}]{{1,64}}(?!{BLACK})"
    rf"|[{BLANK}]{{1,64}}"
)
_CUT = re.compile(rf"{BLACK}(?={WHITE})")

#: Characters taken at a time: bounds the memory that pieces of a long text take.
CHUNK = 1 << 20


def chunks(text: str, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    """From where to where `text` can be taken apart by itself, about `size` each.

    Every part but the last ends where white space follows something else.
    """
    start = 0
    while start < len(text):
        cut = _CUT.search(text, start + size - 1)
        stop = cut.end() if cut else len(text)
        yield start, stop
        start = stop


def pieces(text: str, chunk: int = CHUNK) -> Iterator[list[str]]:
    """The pieces of `text` in order, in lists of about `chunk` characters.

    All pieces, one after the other, are `text`.
    """
    for start, stop in chunks(text, chunk):
        yield _PIECE.findall(text, start, stop)


def as_characters(text: Text, at: int = 0) -> str:
    """`text` as the characters that the rule sees.

    Bytes that are not UTF-8 become U+DC80 .. U+DCFF (PEP 383), which `as_bytes` turns
    back and the rule takes for letters. Raises TokenizerError for a text that holds
    half a surrogate pair; `at` is added to its position.
    """
    if isinstance(text, bytes):
        return text.decode("utf-8", "surrogateescape")
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        raise half_pair(error, at) from None
    return text


def as_bytes(piece: str) -> bytes:
    """The bytes that `as_characters` made a piece of."""
    return piece.encode("utf-8", "surrogateescape")
