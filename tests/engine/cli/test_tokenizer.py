from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import main
from engine.tokenizers import load_tokenizer

TEXT = "We few, we happy few, we band of brothers; for he to-day that sheds his blood\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "henry.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def built(text: Path, tmp_path: Path) -> Path:
    out = tmp_path / "tokenizer.json"
    words = ["--data", str(text), "--vocab-size", "270", "--out", str(out)]
    assert main(["tokenizer", "build", *words]) == 0
    return out


def result(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["tokenizer", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_build_says_what_it_built_and_how_well_it_fits(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "char.json"
    words = ["--data", str(text), "--tokenizer", "char", "--out", str(out)]
    found = result(capsys, "build", *words)
    built = load_tokenizer(out)
    assert found["vocab_size"] == built.vocab_size == len(set(TEXT))
    assert found["fingerprint"] == built.fingerprint
    assert found["special_tokens"] == {}
    assert (found["bytes"], found["tokens"]) == (len(TEXT), len(TEXT))
    assert found["path"] == str(out)


def test_documents_and_chats_get_the_special_tokens_they_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "tokenizer.json")
    lines = {
        '{"text": "one"}\n{"text": "two"}\n': ["<|end_of_text|>"],
        '{"messages": [{"role": "user", "content": "hi"}, '
        '{"role": "assistant", "content": "hello"}]}\n': [
            "<|user|>",
            "<|assistant|>",
            "<|system|>",
            "<|end_of_text|>",
        ],
    }
    for content, specials in lines.items():
        data = tmp_path / "data.jsonl"
        data.write_text(content)
        words = ["--data", str(data), "--tokenizer", "char", "--out", out]
        assert list(result(capsys, "build", *words)["special_tokens"]) == specials


def test_info_shows_what_a_file_holds(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = result(capsys, "info", str(built))
    assert (found["kind"], found["vocab_size"]) == ("bpe", 270)
    assert found["special_tokens"] == {"<|end_of_text|>": 269}
    assert " few" in found["longest_tokens"].values()


def test_what_is_encoded_decodes_again(
    built: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_text = result(capsys, "encode", str(built), "--text", TEXT)
    by_file = result(capsys, "encode", str(built), "--input", str(text))
    assert by_text == by_file
    assert by_text["tokens"] == len(by_text["ids"]) < len(TEXT)
    ids = map(str, by_text["ids"])
    assert result(capsys, "decode", str(built), *ids)["text"] == TEXT


def test_special_tokens_are_ids_only_on_demand(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["encode", str(built), "--text", "<|end_of_text|>"]
    assert 269 not in result(capsys, *words)["ids"]
    assert result(capsys, *words, "--special")["ids"] == [269]


def test_without_json_ids_and_bytes_go_through_pipes(
    built: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b"few \xff\xfe happy"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["tokenizer", "encode", str(built)]) == 0
    ids = capfdbinary.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ids)))
    assert main(["tokenizer", "decode", str(built)]) == 0
    assert capfdbinary.readouterr().out == data


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "--out", "x.json"], "name a file, or a domain"),
        (["build", "--data", "{text}"], "--out"),
        (["build", "--data", "none.txt", "--out", "x.json"], "none.txt: no such file"),
        (
            ["build", "--data", "{text}", "--out", "no/where/x.json"],
            "--out no/where/x.json: no folder no/where",
        ),
        (
            ["build", "--data", "{text}", "--out", "x.json"],
            "a vocabulary of 2000 is larger than this text allows: it gives",
        ),
        (
            ["build", "--data", "{text}", "--out", "x.json", "--tokenizer", "bqe"],
            "tokenizer = 'bqe': known are",
        ),
        (["info", "none.json"], "none.json: No such file"),
        (["info", "{text}"], "not a whole tokenizer file"),
        (["encode", "{built}", "--input", "none.txt"], "none.txt: No such file"),
        (["decode", "{built}", "12", "twelve"], "'twelve' is not an id"),
        (["decode", "{built}", "270"], "id 270 is not in the vocabulary"),
        (["frob"], "invalid choice: 'frob'"),
        ([], "ACTION"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str],
    message: str,
    text: Path,
    built: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(text.parent)
    before = sorted(text.parent.iterdir())
    given = [word.format(text=text, built=built) for word in words]
    capsys.readouterr()
    assert main(["tokenizer", *given]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("alpha: error: ")
    assert message in last.replace("--tokenizer", "tokenizer")
    assert sorted(text.parent.iterdir()) == before
