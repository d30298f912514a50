import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.source import Texts
from engine.data.split import choose_rule, scan, sided_pieces
from engine.errors import DataError


def sides(source, rule, seed=1, val_fraction=0.1):
    """Each side's text, put together, and its documents."""
    found = scan(source, seed, val_fraction)
    texts = {"train": "", "val": ""}
    documents = {"train": 0, "val": 0}
    for sided in sided_pieces(source, found, rule):
        texts[sided.side] += sided.piece.text
        documents[sided.side] += sided.first
    return texts, documents


def validating(texts, seed=1, val_fraction=0.1):
    found = scan(Texts(texts), seed, val_fraction)
    return {text for text, val in zip(texts, found.validates, strict=True) if val}


DOCUMENTS = [f"document {number}\n" for number in range(2000)]


def test_a_scan_counts_documents_bytes_and_characters():
    found = scan(Texts(["aü", "漢"]), 1, 0.1)
    assert (found.documents, found.bytes, found.characters) == (2, 6, 3)


def test_the_digest_knows_where_documents_end():
    digests = {scan(Texts(t), 1, 0.1).digest for t in (["ab"], ["a", "b"], ["b", "a"])}
    assert len(digests) == 3


def test_a_source_without_text_is_refused():
    with pytest.raises(DataError, match="holds no text"):
        scan(Texts([""]), 1, 0.1)


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5])
def test_the_hash_gives_validation_its_fraction(fraction):
    share = len(validating(DOCUMENTS, val_fraction=fraction)) / len(DOCUMENTS)
    assert abs(share - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / 2000)


def test_a_document_keeps_its_side_when_others_come_or_go():
    assert validating(DOCUMENTS[:1000]) == validating(DOCUMENTS) & set(DOCUMENTS[:1000])


def test_the_seed_chooses_other_documents():
    assert validating(DOCUMENTS, seed=1) != validating(DOCUMENTS, seed=2)


def test_a_larger_fraction_keeps_what_validated():
    small, large = (validating(DOCUMENTS, val_fraction=f) for f in (0.1, 0.3))
    assert small < large


@given(
    st.lists(st.sampled_from("abcdef"), min_size=2, max_size=12),
    st.integers(0, 50),
    st.sampled_from((0.01, 0.1, 0.9, 0.99)),
)
def test_both_sides_get_documents_and_equal_ones_stay_together(texts, seed, fraction):
    source = Texts(texts)
    if len(set(texts)) == 1:
        with pytest.raises(DataError, match="documents are equal"):
            sides(source, "documents", seed, fraction)
        return
    found, _ = sides(source, "documents", seed, fraction)
    assert found["train"]
    assert found["val"]
    assert not set(found["train"]) & set(found["val"])


def test_a_single_document_has_no_split_by_documents():
    with pytest.raises(DataError, match="only one document"):
        sides(Texts(["alone"]), "documents")


@given(st.text(min_size=2), st.sampled_from((0.1, 0.5, 0.9)))
def test_contiguous_cuts_a_text_at_the_character_after_the_share(text, fraction):
    found, documents = sides(Texts([text], kind="text"), "contiguous", 1, fraction)
    assert found["train"] + found["val"] == text
    cut = int(len(text.encode()) * (1 - fraction))
    assert cut <= len(found["train"].encode()) < cut + 4
    assert documents["train"] <= 1 >= documents["val"]


def test_contiguous_cuts_ascii_where_the_share_ends():
    found, documents = sides(Texts(["0123456789"], kind="text"), "contiguous")
    assert found == {"train": "012345678", "val": "9"}
    assert documents == {"train": 1, "val": 1}


def test_contiguous_across_pieces(tmp_path):
    text = "word " * 500_000
    found, documents = sides(Texts([text], kind="text"), "contiguous")
    assert found["train"] == text[:2_250_000]
    assert found["val"] == text[2_250_000:]
    assert documents == {"train": 1, "val": 1}


@given(st.lists(st.text("ab", min_size=1), min_size=2, max_size=8))
def test_contiguous_cuts_several_documents_between_two(texts):
    found, documents = sides(Texts(texts), "contiguous", val_fraction=0.3)
    assert found["train"] + found["val"] == "".join(texts)
    assert documents["train"] + documents["val"] == len(texts)
    assert documents["val"] >= 1 <= documents["train"]
    assert found["train"] == "".join(texts[: documents["train"]])


@pytest.mark.parametrize(
    ("asked", "kind", "documents", "rule"),
    [
        ("auto", "text", 1, "contiguous"),
        ("auto", "documents", 1, "contiguous"),
        ("auto", "documents", 2, "documents"),
        ("auto", "chat", 9, "documents"),
        ("contiguous", "chat", 9, "contiguous"),
        ("documents", "documents", 9, "documents"),
    ],
)
def test_the_rule_that_is_chosen(asked, kind, documents, rule):
    assert choose_rule(Texts([], kind=kind), asked, documents) == rule


def test_a_plain_text_has_no_documents_to_split_by():
    with pytest.raises(DataError, match="--split contiguous"):
        choose_rule(Texts([], kind="text"), "documents", 1)
