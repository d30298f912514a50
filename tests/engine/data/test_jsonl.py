import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.jsonl import Message, parse_record, read_records
from engine.errors import DataError

ANSWERED = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
]


def write(tmp_path, *lines):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_texts_and_their_lines(tmp_path):
    path = write(tmp_path, b'{"text": "one"}', b"  ", b'{"text": "two", "id": 7}')
    records = [(record.line, record.text) for record in read_records(path)]
    assert records == [(1, "one"), (3, "two")]


def test_conversations(tmp_path):
    path = write(tmp_path, json.dumps({"messages": ANSWERED}).encode())
    (record,) = read_records(path)
    assert record.is_chat
    assert record.messages == (Message("user", "Hi"), Message("assistant", "Hello"))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_text_survives(tmp_path_factory, texts):
    lines = [json.dumps({"text": text}).encode() for text in texts]
    path = write(tmp_path_factory.mktemp("jsonl"), *lines)
    assert [record.text for record in read_records(path)] == texts


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ('{"text": "a"} x', "not JSON (Extra data at column 15)"),
        ("[1]", "not a JSON object but a list"),
        ("null", "not a JSON object but null"),
        ("7", "not a JSON object but a number"),
        ("{}", 'expected one of the keys "text" and "messages", found none'),
        ('{"txt": "a"}', "found 'txt'"),
        ('{"text": "a", "messages": []}', "found 'text', 'messages'"),
        ('{"text": 5}', '"text" must be a string, not a number'),
        ('{"text": true}', '"text" must be a string, not a boolean'),
        ('{"text": "\\ud800"}', "half a surrogate pair at character 0"),
        ('{"messages": {}}', "list of at least one message"),
        ('{"messages": []}', "list of at least one message"),
        ('{"messages": ["hi"]}', "message 1: not a JSON object but a string"),
        ('{"messages": [{"role": "user"}]}', 'message 1: the key "content" is missing'),
        (
            '{"messages": [{"role": "bot", "content": "a"}]}',
            "role 'bot' is unknown; known are: system, user, assistant",
        ),
        (
            '{"messages": [{"role": "user", "content": null}]}',
            '"content" must be a string, not null',
        ),
        ('{"messages": [{"role": "user", "content": "a"}]}', "nothing to learn"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"text": ' + "1" * 5000 + "}", "not readable as JSON"),
    ],
)
def test_a_line_that_is_no_record_says_why(line, words):
    with pytest.raises(DataError) as caught:
        parse_record(line, "data.jsonl, line 3")
    message = str(caught.value)
    assert message.startswith("data.jsonl, line 3")
    assert words in message
    assert "\n" not in message


def test_the_line_number_is_named(tmp_path):
    path = write(tmp_path, b'{"text": "a"}', b'{"text": "b"}', b"oops")
    with pytest.raises(DataError, match=r"data\.jsonl, line 3: not JSON"):
        list(read_records(path))


def test_broken_utf8_names_the_byte_of_the_file(tmp_path):
    path = write(tmp_path, b'{"text": "a"}', b'{"text": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8 at byte 24 "):
        list(read_records(path))


def test_texts_and_conversations_do_not_mix(tmp_path):
    chat = json.dumps({"messages": ANSWERED}).encode()
    with pytest.raises(DataError, match="line 2: the lines before hold 'text'"):
        list(read_records(write(tmp_path, b'{"text": "a"}', chat)))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = write(tmp_path, b'\xef\xbb\xbf{"text": "a"}')
    assert [record.text for record in read_records(path)] == ["a"]


def test_a_line_too_long_for_memory_is_refused(tmp_path):
    path = write(tmp_path, b'{"text": "a"}', b'{"text": "' + b"b" * 200 + b'"}')
    with pytest.raises(DataError, match="line 2: longer than 100 bytes"):
        list(read_records(path, longest_line=100))
