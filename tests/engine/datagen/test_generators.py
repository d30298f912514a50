"""What holds for every generator; what one of them promises is in its own module."""

import itertools

import pytest

from engine.datagen import Generator, Request, generators

ENDLESS = [name for name in generators if not generators.get(name).needs_data]


def documents(name, count, seed=1):
    stream = generators.get(name).documents(Request(seed=seed))
    return list(itertools.islice(stream, count))


def test_the_built_in_ones_are_there():
    built_in = ["abc", "chaos", "chat", "chords", "concordance", "dumb_finance"]
    assert sorted(generators.names()) == built_in


@pytest.mark.parametrize("name", ENDLESS)
def test_the_seed_decides_every_document(name):
    assert documents(name, 50) == documents(name, 50)
    same = sum(
        a == b
        for a, b in zip(documents(name, 200), documents(name, 200, 2), strict=True)
    )
    assert same < 10


@pytest.mark.parametrize("name", ENDLESS)
def test_a_longer_corpus_begins_with_the_shorter(name):
    assert documents(name, 60)[:20] == documents(name, 20)


@pytest.mark.parametrize("name", ENDLESS)
def test_documents_are_varied(name):
    assert len(set(documents(name, 500))) > 450


@pytest.mark.parametrize("name", ENDLESS)
def test_texts_end_with_a_line_end_and_hold_no_blank_line(name):
    for document in documents(name, 300):
        if isinstance(document, str):
            assert document.endswith("\n")
            assert all(line.strip() for line in document[:-1].split("\n"))


@pytest.mark.parametrize("name", ENDLESS)
def test_texts_are_ascii_so_that_a_character_vocabulary_stays_small(name):
    for document in documents(name, 300):
        text = document if isinstance(document, str) else repr(document)
        assert text.isascii()


def test_a_third_party_adds_its_own():
    mine = Generator("mine", lambda request: iter(["one\n"]))
    generators.register("mine")(mine)
    try:
        assert generators.get("mine") is mine
    finally:
        generators.unregister("mine")
