"""tokenizer.json: what `Tokenizer.save` wrote, read back and checked.

Knows the frame around a tokenizer's content; the content is its builder's business.
A file that was cut short or altered is refused, since ids that mean something else
would spoil a model silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import TokenizerError
from engine.tokenizers.base import (
    FORMAT,
    FORMAT_VERSION,
    Tokenizer,
    field,
    tokenizers,
)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer saved at `path`.

    Raises TokenizerError, naming the file, for one that is missing, cut short,
    altered or of another format, or of a kind that is not registered.
    """
    try:
        record = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise TokenizerError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise TokenizerError(
            f"{path}: not a whole tokenizer file: {error}; build it again"
        ) from None
    try:
        return from_json(record)
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from None


def from_json(record: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer whose `to_json` is `record`. Raises TokenizerError."""
    if not isinstance(record, Mapping) or record.get("format") != FORMAT:
        raise TokenizerError(f"not a tokenizer: 'format' must be {FORMAT!r}")
    if record.get("version") != FORMAT_VERSION:
        raise TokenizerError(
            f"tokenizer format version {record.get('version')!r} is unknown; "
            f"this program reads version {FORMAT_VERSION}"
        )
    kind = field(record, "kind", str)
    if kind not in tokenizers:
        known = ", ".join(tokenizers)
        raise TokenizerError(
            f"tokenizer kind {kind!r} is not registered; known are: {known}. "
            "If a plugin brings it, name the plugin with --plugin"
        )
    tokenizer = tokenizers.get(kind).load(record)
    for name, found in (
        ("fingerprint", tokenizer.fingerprint),
        ("vocab_size", tokenizer.vocab_size),
    ):
        if record.get(name) != found:
            raise TokenizerError(
                f"altered after it was saved: its {name} is {found}, "
                f"not {record.get(name)!r}; build it again"
            )
    return tokenizer
