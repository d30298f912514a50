"""A tokenizer built once for one text, and read from then on.

Knows hashes and files. Knows no kind of tokenizer. The cache's key is all that a
vocabulary depends on: the text, the name, the size, the special tokens, the version
of the builder. So nothing has to be declared stale, and the cache can be thrown away.

    CACHE/tokenizers/NAME-KEY.json

A cached file that is damaged is built again; `Built.rebuilt` says what was wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import TokenizerError
from engine.storage import storage_errors
from engine.tokenizers.artifact import load_tokenizer
from engine.tokenizers.base import FORMAT_VERSION, Text, Tokenizer, tokenizers


@dataclass(frozen=True)
class Built:
    """A tokenizer and where it came from.

    path     its artifact in the cache
    cached   it was read, not built
    rebuilt  why a cached copy was thrown away ("" when none was)
    """

    tokenizer: Tokenizer
    path: Path
    cached: bool
    rebuilt: str = ""


def build_or_load(
    name: str,
    texts: Iterable[Text],
    vocab_size: int = 0,
    *,
    cache_dir: Path,
    specials: Sequence[str] = (),
    content_hash: str = "",
) -> Built:
    """The tokenizer `name` for `texts`, out of the cache or built into it.

    `content_hash` names the content of `texts` where the caller knows it; they are
    then read only to build. Without it they are read twice, so that they must be a
    list, or anything that can be gone through more than once. Raises ConfigError for
    a name that is not registered, TokenizerError for texts that do not allow such a
    vocabulary, StorageError when the cache cannot be written.
    """
    builder = tokenizers.get(name)
    if not content_hash:
        texts = texts if isinstance(texts, Sequence) else list(texts)
        content_hash = hash_texts(texts)
    parts = [
        FORMAT_VERSION,
        builder.version,
        name,
        vocab_size,
        list(specials),
        content_hash,
    ]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    folder = Path(cache_dir) / "tokenizers"
    path = folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', name)}-{key}.json"
    rebuilt = ""
    if path.exists():
        try:
            return Built(load_tokenizer(path), path, cached=True)
        except TokenizerError as error:
            rebuilt = str(error)
    tokenizer = builder.build(texts, vocab_size, specials=specials)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(path)
    return Built(tokenizer, path, cached=False, rebuilt=rebuilt)


def hash_texts(texts: Iterable[Text]) -> str:
    """SHA-256, hexadecimal, of texts and of where one ends and the next begins."""
    digest = hashlib.sha256()
    for text in texts:
        data = (
            text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        )
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
