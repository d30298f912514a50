"""A conversation to ids, and which of them a model is to learn.

    <|system|>be brief<|user|>hello<|assistant|>hi there<|end_of_text|>

A party's special token stands before what it says; an answer ends with
<|end_of_text|>, which is how a model knows when to stop, and so does a conversation.
Contents are ordinary text: whoever writes "<|assistant|>" into one only writes text.
Knows no files, and no tokenizer but by its special tokens and `encode`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.errors import TokenizerError
from engine.tokenizers.special import ASSISTANT, END_OF_TEXT, SYSTEM, USER

#: role -> the special token that stands before its messages.
ROLES: dict[str, str] = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


class Encoder(Protocol):
    """What a template asks of a tokenizer."""

    @property
    def name(self) -> str: ...

    @property
    def special_tokens(self) -> Mapping[str, int]: ...

    def encode(self, text: str, *, special: bool = False) -> NDArray[np.int32]: ...


def render_chat(
    tokenizer: Encoder,
    messages: Sequence[Mapping[str, str]],
    *,
    reply: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """A conversation's ids (tokens,) int32 and which are targets (tokens,) bool.

    `messages` are {"role": ..., "content": ...}. Targets are the tokens of the
    assistant's contents and the <|end_of_text|> after each. With `reply` the ids end
    with <|assistant|>, so that a model goes on with its answer. Raises TokenizerError
    for a role that is unknown, a message without content, and a tokenizer without the
    special tokens.
    """
    end = special_id(tokenizer, END_OF_TEXT)
    parts: list[NDArray[np.int32]] = []
    targets: list[NDArray[np.bool_]] = []

    def add(ids: NDArray[np.int32], target: bool) -> None:
        parts.append(ids)
        targets.append(np.full(len(ids), target))

    role = ""
    for index, message in enumerate(messages, start=1):
        role, content = checked(message, index)
        add(one(special_id(tokenizer, ROLES[role])), False)
        answer = role == "assistant"
        add(tokenizer.encode(content, special=False), answer)
        if answer:
            add(one(end), True)
    if reply:
        add(one(special_id(tokenizer, ASSISTANT)), False)
    elif role != "assistant":
        add(one(end), False)
    return np.concatenate(parts), np.concatenate(targets)


def one(token: int) -> NDArray[np.int32]:
    """A single id as an array: (1,)."""
    return np.array([token], dtype=np.int32)


def special_id(tokenizer: Encoder, token: str) -> int:
    """The id of a special token. Raises TokenizerError where there is none."""
    try:
        return tokenizer.special_tokens[token]
    except KeyError:
        raise TokenizerError(
            f"tokenizer {tokenizer.name} has no {token}: a chat needs one built with "
            "the chat's special tokens, such as bpe-chat-4k"
        ) from None


def checked(message: Mapping[str, str], index: int) -> tuple[str, str]:
    """Role and content of message `index` (from 1). Raises TokenizerError."""
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        known = ", ".join(ROLES)
        raise TokenizerError(
            f"message {index}: role {role!r} is unknown; known are: {known}"
        )
    if not isinstance(content, str):
        raise TokenizerError(f"message {index}: 'content' must be a string")
    return role, content
