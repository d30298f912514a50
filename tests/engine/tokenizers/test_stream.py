from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TokenizerError
from engine.tokenizers import StreamDecoder, tokenizers

BPE = tokenizers.get("bpe").build(["日本語 naïve 😀 text"], 262)


@given(st.text() | st.binary())
def test_all_that_is_shown_is_the_decoded_text(text: str | bytes) -> None:
    ids = BPE.encode(text)
    decoder = StreamDecoder(BPE)
    shown = "".join(decoder.push(int(token)) for token in ids)
    assert shown + decoder.flush() == BPE.decode(ids)


@given(st.text())
def test_half_a_character_is_never_shown(text: str) -> None:
    decoder = StreamDecoder(BPE)
    shown = ""
    for byte in text.encode():
        shown += decoder.push(byte)
        assert text.startswith(shown)
    assert shown == text
    assert decoder.flush() == ""


def test_a_character_waits_for_its_last_byte() -> None:
    decoder = StreamDecoder(BPE)
    smile = "😀".encode()
    assert [decoder.push(byte) for byte in smile] == ["", "", "", "😀"]


def test_what_never_completes_shows_at_the_end_and_is_then_forgotten() -> None:
    decoder = StreamDecoder(BPE)
    assert decoder.push([0x61, 0xF0, 0x9F]) == "a"
    assert decoder.flush() == "\ufffd"
    assert decoder.push(0x62) == "b"


def test_bytes_that_are_no_text_show_as_soon_as_that_is_certain() -> None:
    assert StreamDecoder(BPE).push([0xFF, 0x61]) == "\ufffda"


def test_ids_come_singly_or_as_an_array() -> None:
    ids = BPE.encode("naïve text")
    decoder = StreamDecoder(BPE)
    assert decoder.push(ids[:3]) + decoder.push(ids[3]) + decoder.push(
        np.array(ids[4:])
    ) == ("naïve text")


def test_an_id_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(TokenizerError, match="id 262 is not in the vocabulary"):
        StreamDecoder(BPE).push(262)
