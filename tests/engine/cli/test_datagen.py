"""`alpha datagen` writes a corpus and prints what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.data import open_source, texts


def test_a_corpus_is_written_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tunes.jsonl"
    arguments = ["abc", "--out", str(out), "--documents", "7", "--seed", "5"]
    assert main(["datagen", *arguments, "--json"]) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    tunes = list(texts(open_source(out)))
    assert len(tunes) == 7
    assert result == {
        "domain": "abc",
        "path": str(out),
        "documents": 7,
        "bytes": out.stat().st_size,
        "characters": sum(map(len, tunes)),
        "seed": 5,
    }


def test_a_size_in_bytes(tmp_path: Path) -> None:
    out = tmp_path / "chaos.txt"
    assert main(["datagen", "chaos", "--out", str(out), "--bytes", "9000"]) == 0
    assert 8000 < out.stat().st_size <= 9000


def test_a_concordance_of_a_text(tmp_path: Path) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "out.txt"
    text.write_text("so it is, and so it was")
    arguments = ["concordance", "--data", str(text), "--out", str(out)]
    assert main(["datagen", *arguments]) == 0
    assert out.read_text().startswith("it (2)\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["poems"], "known are: abc, chaos, chat, chords, concordance, dumb_finance"),
        (["chat"], "name it .jsonl"),
        (["concordance"], "concordance is made of a text file"),
        (["concordance", "--data", "absent.txt"], "absent.txt: no such file"),
        (["abc", "--documents", "0"], "must be at least 1"),
        (["abc", "--documents", "3", "--bytes", "9"], "not allowed with"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    out = tmp_path / "out.txt"
    assert main(["datagen", *arguments, "--out", str(out)]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()
