from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import StorageError, TokenizerError
from engine.tokenizers import Tokenizer, from_json, load_tokenizer, tokenizers

TEXT = "how much wood would a woodchuck chuck if a woodchuck could chuck wood"
KINDS = {"bpe": 280, "char": 0, "word": 0}


def build(name: str = "bpe") -> Tokenizer:
    return tokenizers.get(name).build([TEXT], KINDS[name], specials=("<|x|>",))


@pytest.mark.parametrize("name", KINDS)
def test_what_is_saved_is_what_is_loaded(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    built = build(name)
    built.save(path)
    loaded = load_tokenizer(path)
    assert type(loaded) is type(built)
    assert loaded.to_json() == built.to_json()
    assert loaded.encode(TEXT).tolist() == built.encode(TEXT).tolist()
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    build().save(path)
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        with pytest.raises(TokenizerError, match=r"tokenizer\.json: not a whole"):
            load_tokenizer(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "'format' must be 'alpha-tokenizer'"),
        ({"version": 2}, "format version 2 is unknown; this program reads version 1"),
        ({"kind": "sentencepiece"}, "kind 'sentencepiece' is not registered"),
        ({"kind": None}, "'kind' must be a str"),
        ({"fingerprint": "0" * 64}, "altered after it was saved: its fingerprint is"),
        ({"vocab_size": 300}, "altered after it was saved: its vocab_size is 280"),
        ({"merges": []}, "'special_tokens' must have the ids from 256 on"),
        ({"special_tokens": {"<|y|>": 278, "<|x|>": 279}}, "its fingerprint is"),
    ],
)
def test_a_file_that_was_altered_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(build().to_json() | change))
    with pytest.raises(TokenizerError, match=message) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("record", [[], "text", None, {}, 3])
def test_json_that_is_no_tokenizer_is_refused(record: Any) -> None:
    with pytest.raises(TokenizerError, match="not a tokenizer"):
        from_json(record)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"none\.json: No such file"):
        load_tokenizer(tmp_path / "none.json")
    with pytest.raises(TokenizerError, match="directory"):
        load_tokenizer(tmp_path)


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*tokenizer\.json"):
        build().save(tmp_path / "missing" / "tokenizer.json")
