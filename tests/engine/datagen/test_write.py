import json
import resource
from pathlib import Path

import pytest

from engine.data import open_source, texts
from engine.datagen import Generator, Request, generators
from engine.datagen.generator import endless
from engine.datagen.write import write_corpus
from engine.errors import AlphaError, ConfigError, DataError, StorageError

NUMBERS = Generator("numbers", endless(lambda draw: f"number {draw.document}\n"))
CHAT = generators.get("chat")
REQUEST = Request(seed=1)


def test_a_text_has_a_blank_line_between_documents(tmp_path):
    out = tmp_path / "new" / "numbers.txt"
    written = write_corpus("numbers", NUMBERS, out, REQUEST, documents=3)
    assert out.read_text() == "number 0\n\nnumber 1\n\nnumber 2\n"
    assert (written.path, written.documents) == (out, 3)
    assert (written.bytes, written.characters) == (out.stat().st_size, 27)


def test_jsonl_has_a_document_a_line(tmp_path):
    out = tmp_path / "numbers.jsonl"
    written = write_corpus("numbers", NUMBERS, out, REQUEST, documents=3)
    assert list(texts(open_source(out))) == ["number 0\n", "number 1\n", "number 2\n"]
    assert written.bytes == out.stat().st_size


def test_a_chat_is_read_back_as_conversations(tmp_path):
    out = tmp_path / "chat.jsonl"
    write_corpus("chat", CHAT, out, REQUEST, documents=20)
    source = open_source(out)
    assert source.kind == "chat"
    stream = CHAT.documents(REQUEST)
    for piece in source.pieces():
        assert piece.messages == next(stream)


@pytest.mark.parametrize("name", ["numbers.txt", "numbers.jsonl"])
@pytest.mark.parametrize("size", [30, 31, 1000, 5000])
def test_bytes_are_a_limit_that_whole_documents_keep(tmp_path, name, size):
    out = tmp_path / name
    written = write_corpus("numbers", NUMBERS, out, REQUEST, size=size)
    assert written.bytes == out.stat().st_size <= size
    more = tmp_path / f"more-{name}"
    write_corpus("numbers", NUMBERS, more, REQUEST, documents=written.documents + 1)
    assert more.stat().st_size > size


def test_a_concordance_gives_all_it_has(tmp_path):
    data = tmp_path / "text.txt"
    data.write_text("one two one two three three")
    out = tmp_path / "out.txt"
    concordance = generators.get("concordance")
    written = write_corpus("concordance", concordance, out, Request(data=data))
    assert written.documents == 3


@pytest.mark.parametrize(
    ("name", "out", "options", "error", "words"),
    [
        ("abc", "a.txt", {"documents": 0}, ConfigError, "documents = 0"),
        ("abc", "a.txt", {"size": -1}, ConfigError, "bytes = -1"),
        ("abc", "a.txt", {"size": 9}, ConfigError, "too few for a single document"),
        ("abc", "a.txt", {"size": 9, "documents": 1}, ConfigError, "either"),
        ("abc", "a.txt", {"request": Request(seed=-1)}, ConfigError, "seed = -1"),
        ("chat", "a.txt", {}, ConfigError, "name it .jsonl"),
        ("concordance", "a.txt", {}, ConfigError, "name one"),
        (
            "abc",
            "a.txt",
            {"request": Request(1, Path(__file__))},
            ConfigError,
            "no text",
        ),
        ("abc", "", {}, StorageError, "not a regular file"),
        ("abc", "file/a.txt", {}, StorageError, "File exists"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(
    tmp_path, name, out, options, error, words
):
    (tmp_path / "file").touch()
    asked = {"request": REQUEST, **options}
    with pytest.raises(error) as caught:
        write_corpus(name, generators.get(name), tmp_path / out, **asked)
    assert words in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_concordance_never_overwrites_its_text(tmp_path):
    data = tmp_path / "text.txt"
    data.write_text("one one")
    concordance = generators.get("concordance")
    with pytest.raises(ConfigError, match="would overwrite the text"):
        write_corpus("concordance", concordance, data, Request(data=data))
    assert data.read_text() == "one one"


@pytest.mark.parametrize("kept", [None, "what was there"])
def test_an_error_half_way_leaves_the_file_as_it_was(tmp_path, kept):
    def documents(request):
        yield "x" * (1 << 21) + "\n"
        raise DataError("the text broke off")

    out = tmp_path / "out.txt"
    if kept is not None:
        out.write_text(kept)
    with pytest.raises(DataError, match="broke off"):
        write_corpus("broken", Generator("broken", documents), out, REQUEST)
    assert (out.read_text() if out.exists() else None) == kept
    assert len(list(tmp_path.iterdir())) == (kept is not None)


def test_a_full_disk_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match="free some space"):
            write_corpus("n", NUMBERS, tmp_path / "n.txt", REQUEST, documents=500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_reads_back_the_same_from_the_same_seed(tmp_path):
    for name in ("one.jsonl", "two.jsonl"):
        write_corpus("chat", CHAT, tmp_path / name, REQUEST, documents=50)
    one, two = ((tmp_path / n).read_bytes() for n in ("one.jsonl", "two.jsonl"))
    assert one == two
    assert all(json.loads(line) for line in one.splitlines())


def test_progress_counts_up_to_what_was_written(tmp_path):
    seen = []
    written = write_corpus(
        "numbers",
        NUMBERS,
        tmp_path / "n.txt",
        REQUEST,
        size=3 << 20,
        progress=lambda *counts: seen.append(counts),
    )
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (written.documents, written.bytes)


def test_errors_are_the_engines_own():
    with pytest.raises(AlphaError):
        generators.get("nonsense")
