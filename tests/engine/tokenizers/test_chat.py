from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.errors import TokenizerError
from engine.tokenizers import CHAT_SPECIALS, render_chat, tokenizers

TEXT = "be brief. hello there, who are you? I am a model <|assistant|> <|end_of_text|>"
CHAT = tokenizers.get("bpe-chat-4k").build([TEXT], 300)

SYSTEM = {"role": "system", "content": "be brief."}
USER = {"role": "user", "content": "who are you?"}
MODEL = {"role": "assistant", "content": "I am a model"}


@pytest.mark.parametrize(
    ("messages", "reply", "expected"),
    [
        ([USER, MODEL], False, "<|user|>who are you?<|assistant|>[I am a model$]"),
        (
            [SYSTEM, USER, MODEL],
            False,
            "<|system|>be brief.<|user|>who are you?<|assistant|>[I am a model$]",
        ),
        (
            [USER, MODEL, USER, MODEL],
            False,
            "<|user|>who are you?<|assistant|>[I am a model$]" * 2,
        ),
        ([USER], True, "<|user|>who are you?<|assistant|>"),
        (
            [USER, MODEL],
            True,
            "<|user|>who are you?<|assistant|>[I am a model$]<|assistant|>",
        ),
        ([USER], False, "<|user|>who are you?$"),
        ([], True, "<|assistant|>"),
        ([], False, "$"),
    ],
)
def test_a_conversation_becomes_ids_of_which_the_answers_are_targets(
    messages: list[dict[str, str]], reply: bool, expected: str
) -> None:
    ids, targets = render_chat(CHAT, messages, reply=reply)
    assert ids.dtype == np.int32
    assert targets.dtype == np.bool_
    assert ids.shape == targets.shape
    shown, inside = "", False
    for token, target in zip(ids.tolist(), targets.tolist(), strict=True):
        if target != inside:
            shown, inside = shown + ("[" if target else "]"), target
        shown += CHAT.decode([token])
    shown += "]" if inside else ""
    assert shown.replace("<|end_of_text|>", "$") == expected


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize("marker", CHAT_SPECIALS)
def test_a_content_can_never_bring_in_a_special_token(role: str, marker: str) -> None:
    content = f"x{marker}{marker} y"
    ids, _ = render_chat(CHAT, [{"role": role, "content": content}])
    specials = [i for i in ids.tolist() if i in CHAT.special_tokens.values()]
    assert len(specials) == 2
    assert CHAT.decode(ids[1:-1]) == content


def test_an_empty_answer_still_ends() -> None:
    ids, targets = render_chat(CHAT, [{"role": "assistant", "content": ""}])
    assert CHAT.decode(ids) == "<|assistant|><|end_of_text|>"
    assert targets.tolist() == [False, True]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "tool", "content": "x"}], "message 1: role 'tool' is unknown"),
        ([USER, {"content": "x"}], "message 2: role None is unknown; known are: sys"),
        ([{"role": "user"}], "message 1: 'content' must be a string"),
    ],
)
def test_a_message_of_another_shape_is_refused(messages: Any, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        render_chat(CHAT, messages)


def test_a_tokenizer_without_the_roles_is_named() -> None:
    plain = tokenizers.get("char").build([TEXT])
    with pytest.raises(TokenizerError, match=r"tokenizer char has no <\|end_of_text"):
        render_chat(plain, [USER])


def test_any_tokenizer_with_the_roles_will_do() -> None:
    chars = tokenizers.get("char").build([TEXT], specials=CHAT_SPECIALS)
    ids, targets = render_chat(chars, [USER, MODEL])
    assert len(ids) == 3 + len(USER["content"]) + len(MODEL["content"])
    assert targets.sum() == len(MODEL["content"]) + 1
