import json
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import engine
from engine.data import textfile
from engine.data.prepare import prepare
from engine.data.source import Texts
from engine.data.split import scan
from engine.errors import ConfigError, DataError, StorageError, TokenizerError
from engine.storage import SCRAP
from engine.tokenizers import (
    CHAT_SPECIALS,
    END_OF_TEXT,
    BpeTokenizer,
    CharTokenizer,
    tokenizers,
)

LETTERS = "".join(map(chr, range(32, 127))) + "\n"
CHAR = CharTokenizer("char", LETTERS)
CHAR_WITH_RETURN = CharTokenizer("char", LETTERS + "\r")
DOCUMENTS = CharTokenizer("char", LETTERS, [END_OF_TEXT])
CHAT = CharTokenizer("char", LETTERS, CHAT_SPECIALS)

# "th", "the", " the" and so on: enough merges that cutting a word would show.
BPE = BpeTokenizer(
    "bpe",
    [(116, 104), (256, 101), (32, 257), (10, 10), (32, 32), (105, 110), (13, 10)],
    [END_OF_TEXT],
)
PROSE = "".join(
    f"In the {word}, the  thing{mark}\n" + "\n" * (number % 3) + "\r\n" * (number % 2)
    for number in range(40)
    for word, mark in (("thin path", "."), ("inn", ", then"), ("THE_in 3 the", ""))
)
TRAIN, VAL = PROSE[: int(len(PROSE) * 0.9)], PROSE[int(len(PROSE) * 0.9) :]
LEARNT = tokenizers.get("bpe").build([PROSE], 275)
WORD = tokenizers.get("word").build([TRAIN, VAL])


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def novel(tmp_path):
    path = tmp_path / "novel.txt"
    path.write_bytes(PROSE.encode())
    return path


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.jsonl"
    texts = [f"document {number} the end" for number in range(60)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path, texts


def everything(store):
    return store.tokens(0, len(store))


def files(folder):
    """Every file below a folder but the locks, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_a_plain_text_is_cut_once_and_nothing_is_lost(novel, cache):
    dataset = prepare(novel, CHAR_WITH_RETURN, cache_dir=cache)
    text = CHAR_WITH_RETURN.decode(everything(dataset.train))
    text += CHAR_WITH_RETURN.decode(everything(dataset.val))
    assert text == PROSE
    assert len(dataset.train) == int(len(PROSE) * 0.9)
    assert (dataset.train.name, dataset.val.name) == ("train", "val")


@pytest.mark.parametrize(
    "tokenizer", [BPE, LEARNT, WORD], ids=["bpe", "learnt", "word"]
)
@pytest.mark.parametrize("piece", [5, 40, 1 << 20])
def test_tokens_are_those_of_the_whole_text(
    novel, cache, monkeypatch, piece, tokenizer
):
    monkeypatch.setattr(textfile, "PIECE", piece)
    monkeypatch.setattr(textfile.in_pieces, "__defaults__", (piece, 1 << 24))
    dataset = prepare(novel, tokenizer, cache_dir=cache, shard_tokens=64)
    for store, text in ((dataset.train, TRAIN), (dataset.val, VAL)):
        assert everything(store).tolist() == tokenizer.encode(text).tolist()


def test_the_record_says_what_was_split_and_how(novel, cache):
    record = prepare(novel, BPE, cache_dir=cache, val_fraction=0.25).record
    sides = [record.pop(side) for side in ("train", "val")]
    assert record == {
        "source": str(novel),
        "kind": "text",
        "digest": record["digest"],
        "documents": 1,
        "bytes": len(PROSE),
        "characters": len(PROSE),
        "tokenizer": "bpe",
        "tokenizer_fingerprint": BPE.fingerprint,
        "separator": None,
        "split": {
            "asked": "auto",
            "rule": "contiguous",
            "val_fraction": 0.25,
            "seed": None,
        },
    }
    cut = int(len(PROSE) * 0.75)
    for side, text in zip(sides, (PROSE[:cut], PROSE[cut:]), strict=True):
        tokens = len(BPE.encode(text))
        assert side == {
            "documents": 1,
            "tokens": tokens,
            "targets": tokens,
            "bytes": len(text),
            "characters": len(text),
            "target_bytes": len(text),
        }
    json.dumps(record)


def test_documents_are_split_by_hash_and_end_with_the_separator(lines, cache):
    path, texts = lines
    dataset = prepare(path, DOCUMENTS, cache_dir=cache, seed=3)
    end = DOCUMENTS.special_tokens[END_OF_TEXT]
    validates = scan(Texts(texts), 3, 0.1).validates
    for store, wanted in ((dataset.train, ~validates), (dataset.val, validates)):
        kept = [text for text, keep in zip(texts, wanted, strict=True) if keep]
        found = DOCUMENTS.decode(everything(store)).split(END_OF_TEXT)
        assert found == [*kept, ""]
        starts = store.documents.tolist()
        assert starts[0] == 0
        assert [int(store.tokens(s - 1, s)[0]) for s in starts[1:]] == [end] * len(
            starts[1:]
        )
        assert len(starts) == len(kept)
    assert dataset.record["split"]["rule"] == "documents"
    assert dataset.record["separator"] == END_OF_TEXT
    counted = dataset.record["train"]["documents"] + dataset.record["val"]["documents"]
    assert counted == dataset.record["documents"] == 60


def test_of_chats_only_answers_count(tmp_path, cache):
    path = tmp_path / "chat.jsonl"
    chats = [
        [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "x"}]
        for n in range(30)
    ]
    path.write_text("".join(json.dumps({"messages": c}) + "\n" for c in chats))
    dataset = prepare(path, CHAT, cache_dir=cache, shard_tokens=16)
    for store in (dataset.train, dataset.val):
        answers = everything(store)[store.counts(0, len(store))]
        count = len(store.documents)
        assert CHAT.decode(answers) == f"x{END_OF_TEXT}" * count
        assert store.targets == 2 * count
        assert dataset.record[store.name]["target_bytes"] == count
    bytes_in_all = sum(len(m["content"]) for chat in chats for m in chat)
    assert dataset.record["bytes"] == bytes_in_all


def test_the_second_time_nothing_is_encoded(novel, cache, monkeypatch):
    first = prepare(novel, BPE, cache_dir=cache)

    def encode(*arguments, **options):
        raise AssertionError("the cache must do")

    monkeypatch.setattr(BpeTokenizer, "encode", encode)
    moved = novel.rename(novel.with_name("renamed.txt"))
    second = prepare(moved, BPE, cache_dir=cache)
    assert everything(second.val).tolist() == everything(first.val).tolist()
    assert second.record == first.record | {"source": str(moved)}
    assert second.rebuilt == ""


@pytest.mark.parametrize(
    "change",
    [
        {"source": Texts(["other text", "more"], kind="documents")},
        {"tokenizer": CharTokenizer("char", LETTERS + "ü", [END_OF_TEXT])},
        {"val_fraction": 0.5},
        {"seed": 8},
        {"split": "contiguous"},
    ],
)
def test_what_the_tokens_depend_on_is_in_the_key(cache, change):
    asked = {"source": Texts(["some text", "more", "last"]), "tokenizer": DOCUMENTS}
    for options in (asked, asked | change):
        prepare(**options, cache_dir=cache)
    assert len(list((cache / "datasets").iterdir())) == 2


def test_the_seed_is_not_in_the_key_of_a_contiguous_split(novel, cache):
    for seed in (1, 2):
        prepare(novel, BPE, cache_dir=cache, seed=seed)
    assert len(list((cache / "datasets").iterdir())) == 1


def test_the_same_source_gives_the_same_files(novel, tmp_path):
    for name in ("one", "two"):
        prepare(novel, BPE, cache_dir=tmp_path / name, shard_tokens=64)
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize("name", ["manifest.json", "train-00000.tokens"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_cache_is_made_again_and_said_so(novel, cache, name, damage):
    prepare(novel, BPE, cache_dir=cache)
    whole = files(cache)
    (path,) = cache.rglob(name)
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
    else:
        path.unlink()
    dataset = prepare(novel, BPE, cache_dir=cache)
    assert name in dataset.rebuilt
    assert files(cache) == whole
    assert prepare(novel, BPE, cache_dir=cache).rebuilt == ""


def test_a_full_disk_leaves_nothing_half_written(novel, cache):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    prepare(novel, CHAR_WITH_RETURN, cache_dir=cache)
    before = files(cache)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*; free some space"):
            prepare(novel, BPE, cache_dir=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(cache) == before
    assert not list(cache.rglob(SCRAP + "*"))
    prepare(novel, BPE, cache_dir=cache)


def test_memory_does_not_grow_with_the_text(tmp_path, cache):
    def peak(megabytes):
        path = tmp_path / f"{megabytes}.txt"
        path.write_text("some words\n" * (megabytes * 100_000))
        tracemalloc.start()
        prepare(path, CHAR, cache_dir=cache)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(20) < 1.05 * peak(5)


def test_text_that_cannot_be_encoded_leaves_nothing(novel, cache):
    with pytest.raises(TokenizerError):
        prepare(novel, CHAR, cache_dir=cache)
    assert files(cache) == {}


NUMBERED = Texts([f"{number} text" for number in range(200)])

#: Prepares NUMBERED; given a document's start, kills itself when it comes to it.
PROCESS = """
import os, signal, sys
from pathlib import Path
from engine.data.prepare import prepare
from engine.data.source import Texts
from engine.tokenizers import CharTokenizer

class Mortal(CharTokenizer):
    def encode_ordinary(self, text, at=0):
        if text.startswith(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_ordinary(text, at)

texts = Texts([f"{number} text" for number in range(200)])
letters = "".join(map(chr, range(32, 127))) + chr(10)
tokenizer = Mortal("char", letters)
dataset = prepare(texts, tokenizer, cache_dir=Path(sys.argv[1]), shard_tokens=8)
print(tokenizer.decode(dataset.train.tokens(0, len(dataset.train))))
"""


def in_a_process(cache, killed_at="never"):
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(cache), killed_at],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(engine.__file__).parents[1])},
    )


def test_what_a_killed_writer_left_is_cleared_by_the_next(cache):
    with in_a_process(cache, "99 ") as process:
        assert process.wait() == -signal.SIGKILL
    assert list(cache.rglob(SCRAP + "*"))
    dataset = prepare(NUMBERED, CHAR, cache_dir=cache, shard_tokens=8)
    assert dataset.rebuilt == ""
    assert not list(cache.rglob(SCRAP + "*"))
    assert dataset.record["documents"] == 200


def test_processes_that_build_at_once_agree(cache):
    processes = [in_a_process(cache) for _ in range(3)]
    texts = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 3
    assert len(texts) == 1
    assert len(texts.pop()) > 1000
    assert not list(cache.rglob(SCRAP + "*"))


def test_threads_that_build_at_once_agree(cache):
    def build(_):
        return prepare(NUMBERED, CHAR, cache_dir=cache, shard_tokens=8)

    with ThreadPoolExecutor(4) as pool:
        datasets = list(pool.map(build, range(4)))
    assert len({everything(dataset.train).tobytes() for dataset in datasets}) == 1


@pytest.mark.parametrize("later", [["some", "txt"], ["some"], ["some", "text", "more"]])
def test_a_source_that_changes_while_it_is_read_is_noticed(cache, later):
    found = scan(Texts(["some", "text"]), 1, 0.1)
    with pytest.raises(DataError, match="changed while it was read"):
        prepare(Texts(later), DOCUMENTS, cache_dir=cache, seed=1, found=found)
    assert files(cache) == {}


@pytest.mark.parametrize("text", ["a", "ab", "abcdefghij"])
def test_a_text_too_short_to_split_says_so(tmp_path, cache, text):
    path = tmp_path / "short.txt"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        prepare(path, CHAR, cache_dir=cache)
    assert "short.txt: the " in str(caught.value)
    assert "needs 2 at least: give more text" in str(caught.value)
    assert files(cache) == {}


@pytest.mark.parametrize(
    ("options", "field"),
    [({"split": "odd"}, "split"), ({"val_fraction": 1.0}, "val_fraction")],
)
def test_settings_that_make_no_split_are_refused(novel, cache, options, field):
    with pytest.raises(ConfigError, match=field):
        prepare(novel, BPE, cache_dir=cache, **options)


def test_a_scan_made_before_spares_a_reading(lines, cache):
    path, texts = lines
    found = scan(Texts(texts), 5, 0.1)
    dataset = prepare(path, DOCUMENTS, cache_dir=cache, seed=5, found=found)
    assert dataset.record["digest"] == found.digest
    with pytest.raises(ValueError, match="another seed"):
        prepare(path, DOCUMENTS, cache_dir=cache, seed=6, found=found)


def test_progress_ends_at_the_whole(lines, cache):
    seen = []
    prepare(
        lines[0],
        DOCUMENTS,
        cache_dir=cache,
        progress=lambda done, total: seen.append((done, total)),
    )
    done = [done for done, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] == seen[-1][1] == sum(map(len, lines[1]))


def test_wide_vocabularies_take_four_bytes(cache):
    wide = CharTokenizer("char", "".join(map(chr, range(0x10000, 0x10000 + 70000))))
    text = chr(0x10000) + chr(0x10000 + 69999)
    dataset = prepare(Texts([text * 50], kind="text"), wide, cache_dir=cache)
    assert set(everything(dataset.train).tolist()) == {0, 69999}
    (path,) = cache.rglob("train-00000.tokens")
    assert path.stat().st_size == 4 * len(dataset.train)
    assert np.fromfile(path, "<u4").max() == 69999
