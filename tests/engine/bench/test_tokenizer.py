"""The bench with a peer of its own: what it reports, never how fast anything is."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.bench import tokenizer as bench
from engine.bench.harness import Report, benches
from engine.errors import InputError

TEXT = "the quick brown fox jumps over the lazy dog\n" * 5


class Standin:
    """As much of the peer as the bench calls."""

    def __init__(self, model: object) -> None:
        self.model = model

    def train_from_iterator(self, texts: list[str], trainer: object) -> None:
        assert "".join(texts) == TEXT

    def encode(self, text: str) -> SimpleNamespace:
        assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
        return SimpleNamespace(ids=list(text))

    def encode_batch(self, lines: list[str]) -> object:
        return [self.encode(line) for line in lines]

    encode_batch_fast = encode_batch


class Level:
    """The peer's pre-tokenizer."""

    def __init__(self, add_prefix_space: bool) -> None:
        assert not add_prefix_space

    @staticmethod
    def alphabet() -> list[str]:
        return []


def trainer(**settings: Any) -> object:
    assert settings["vocab_size"] == 270
    assert os.environ.get("TOKENIZERS_PARALLELISM") in ("true", None)
    return object()


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(
        __version__="0.0",
        Tokenizer=Standin,
        models=SimpleNamespace(BPE=object),
        pre_tokenizers=SimpleNamespace(ByteLevel=Level),
        trainers=SimpleNamespace(BpeTrainer=trainer),
    )
    monkeypatch.setitem(sys.modules, "tokenizers", library)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)


def run(tmp_path: Path, *words: str) -> Report:
    data = tmp_path / "text.txt"
    data.write_text(TEXT)
    parser = ArgumentParser()
    bench.add_arguments(parser)
    options = parser.parse_args(
        ["--data", str(data), "--vocab-size", "270", "--pairs", "1", *words]
    )
    return benches.get("tokenizer")(options)


@pytest.mark.usefixtures("peer")
def test_a_row_for_learning_and_one_for_encoding(tmp_path: Path) -> None:
    report = run(tmp_path)
    assert report.bench == "tokenizer"
    assert [row.name for row in report.rows] == ["train 270", "encode 270"]
    for row in report.rows:
        assert row.unit == "MB/s"
        assert row.ratio == pytest.approx(row.ours / row.theirs)
        assert row.extra["megabytes"] == len(TEXT) / 1e6
        assert row.peer.startswith("tokenizers 0.0, ")
    assert report.rows[1].extra["peer_tokens"] == len(TEXT)
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_a_peer_that_is_missing_is_an_error_with_the_line_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[bench\]'"):
        run(tmp_path)


@pytest.mark.usefixtures("peer")
def test_at_least_one_pair_is_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--pairs 0: at least one"):
        run(tmp_path, "--pairs", "0")


def test_the_peers_fastest_way_counts_in_every_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = [[1.0, 2.0, 3.0], [5.0, 9.0, 9.0], [6.0, 4.0, 6.0]]
    monkeypatch.setattr(bench, "in_turn", lambda works, pairs, warmup: times)
    ways: dict[str, bench.Work] = {"whole": int, "lines": int}
    found = bench.measure(int, ways, pairs=3)
    assert found.ours == [1.0, 2.0, 3.0]
    assert found.theirs == [5.0, 4.0, 6.0]
    assert found.way == "lines"
