"""What every tokenizer is, and the registry that third parties add theirs to.

Knows special tokens, ids and bytes. Knows no way of cutting text: that is the part
each kind brings (`encode_ordinary`).
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import TokenizerError
from engine.registry import Registry
from engine.storage import replace_file, to_json

Ids = NDArray[np.int32]
Text = str | bytes

#: What `to_json` writes first: how a reader knows the file and its rules.
FORMAT = "alpha-tokenizer"
FORMAT_VERSION = 1


class Tokenizer(ABC):
    """Ids for text. Immutable: the same text gives the same ids for ever.

    A subclass sets `kind`, gives the bytes of every ordinary token to `__init__`, and
    implements `encode_ordinary` and `content`. Special tokens follow the ordinary
    ones, in the order given.
    """

    kind: ClassVar[str]

    def __init__(
        self, name: str, ordinary: Sequence[bytes], specials: Sequence[str] = ()
    ) -> None:
        check_specials(specials)
        self.name = name
        self.special_tokens: dict[str, int] = {
            token: len(ordinary) + index for index, token in enumerate(specials)
        }
        self._bytes = [*ordinary, *(token.encode() for token in specials)]
        longest_first = sorted(specials, key=lambda token: (-len(token), token))
        spelled = "|".join(re.escape(token) for token in longest_first)
        self._special_text = re.compile(f"({spelled})")
        self._special_bytes = re.compile(f"({spelled})".encode())

    @property
    def vocab_size(self) -> int:
        """How many ids there are; they are 0 .. vocab_size - 1."""
        return len(self._bytes)

    @abstractmethod
    def encode_ordinary(self, text: Text, at: int = 0) -> Ids:
        """The ids of `text`, none of them special: (tokens,) int32, writable.

        `at` is where in the caller's text this part begins, for errors. Raises
        TokenizerError for text outside the vocabulary.
        """

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """What, with the special tokens, decides every id: JSON's own types."""

    def encode(self, text: Text, *, special: bool = False) -> Ids:
        """The ids of `text`: (tokens,) int32.

        By default the spelling of a special token is ordinary text. With `special`
        it becomes the special token's id, and nothing is merged across it. `bytes`
        are UTF-8, except that byte-level BPE takes any. Raises TokenizerError for
        text outside the vocabulary.
        """
        if not special or not self.special_tokens:
            return self.encode_ordinary(text)
        parts = [np.empty(0, dtype=np.int32)]
        at = 0
        for index, part in enumerate(self._split(text)):
            if index % 2:
                token = part if isinstance(part, str) else part.decode()
                parts.append(np.array([self.special_tokens[token]], dtype=np.int32))
            elif part:
                parts.append(self.encode_ordinary(part, at))
            at += len(part)
        return np.concatenate(parts)

    def _split(self, text: Text) -> Iterator[Text]:
        """Ordinary text and special tokens by turns, ordinary text first."""
        if isinstance(text, str):
            yield from self._special_text.split(text)
        else:
            yield from self._special_bytes.split(text)

    def token_bytes(self, token: int) -> bytes:
        """What id `token` stands for. Raises TokenizerError for no such id."""
        if not 0 <= token < self.vocab_size:
            raise self._no_such_id(token)
        return self._bytes[token]

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        """The bytes that `ids` (tokens,) stand for, special tokens spelled out.

        Raises TokenizerError for what is not an id of this vocabulary.
        """
        array = np.asarray(ids)
        if array.size == 0:
            return b""
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise TokenizerError(
                f"ids must be a list of whole numbers, not {array.dtype} of shape "
                f"{array.shape}"
            )
        if array.min() < 0 or array.max() >= self.vocab_size:
            wrong = array[(array < 0) | (array >= self.vocab_size)]
            raise self._no_such_id(int(wrong[0]))
        return b"".join(map(self._bytes.__getitem__, array.tolist()))

    def decode(self, ids: ArrayLike) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hexadecimal, of all that decides the ids (so not of the name).

        Two tokenizers of one fingerprint encode and decode alike.
        """
        record = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "kind": self.kind,
            "special_tokens": self.special_tokens,
            **self.content(),
        }
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The artifact; `engine.tokenizers.from_json` reads it back."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "kind": self.kind,
            "name": self.name,
            "vocab_size": self.vocab_size,
            "fingerprint": self.fingerprint,
            "special_tokens": self.special_tokens,
            **self.content(),
        }

    def save(self, path: Path) -> None:
        """Write tokenizer.json whole or not at all. Raises StorageError."""
        replace_file(path, to_json(self.to_json()))

    def _no_such_id(self, token: int) -> TokenizerError:
        return TokenizerError(
            f"id {token} is not in the vocabulary of tokenizer {self.name}: "
            f"ids are 0 to {self.vocab_size - 1}"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.vocab_size} tokens>"


class Builder(Protocol):
    """Makes tokenizers of one name. What `tokenizers.register` takes."""

    @property
    def version(self) -> int:
        """To be raised when `build` gives other tokenizers than before (caches)."""
        ...

    def build(
        self,
        texts: Iterable[Text],
        vocab_size: int = 0,
        *,
        specials: Sequence[str] = (),
    ) -> Tokenizer:
        """A tokenizer for `texts`, of exactly `vocab_size` ids (0: as by name).

        `specials` are the special tokens it must have at least. Raises
        TokenizerError for texts that do not allow such a vocabulary.
        """
        ...

    def load(self, record: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer whose `to_json` is `record`. Raises TokenizerError."""
        ...


#: name -> builder. The name that is a tokenizer's `kind` also loads its artifacts.
tokenizers: Registry[Builder] = Registry("tokenizer")


def check_specials(specials: Sequence[str]) -> None:
    """Raise TokenizerError for special tokens that cannot be told apart."""
    for token in specials:
        if not token:
            raise TokenizerError("a special token must not be empty")
    if len(set(specials)) != len(specials):
        raise TokenizerError(f"special tokens must differ: {', '.join(specials)}")


def as_utf8(text: Text, name: str, at: int = 0) -> str:
    """`text` as characters, for tokenizers that know nothing else.

    Raises TokenizerError for bytes that are not UTF-8 and for half a surrogate pair.
    """
    try:
        if isinstance(text, str):
            if not text.isascii():
                text.encode()
            return text
        return text.decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"byte 0x{error.object[error.start]:02x} at position {at + error.start} "
            f"is not UTF-8: tokenizer {name} takes text, byte-level bpe any bytes"
        ) from None
    except UnicodeEncodeError as error:
        raise half_pair(error, at) from None


def half_pair(error: UnicodeEncodeError, at: int = 0) -> TokenizerError:
    """The error for half a surrogate pair, which is no character of any text."""
    code = ord(error.object[error.start])
    return TokenizerError(
        f"U+{code:04X} at position {at + error.start} is half a surrogate pair, "
        "not a character"
    )


def field(record: Mapping[str, Any], name: str, kind: type) -> Any:
    """A field of an artifact. Raises TokenizerError when missing or of another type."""
    value = record.get(name)
    if not isinstance(value, kind):
        raise TokenizerError(f"tokenizer file: {name!r} must be a {kind.__name__}")
    return value


def specials_of(record: Mapping[str, Any], ordinary: int) -> list[str]:
    """The special tokens of an artifact that has so many `ordinary` tokens."""
    found = field(record, "special_tokens", dict)
    if list(found.values()) != list(range(ordinary, ordinary + len(found))):
        raise TokenizerError(
            f"tokenizer file: 'special_tokens' must have the ids from {ordinary} on"
        )
    return list(found)
