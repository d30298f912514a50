import json
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.errors import ConfigError, DataError, TokenizerError
from engine.session.ingredients import choose_backend, gather
from engine.tokenizers import load_tokenizer

TEXT = "the quick brown fox jumps over the lazy dog\n" * 40


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def config(path: Path, **data: object) -> RunConfig:
    settings = {"data": str(path), "tokenizer": "char", **data}
    return RunConfig.from_dict({"data": settings})


def test_a_text_becomes_tokens_and_the_configuration_is_filled_in(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = gather(config(Path("text.txt")), tmp_path / "cache")
    assert found.config.model.vocab_size == found.tokenizer.vocab_size == 28
    assert found.config.data.data == str(text.resolve())
    assert len(found.dataset.train) + len(found.dataset.val) == len(TEXT)
    assert found.tokenizer_record()["fingerprint"] == found.tokenizer.fingerprint
    assert json.dumps(found.dataset.record)


def test_what_is_being_done_is_told(text: Path, tmp_path: Path) -> None:
    said: list[str] = []
    gather(config(text), tmp_path / "cache", say=said.append)
    assert said == [
        f"reading {text}",
        "tokenizer char for 1,760 bytes",
        "tokens of 28 kinds",
    ]


def test_a_tokenizer_that_is_given_is_used(text: Path, tmp_path: Path) -> None:
    first = gather(config(text), tmp_path / "cache")
    first.tokenizer.save(tmp_path / "tokenizer.json")
    kept = load_tokenizer(tmp_path / "tokenizer.json")
    again = gather(config(text, tokenizer="word"), tmp_path / "cache", tokenizer=kept)
    assert again.tokenizer is kept


def test_another_text_than_the_runs_is_refused(text: Path, tmp_path: Path) -> None:
    found = gather(config(text), tmp_path / "cache").dataset.record["digest"]
    gather(config(text), tmp_path / "cache", digest=found)
    text.write_text(TEXT + "more\n")
    with pytest.raises(ConfigError, match=r"data = .*not the text that the run began"):
        gather(config(text), tmp_path / "cache", digest=found)


def test_a_vocabulary_smaller_than_the_tokenizers_is_refused(
    text: Path, tmp_path: Path
) -> None:
    settings = RunConfig.from_dict(
        {"data": {"data": str(text), "tokenizer": "char"}, "model": {"vocab_size": 9}}
    )
    with pytest.raises(
        ConfigError, match="vocab_size = 9: the tokenizer has 28 tokens"
    ):
        gather(settings, tmp_path / "cache")


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        ({"data": ""}, ConfigError, "name a file, or a domain"),
        ({"data": "gone.txt"}, DataError, r"gone\.txt"),
        ({"domain": "cookery"}, ConfigError, "domain = 'cookery': known are: python"),
        ({"tokenizer": "runes"}, ConfigError, "tokenizer = 'runes': known are"),
        ({"tokenizer": "bpe-64k"}, TokenizerError, "a vocabulary of 64000 is larger"),
    ],
)
def test_what_cannot_be_used_is_named(
    text: Path, tmp_path: Path, data: dict[str, str], error: type, says: str
) -> None:
    with pytest.raises(error, match=says):
        gather(config(text, **data), tmp_path / "cache")


def test_the_backend_is_numpys_unless_another_is_named() -> None:
    assert choose_backend(RunConfig().train).name == "numpy"
    with pytest.raises(ConfigError, match="backend = 'abacus': known are: numpy"):
        choose_backend(RunConfig.from_dict({"train": {"backend": "abacus"}}).train)
