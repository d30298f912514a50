"""From a configuration to what a run is made of: text, tokenizer, tokens, backend.

The one place where the parts of the engine are put together; commands and workers
start here. It writes only into the cache, and knows no run directory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.backends import Backend, backends
from engine.config import RunConfig, TrainConfig, require
from engine.data import Dataset, Source, prepare, scan, texts
from engine.domains import open_corpus
from engine.errors import ConfigError
from engine.tokenizers import Tokenizer, build_or_load, specials_for

#: Which documents validate does not follow a run's seed: runs of one text compare.
SPLIT_SEED = 1337
#: The tokenizer where neither the user nor the domain names one.
TOKENIZER = "bpe"


@dataclass(frozen=True)
class Ingredients:
    """What a run is made of.

    config   with the vocabulary's size filled in, and the text's path made absolute
    rebuilt  why cached files were thrown away and made again
    """

    config: RunConfig
    source: Source
    tokenizer: Tokenizer
    dataset: Dataset
    rebuilt: Sequence[str] = ()

    def tokenizer_record(self) -> dict[str, Any]:
        """What a run's record keeps of the tokenizer."""
        return {
            "name": self.tokenizer.name,
            "kind": self.tokenizer.kind,
            "vocab_size": self.tokenizer.vocab_size,
            "fingerprint": self.tokenizer.fingerprint,
        }


def gather(
    config: RunConfig,
    cache_dir: Path,
    *,
    tokenizer: Tokenizer | None = None,
    digest: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Ingredients:
    """Read the text, build the tokenizer unless one is given, encode the text.

    `digest` is what the text's must be, where it matters: a run's, gone on with.
    `say` is told what is being done, since the first time it can take a while.
    Raises ConfigError, DataError or TokenizerError for what cannot be used,
    StorageError when the cache cannot be written.
    """
    data = config.data
    source = open_corpus(data.data, data.domain, cache_dir)
    say(f"reading {source.name}")
    found = scan(source, SPLIT_SEED, data.val_fraction)
    if digest and found.digest != digest:
        raise ConfigError(
            "data",
            source.name,
            f"not the text that the run began with: its digest is {found.digest[:16]}, "
            f"the run's {digest[:16]}",
        )
    rebuilt = []
    if tokenizer is None:
        say(f"tokenizer {data.tokenizer or TOKENIZER} for {found.bytes:,} bytes")
        built = build_or_load(
            data.tokenizer or TOKENIZER,
            texts(source),
            data.tokenizer_vocab,
            cache_dir=cache_dir,
            specials=specials_for(source.kind),
            content_hash=found.digest,
        )
        tokenizer = built.tokenizer
        rebuilt.append(built.rebuilt)
    say(f"tokens of {tokenizer.vocab_size:,} kinds")
    dataset = prepare(
        source,
        tokenizer,
        cache_dir=cache_dir,
        split=data.split,
        val_fraction=data.val_fraction,
        seed=SPLIT_SEED,
        found=found,
    )
    rebuilt.append(dataset.rebuilt)
    return Ingredients(
        _filled_in(config, tokenizer),
        source,
        tokenizer,
        dataset,
        [reason for reason in rebuilt if reason],
    )


def choose_backend(config: TrainConfig) -> Backend:
    """The backend that the settings name; "auto" is NumPy's, on any machine."""
    name = "numpy" if config.backend == "auto" else config.backend
    return backends.get(name)(config.threads)


def _filled_in(config: RunConfig, tokenizer: Tokenizer) -> RunConfig:
    size = config.model.vocab_size or tokenizer.vocab_size
    require(
        size >= tokenizer.vocab_size,
        "vocab_size",
        size,
        f"the tokenizer has {tokenizer.vocab_size} tokens; at least that many, or 0",
    )
    data = config.data
    if data.data:
        data = dataclasses.replace(data, data=str(Path(data.data).resolve()))
    model = dataclasses.replace(config.model, vocab_size=size)
    return dataclasses.replace(config, model=model, data=data)
