"""What a domain is, and the registry of them.

Knows names of config fields. Knows no domain, no corpus and no training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from engine.config import require
from engine.registry import Registry

#: file: the user brings it; generator: a program writes it; stdlib: Python's sources.
CorpusKind = Literal["file", "generator", "stdlib"]


@dataclass(frozen=True)
class Corpus:
    """How a domain's text comes about when the user names none.

    generator  name in `engine.datagen.generators`
    documents  how many documents it writes
    wanted     what file the user is to bring, where there is no other way
    """

    kind: CorpusKind
    generator: str = ""
    documents: int = 0
    wanted: str = ""


@dataclass(frozen=True)
class Domain:
    """A kind of text: how it is named and described, sampled and learnt.

    tokenizer  name in the registry of tokenizers
    prompts    what samples begin with
    settings   config field -> value, under whatever the user says
    """

    name: str
    title: str
    description: str
    tokenizer: str
    corpus: Corpus
    prompts: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "title", "description", "tokenizer", "prompts"):
            value = getattr(self, name)
            require(bool(value), name, value, "a domain must have this")
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def defaults(self) -> dict[str, Any]:
        """Config field -> value: the settings, and the tokenizer among them."""
        return {"tokenizer": self.tokenizer, **self.settings}


domains: Registry[Domain] = Registry("domain")
