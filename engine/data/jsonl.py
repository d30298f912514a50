"""JSONL: one JSON object a line, either {"text": ...} or {"messages": [...]}.

Knows JSON and the two shapes of a record. Knows nothing about tokens or splits.

Blank lines are passed over; keys besides the ones named are ignored, in a record and
in a message. Every other deviation is an error that names file and line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.data.textfile import broken_utf8, open_bytes
from engine.errors import DataError

#: Bytes a line may have; a longer one would not fit into bounded memory.
LONGEST_LINE = 1 << 26

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `role` is one of ROLES."""

    role: str
    content: str

    def to_dict(self) -> dict[str, str]:
        """The message as a chat file and a chat template spell it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Record:
    """One line: a text, or a conversation (then `messages` is not empty)."""

    line: int
    text: str = ""
    messages: tuple[Message, ...] = ()

    @property
    def is_chat(self) -> bool:
        return bool(self.messages)


def read_records(path: Path, longest_line: int = LONGEST_LINE) -> Iterator[Record]:
    """The file's records in order.

    Raises DataError, naming the line, for what is not a record, and where texts and
    conversations are mixed.
    """
    chat: bool | None = None
    with open_bytes(path) as handle:
        for number, line in _lines(handle, path, longest_line):
            record = parse_record(line, f"{path}, line {number}", number)
            if chat is None:
                chat = record.is_chat
            if record.is_chat != chat:
                expected = "messages" if chat else "text"
                raise DataError(
                    f"{path}, line {number}: the lines before hold {expected!r}; "
                    "a file is either all texts or all conversations"
                )
            yield record


def _lines(handle: BinaryIO, path: Path, longest: int) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of every line that is not blank."""
    number, base = 0, 0
    while True:
        try:
            raw = handle.readline(longest + 1)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        if not raw:
            return
        number += 1
        if len(raw) > longest:
            raise DataError(f"{path}, line {number}: longer than {longest} bytes")
        try:
            text = raw.decode("utf-8-sig" if base == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise broken_utf8(path, base, error) from None
        base += len(raw)
        if not text.isspace():
            yield number, text


def parse_record(line: str, where: str, number: int = 1) -> Record:
    """One line as a Record. Raises DataError that begins with `where`."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
        raise DataError(f"{where}: not JSON ({reason})") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: not a JSON object but {_kind(value)}")
    if ("text" in value) == ("messages" in value):
        found = ", ".join(map(repr, value)) or "none"
        raise DataError(
            f'{where}: expected one of the keys "text" and "messages", found {found}'
        )
    if "text" in value:
        return Record(number, text=_string(value["text"], where, '"text"'))
    return Record(number, messages=_messages(value["messages"], where))


def _messages(value: object, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f'{where}: "messages" must be a list of at least one message')
    messages = tuple(
        _message(item, f"{where}, message {index}")
        for index, item in enumerate(value, start=1)
    )
    if not any(message.role == "assistant" for message in messages):
        raise DataError(f"{where}: no message of the assistant, so nothing to learn")
    return messages


def _message(value: object, where: str) -> Message:
    if not isinstance(value, dict):
        raise DataError(f"{where}: not a JSON object but {_kind(value)}")
    for key in ("role", "content"):
        if key not in value:
            raise DataError(f'{where}: the key "{key}" is missing')
    role = _string(value["role"], where, '"role"')
    if role not in ROLES:
        known = ", ".join(ROLES)
        raise DataError(f"{where}: role {role!r} is unknown; known are: {known}")
    return Message(role, _string(value["content"], where, '"content"'))


def _string(value: object, where: str, name: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: {name} must be a string, not {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: {name} holds half a surrogate pair at character {error.start}"
        ) from None
    return value


def _kind(value: object) -> str:
    """What JSON calls a value that was not expected."""
    if value is None:
        return "null"
    kinds = ((bool, "a boolean"), (str, "a string"), (list, "a list"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    return "an object" if isinstance(value, dict) else "a number"
