"""From what the user said, a file or a domain, to a source of text.

Knows the ways in which a domain's text comes about. Knows nothing about tokens.
"""

from __future__ import annotations

from pathlib import Path

from engine.data.source import Source, open_source
from engine.datagen import Request, generators
from engine.datagen.write import Progress, write_corpus
from engine.domains.domain import Corpus, Domain, domains
from engine.domains.stdlib import python_sources
from engine.errors import ConfigError, DataError

#: Generated corpora do not follow a run's seed: runs of one domain compare.
SEED = 1337


def open_corpus(
    data: str, domain: str, cache_dir: Path, progress: Progress | None = None
) -> Source:
    """The source that `data` names, else the one that `domain` brings along.

    A generated corpus is written once under `cache_dir` and found there afterwards.
    Raises ConfigError when neither is given or the domain is unknown, DataError for
    a file that cannot be used or has to be brought, StorageError.
    """
    found = domains.get(domain) if domain else None
    if data:
        return open_source(data)
    if found is None:
        raise ConfigError("data", data, "name a file, or a domain that brings one")
    if found.corpus.kind == "stdlib":
        return python_sources()
    if found.corpus.kind == "generator":
        return open_source(_generated(found.corpus, cache_dir, progress))
    raise _bring(found)


def _generated(corpus: Corpus, cache_dir: Path, progress: Progress | None) -> Path:
    generator = generators.get(corpus.generator)
    name = f"{corpus.generator}-v{generator.version}-{corpus.documents}.jsonl"
    path = cache_dir / "corpora" / name
    if not path.exists():
        write_corpus(
            corpus.generator,
            generator,
            path,
            Request(seed=SEED),
            documents=corpus.documents,
            progress=progress,
        )
    return path


def _bring(domain: Domain) -> DataError:
    return DataError(
        f"domain {domain.name} brings no text: give {domain.corpus.wanted} with --data"
    )
