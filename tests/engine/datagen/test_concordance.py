import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.datagen import concordance
from engine.datagen.concordance import CONTEXT, entries
from engine.errors import DataError

TEXT = """The harbor lay still. "Nobody," she said, "nobody leaves the harbor."

Don't ask. I don't know the harbor's name; Müller does, or MÜLLER did.
"""


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def parse(found):
    """Word -> its occurrences as (left, word, right)."""
    words = {}
    for entry in found:
        heading, *lines = entry.splitlines()
        word, count = re.fullmatch(r"(.+) \((\d+)\)", heading).groups()
        triples = [re.fullmatch(r"(.*)\[(.*?)\](.*)", line).groups() for line in lines]
        words.setdefault(word, (int(count), []))[1].extend(triples)
    return words


def test_every_word_that_comes_twice_with_its_context(text):
    words = parse(entries(text))
    assert list(words) == ["don't", "harbor", "müller", "nobody", "the"]
    count, lines = words["harbor"]
    assert count == 2
    assert lines[0] == (
        "The ".rjust(CONTEXT),
        "harbor",
        ' lay still. "Nobody," she said, "nob',
    )
    assert lines[1][0].endswith('"nobody leaves the ')
    assert (
        lines[1][2]
        == "\" Don't ask. I don't know the harbor's".replace('"', '."')[:CONTEXT]
    )
    assert [word for _, word, _ in words["müller"][1]] == ["Müller", "MÜLLER"]


letters = st.text(st.sampled_from("aAbü漢'’ \n.1_"), max_size=200)


@given(letters, st.sampled_from((1, 3, 1 << 22)))
def test_every_occurrence_is_there_in_order(tmp_path_factory, body, budget):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(body + " end end")
    counts = Counter(w.casefold() for w in concordance.WORD.findall(body + " end end"))
    words = parse(entries(path, budget))
    assert list(words) == sorted(word for word, count in counts.items() if count > 1)
    flat = re.sub(r"\s+", " ", body + " end end")
    for word, (count, lines) in words.items():
        assert count == counts[word] == len(lines)
        for left, found, right in lines:
            assert found.casefold() == word
            assert len(left) == CONTEXT >= len(right)
            assert (left.lstrip() + found + right) in flat


def test_contexts_reach_over_pieces_of_the_text(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    body = " ".join(f"{'xyz'[n % 3]}ü{'abc'[n % 2]}" for n in range(300))
    path.write_text(body)
    whole = list(entries(path))
    monkeypatch.setattr(concordance.in_pieces, "__defaults__", (16, 1 << 24))
    assert list(entries(path)) == whole


def test_a_byte_order_mark_moves_nothing(text, tmp_path):
    marked = tmp_path / "marked.txt"
    marked.write_text("\ufeff" + TEXT)
    assert list(entries(marked)) == list(entries(text))


def test_a_frequent_word_has_several_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(concordance, "LINES", 4)
    path = tmp_path / "text.txt"
    path.write_text("so " * 10)
    found = list(entries(path))
    assert [entry.count("\n") for entry in found] == [5, 5, 3]
    assert {entry.splitlines()[0] for entry in found} == {"so (10)"}


def test_a_text_without_repeated_words_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("every word once")
    with pytest.raises(DataError, match="no word occurs 2 times"):
        list(entries(path))
