import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data import textfile
from engine.data.textfile import in_pieces, read_text
from engine.errors import DataError

# GPT-2's and GPT-4's pre-tokenizers, with Python's classes for \p{L} and \p{N}.
GPT2 = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
)
GPT4 = re.compile(
    r"'(?:[sdmt]|ll|ve|re)|(?:[^\r\n\w]|_)?[^\W\d_]+|\d{1,3}"
    r"| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write(tmp_path, data):
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    return path


@given(text=st.text(), block=st.integers(1, 9))
def test_text_comes_back_whatever_the_block_size(tmp_path_factory, text, block):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textfile, "PIECE", block)
        found = "".join(read_text(path))
    assert found == text.removeprefix("\ufeff")


BROKEN = [
    (b"\xff", 0, "0xff: invalid start byte"),
    (b"abc\x80def", 3, "0x80: invalid start byte"),
    (b"abc\xc3", 3, "unexpected end of data"),
    ("ü".encode() * 3 + b"\xe2\x82", 6, "unexpected end of data"),
    ("hi".encode("utf-16"), 0, "it looks like UTF-16; save the file as UTF-8"),
    (b"\xed\xa0\x80", 0, "invalid continuation byte"),
]


@pytest.mark.parametrize(("data", "offset", "words"), BROKEN)
def test_broken_utf8_names_the_byte_and_the_reason(tmp_path, data, offset, words):
    with pytest.raises(DataError, match=f"not UTF-8 at byte {offset} ") as caught:
        list(read_text(write(tmp_path, data)))
    assert words in str(caught.value)
    assert "text.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("data", "offset", "words"), BROKEN)
@pytest.mark.parametrize("block", [1, 2, 3])
def test_the_byte_is_counted_from_the_start_of_the_file(
    tmp_path, monkeypatch, data, offset, words, block
):
    monkeypatch.setattr(textfile, "PIECE", block)
    with pytest.raises(DataError, match=f"not UTF-8 at byte {offset} "):
        list(read_text(write(tmp_path, data)))


def test_line_ends_are_kept(tmp_path):
    assert "".join(read_text(write(tmp_path, b"a\r\nb\rc\n"))) == "a\r\nb\rc\n"


def test_what_is_not_a_regular_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        list(read_text(tmp_path / "absent"))
    with pytest.raises(DataError, match="not a regular file"):
        list(read_text(tmp_path))


WORDY = st.text(st.sampled_from("ab 1_.'\n\t\r-ü漢\u00a0"), max_size=120)


@given(text=WORDY, blocks=st.lists(st.integers(1, 40), max_size=8))
def test_pieces_are_the_text_in_parts_that_are_not_empty(text, blocks):
    parts, rest = [], text
    for length in blocks:
        parts.append(rest[:length])
        rest = rest[length:]
    pieces = list(in_pieces([*parts, rest], "text", size=7))
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize("rule", [GPT2, GPT4])
@given(text=WORDY)
def test_tokens_of_pieces_are_the_tokens_of_the_text(rule, text):
    pieces = in_pieces([text], "text", size=5)
    assert [t for piece in pieces for t in rule.findall(piece)] == rule.findall(text)


def test_a_text_with_words_is_cut_into_pieces_of_the_size_asked_for():
    pieces = list(in_pieces(["word " * 1000], "text", size=64))
    assert max(map(len, pieces)) <= 64
    assert len(pieces) < 90


def test_a_place_to_cut_is_found_far_back_in_the_piece():
    text = "word\n" + "." * 5000
    assert list(in_pieces([text], "text", size=4000)) == ["word", "\n" + "." * 5000]


def test_a_long_text_without_a_place_to_cut_is_refused():
    blocks = ["ok " * 10, *["." * 50] * 4]
    with pytest.raises(DataError, match="the 100 characters from character 29 on"):
        list(in_pieces(blocks, "dots.txt", size=20, longest=100))
