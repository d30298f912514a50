import pytest

from engine.cli.flags import resolve
from engine.datagen import generators
from engine.domains import Corpus, Domain, domains
from engine.errors import ConfigError
from engine.tokenizers import tokenizers

NAMES = [
    "python",
    "novels",
    "chords",
    "abc",
    "dumb_finance",
    "chaos",
    "concordance",
    "chat",
]


def test_the_built_in_domains_are_there():
    assert domains.names() == NAMES


def test_an_unknown_domain_names_those_there_are():
    with pytest.raises(ConfigError, match="'poems': known are: python, novels, chords"):
        domains.get("poems")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_defaults_make_a_valid_configuration(name, preset):
    domain = domains.get(name)
    config = resolve({"domain": name}, preset, domain.defaults())
    assert config.data.tokenizer == domain.tokenizer
    assert domain.tokenizer in tokenizers
    assert config.train.iters == domain.settings["iters"]


@pytest.mark.parametrize("name", NAMES)
def test_a_domain_is_complete(name):
    domain = domains.get(name)
    assert domain.name == name
    assert domain.title
    assert domain.description.endswith(".")
    assert all(domain.prompts)
    corpus = domain.corpus
    if corpus.kind == "generator":
        assert corpus.generator in generators
        assert corpus.documents > 0
    assert bool(corpus.wanted) == (corpus.kind == "file")


def test_settings_cannot_be_changed():
    with pytest.raises(TypeError):
        domains.get("python").settings["iters"] = 1


@pytest.mark.parametrize("field", ["name", "title", "tokenizer", "prompts"])
def test_a_domain_without_something_is_refused(field):
    values = {
        "name": "mine",
        "title": "Mine",
        "description": "My own.",
        "tokenizer": "char",
        "corpus": Corpus("file", wanted="a file"),
        "prompts": ("a",),
    }
    Domain(**values)
    with pytest.raises(ConfigError, match=field):
        Domain(**values | {field: type(values[field])()})


def test_a_third_party_adds_its_own():
    mine = Domain("mine", "Mine", "My own.", "char", Corpus("stdlib"), ("a",))
    domains.register("mine")(mine)
    try:
        assert domains.get("mine") is mine
    finally:
        domains.unregister("mine")
