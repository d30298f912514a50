from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import ConfigError, StorageError, TokenizerError
from engine.tokenizers import END_OF_TEXT, Built, build_or_load
from engine.tokenizers.cache import hash_texts

TEXTS = ["she sells sea shells", "by the sea shore"]


def build(
    cache_dir: Path,
    name: str = "bpe",
    texts: list[str] = TEXTS,
    vocab_size: int = 265,
    specials: tuple[str, ...] = (),
) -> Built:
    return build_or_load(
        name, texts, vocab_size, cache_dir=cache_dir, specials=specials
    )


def test_the_second_time_it_is_read(tmp_path: Path) -> None:
    first, second = build(tmp_path), build(tmp_path)
    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path
    assert second.tokenizer.to_json() == first.tokenizer.to_json()
    assert list((tmp_path / "tokenizers").iterdir()) == [first.path]


def test_all_that_a_vocabulary_depends_on_makes_another_file(tmp_path: Path) -> None:
    paths = {
        build(tmp_path).path,
        build(tmp_path, name="bpe-4k").path,
        build(tmp_path, vocab_size=266).path,
        build(tmp_path, texts=["".join(TEXTS)]).path,
        build(tmp_path, specials=("<|x|>",)).path,
        build(tmp_path, texts=TEXTS[::-1]).path,
    }
    assert len(paths) == 6


def test_with_a_content_hash_the_texts_are_read_only_to_build(tmp_path: Path) -> None:
    def once() -> Iterator[str]:
        yield from TEXTS

    def never() -> Iterator[str]:
        raise AssertionError("read again")
        yield ""

    for texts, cached in ((once(), False), (never(), True)):
        found = build_or_load(
            "char", texts, cache_dir=tmp_path, content_hash=hash_texts(TEXTS)
        )
        assert found.cached is cached
    assert build(tmp_path, name="char", vocab_size=0).cached


def test_texts_that_can_be_read_only_once_are_kept(tmp_path: Path) -> None:
    found = build_or_load("char", iter(TEXTS), cache_dir=tmp_path)
    assert found.tokenizer.decode(found.tokenizer.encode(TEXTS[0])) == TEXTS[0]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": "alpha-tokenizer"}'])
def test_a_damaged_file_is_built_again_and_said_so(
    tmp_path: Path, damage: bytes
) -> None:
    first = build(tmp_path)
    whole = first.path.read_bytes()
    first.path.write_bytes(damage)
    again = build(tmp_path)
    assert not again.cached
    assert str(first.path) in again.rebuilt
    assert first.path.read_bytes() == whole
    assert build(tmp_path).rebuilt == ""


def test_nothing_is_left_behind_when_building_fails(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="larger than this text allows"):
        build(tmp_path, vocab_size=5000)
    with pytest.raises(ConfigError, match="known are"):
        build(tmp_path, name="nonesuch")
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tokenizers").write_text("a file where the folder would be")
    with pytest.raises(StorageError, match="cannot write"):
        build(tmp_path)


def test_texts_are_told_apart_by_where_one_ends() -> None:
    assert hash_texts(["ab", "c"]) != hash_texts(["a", "bc"])
    assert hash_texts(["ab"]) == hash_texts([b"ab"])
    assert hash_texts([END_OF_TEXT]) != hash_texts([END_OF_TEXT, ""])
