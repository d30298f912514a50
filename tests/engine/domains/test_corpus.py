from dataclasses import replace

import pytest

from engine.data import TokenStore, prepare, scan, texts
from engine.domains import domains, open_corpus
from engine.errors import ConfigError, DataError
from engine.tokenizers import build_or_load, specials_for

GENERATED = [d for d in domains if domains.get(d).corpus.kind == "generator"]


@pytest.fixture
def novel(tmp_path):
    path = tmp_path / "novel.txt"
    path.write_text("Once upon a time")
    return str(path)


def test_a_file_comes_before_the_domains_own_text(novel, tmp_path):
    for domain in ("", "novels", "chords", "python"):
        assert open_corpus(novel, domain, tmp_path).name == novel


@pytest.fixture(params=GENERATED)
def small(request):
    """Each domain with a generator, its corpus cut short, under the name `small`."""
    whole = domains.get(request.param)
    corpus = replace(whole.corpus, documents=400)
    domain = replace(whole, name="small", corpus=corpus)
    domains.register("small")(domain)
    yield domain
    domains.unregister("small")


@pytest.mark.usefixtures("small")
def test_a_generated_corpus_is_written_once(tmp_path):
    source = open_corpus("", "small", tmp_path)
    (path,) = (tmp_path / "corpora").iterdir()
    before = path.stat()
    again = open_corpus("", "small", tmp_path)
    assert (source.name, source.kind) == (again.name, again.kind)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert scan(source, 1, 0.1).documents == 400


def test_a_generated_corpus_and_the_prompts_suit_the_tokenizer(small, tmp_path):
    source = open_corpus("", "small", tmp_path)
    tokenizer = build_or_load(
        small.tokenizer,
        texts(source),
        cache_dir=tmp_path,
        specials=specials_for(source.kind),
        content_hash=scan(source, 1, 0.1).digest,
    ).tokenizer
    dataset = prepare(source, tokenizer, cache_dir=tmp_path)
    assert isinstance(dataset.train, TokenStore)
    assert dataset.record["split"]["rule"] == "documents"
    for prompt in small.prompts:
        assert tokenizer.decode(tokenizer.encode(prompt)) == prompt


def test_the_python_domain_needs_no_file(tmp_path):
    assert open_corpus("", "python", tmp_path).kind == "documents"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "domain", "error", "words"),
    [
        ("", "", ConfigError, "name a file, or a domain that brings one"),
        ("", "poems", ConfigError, "known are: python"),
        ("", "novels", DataError, "give a text file or a folder of text files with"),
        ("", "concordance", DataError, "alpha datagen concordance --data TEXT"),
        ("absent.txt", "novels", DataError, "absent.txt: no such file"),
    ],
)
def test_what_cannot_be_opened_says_what_would_be_right(
    tmp_path, data, domain, error, words
):
    with pytest.raises(error) as caught:
        open_corpus(data, domain, tmp_path)
    assert words in str(caught.value)
