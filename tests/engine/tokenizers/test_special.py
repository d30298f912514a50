from __future__ import annotations

import pytest

from engine.tokenizers import CHAT_SPECIALS, END_OF_TEXT, specials_for


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("text", ()), ("documents", (END_OF_TEXT,)), ("chat", CHAT_SPECIALS)],
)
def test_a_source_needs_what_its_kind_needs(
    kind: str, expected: tuple[str, ...]
) -> None:
    assert specials_for(kind) == expected
    assert (END_OF_TEXT in expected) == (kind != "text")
