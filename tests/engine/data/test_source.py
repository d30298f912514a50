import json

import pytest

from engine.data.source import (
    ChatLines,
    TextFile,
    TextFiles,
    TextLines,
    Texts,
    open_source,
    texts,
)
from engine.errors import DataError

CHAT = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]
}


def documents(source):
    """The documents' texts, put together from their pieces."""
    found, parts = [], []
    for piece in source.pieces():
        parts.append(piece.text)
        if piece.last:
            found.append("".join(parts))
            parts = []
    assert not parts, "the last piece must end its document"
    return found


def test_a_text_file_is_one_document(tmp_path):
    path = tmp_path / "novel.txt"
    path.write_text("Once upon\n\na time")
    source = open_source(path)
    assert (type(source), source.kind) == (TextFile, "text")
    assert (source.name, source.size) == (str(path), 17)
    assert documents(source) == ["Once upon\n\na time"]


def test_a_long_text_comes_in_pieces_of_which_one_is_the_last(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("word " * 500_000)
    pieces = list(open_source(path).pieces())
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert len(pieces) == 3
    assert "".join(piece.text for piece in pieces) == "word " * 500_000


def test_a_folder_is_a_document_a_file_in_the_order_of_paths(tmp_path):
    for name in ("b.txt", "a.md", "sub/c.py", ".hidden", ".git/config", "sub/.x"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "empty.txt").touch()
    source = open_source(tmp_path)
    assert (type(source), source.kind) == (TextFiles, "documents")
    assert documents(source) == ["a.md", "b.txt", "sub/c.py"]


def test_jsonl_is_a_document_a_line(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "one"}\n{"text": ""}\n{"text": "two"}\n')
    source = open_source(path)
    assert (type(source), source.kind) == (TextLines, "documents")
    assert documents(source) == ["one", "two"]
    assert list(texts(source)) == ["one", "two"]


def test_chat_is_a_conversation_a_line(tmp_path):
    path = tmp_path / "chat.ndjson"
    path.write_text(json.dumps(CHAT) + "\n")
    source = open_source(path)
    assert (type(source), source.kind) == (ChatLines, "chat")
    (piece,) = source.pieces()
    assert (piece.text, piece.last) == ("HiHello", True)
    assert piece.content() == b'[["user","Hi"],["assistant","Hello"]]'
    assert list(texts(source)) == ["Hi", "Hello"]


def test_documents_in_memory():
    source = Texts(["one", "two"])
    assert (source.kind, documents(source)) == ("documents", ["one", "two"])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("absent.txt", None, "no such file"),
        ("empty.txt", b"", "the file is empty"),
        ("empty.jsonl", b"", "the file is empty"),
        ("blank.jsonl", b"\n \n", "no line holds a record"),
        ("chat.json", b"[]", "one object a line, from a file named .jsonl"),
        ("bad.jsonl", b"nonsense\n", "line 1: not JSON"),
    ],
)
def test_a_file_that_is_no_source_says_why(tmp_path, name, data, words):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        open_source(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_a_folder_without_texts_is_refused(tmp_path):
    (tmp_path / ".hidden").touch()
    with pytest.raises(DataError, match="holds no files"):
        open_source(tmp_path)
    (tmp_path / "x.jsonl").touch()
    with pytest.raises(DataError, match="give JSONL as a file"):
        open_source(tmp_path)


def test_a_folder_names_the_file_that_is_not_text(tmp_path):
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "b.bin").write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"b\.bin: not UTF-8 at byte 2 "):
        list(open_source(tmp_path).pieces())
