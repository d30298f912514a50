"""From a source and a tokenizer to two token stores, through a cache on disk.

Knows the order of the work: read, split, encode, write, open. The cache's key is what
the tokens depend on: the content, the tokenizer, the rule of the split. So a changed
file is never mistaken for the old one, and nothing has to be declared stale.

    CACHE/datasets/KEY/lock      held by the one process that writes
    CACHE/datasets/KEY/tokens/   whole or absent (engine.data.shards)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import require
from engine.data.encode import Encoder, Tokenizer
from engine.data.shards import (
    SHARD_TOKENS,
    VERSION,
    DamagedShards,
    ShardWriter,
    check_files,
    open_store,
    read_manifest,
    token_dtype,
    write_manifest,
)
from engine.data.source import Kind, Piece, Source, open_source
from engine.data.split import (
    SIDES,
    ContentDigest,
    Rule,
    Scan,
    Side,
    changed,
    choose_rule,
    scan,
    sided_pieces,
)
from engine.data.store import TokenStore
from engine.errors import DataError
from engine.storage import new_folder, storage_errors, sweep

#: Called with (bytes done, bytes in all) while tokens are written.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Dataset:
    """Two sides of a source as tokens.

    record   what a run's record keeps: source, split, counts of either side
    rebuilt  why a cached copy was thrown away ("" when none was)
    """

    train: TokenStore
    val: TokenStore
    record: dict[str, Any]
    rebuilt: str = ""


@dataclass(frozen=True)
class _Plan:
    """All that the tokens depend on."""

    source: Source
    found: Scan
    rule: Rule
    encoder: Encoder
    shard_tokens: int

    def key(self) -> str:
        parts = {
            "version": VERSION,
            "content": self.found.digest,
            "tokenizer": self.encoder.tokenizer.fingerprint,
            "rule": self.rule,
            "val_fraction": self.found.val_fraction,
            "seed": self.found.seed if self.rule == "documents" else None,
        }
        text = json.dumps(parts, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def masked(self) -> bool:
        return self.source.kind == "chat"


def prepare(
    source: Source | str | os.PathLike[str],
    tokenizer: Tokenizer,
    *,
    cache_dir: Path,
    split: str = "auto",
    val_fraction: float = 0.1,
    seed: int = 1337,
    found: Scan | None = None,
    shard_tokens: int = SHARD_TOKENS,
    progress: Progress | None = None,
) -> Dataset:
    """Tokens of `source`, out of the cache or written into it.

    `seed` decides which documents validate and nothing else; `found` spares a reading
    where the caller has scanned the source already. Raises DataError for a
    source that cannot be read or split, TokenizerError for text that the tokenizer
    cannot encode, StorageError when the cache cannot be written; the cache is then as
    it was before.
    """
    known = ("auto", "documents", "contiguous")
    require(split in known, "split", split, f"one of {', '.join(known)}")
    require(
        0.0 < val_fraction < 1.0,
        "val_fraction",
        val_fraction,
        "must lie between 0 and 1",
    )
    if isinstance(source, (str, os.PathLike)):
        source = open_source(source)
    if found is None:
        found = scan(source, seed, val_fraction)
    if (found.seed, found.val_fraction) != (seed, val_fraction):
        raise ValueError("this scan was made with another seed or val_fraction")
    rule = choose_rule(source, split, found.documents)
    plan = _Plan(source, found, rule, Encoder(tokenizer), shard_tokens)
    folder = Path(cache_dir) / "datasets" / plan.key()
    body, rebuilt = _checked(folder / "tokens"), ""
    if isinstance(body, str):
        with _only_writer(folder):
            body = _checked(folder / "tokens")
            if isinstance(body, str):
                rebuilt = body
                _build(plan, folder, progress)
                body = read_manifest(folder / "tokens")
    record = body["record"] | {"source": source.name}
    record["split"] = record["split"] | {"asked": split}
    train, val = (open_store(folder / "tokens", body, side) for side in SIDES)
    return Dataset(train, val, record, rebuilt)


def _checked(folder: Path) -> dict[str, Any] | str:
    """The manifest of a whole folder, else what is wrong with it ("": absent)."""
    if not folder.exists():
        return ""
    try:
        body = read_manifest(folder)
        check_files(folder, body)
    except DamagedShards as damage:
        return str(damage)
    return body


@contextlib.contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process writes here; clear what dead ones left.

    The lock is the system's: it goes with its holder, however that ends.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with storage_errors(folder / "lock"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        sweep(folder)
        yield
    finally:
        os.close(descriptor)


def _build(plan: _Plan, folder: Path, progress: Progress | None) -> None:
    with new_folder(folder / "tokens", replace=True) as place:
        dtype = token_dtype(plan.encoder.tokenizer.vocab_size)
        with contextlib.ExitStack() as stack:
            writers = {
                side: stack.enter_context(
                    ShardWriter(place, side, dtype, plan.masked(), plan.shard_tokens)
                )
                for side in SIDES
            }
            counts = _encode(plan, writers, progress)
            sides: dict[str, dict[str, Any]] = {
                side: writer.finish() for side, writer in writers.items()
            }
        record = _record(plan, sides, counts)
        write_manifest(place, dtype, plan.shard_tokens, record, sides)


def _encode(
    plan: _Plan, writers: Mapping[Side, ShardWriter], progress: Progress | None
) -> dict[str, dict[str, int]]:
    """Write every token; bytes and characters of each side."""
    watched = _Watched(plan.source)
    counts: dict[str, dict[str, int]] = {
        side: {"bytes": 0, "characters": 0, "target_bytes": 0} for side in SIDES
    }
    done = 0
    for sided in sided_pieces(watched, plan.found, plan.rule):
        writer, count = writers[sided.side], counts[sided.side]
        encoded = plan.encoder.encode(sided.piece, plan.source.kind)
        if sided.first:
            writer.begin_document()
        writer.append(encoded.ids, encoded.counts)
        size = len(sided.piece.text.encode())
        count["bytes"] += size
        count["characters"] += len(sided.piece.text)
        count["target_bytes"] += encoded.target_bytes
        done += size
        if progress is not None:
            progress(done, plan.found.bytes)
    if watched.digest.hexdigest() != plan.found.digest:
        raise changed(plan.source)
    for side, writer in writers.items():
        if writer.tokens < 2:
            raise DataError(
                f"{plan.source.name}: the {side} side of the split gets "
                f"{writer.tokens} tokens, and needs 2 at least: give more text"
            )
    return counts


def _record(
    plan: _Plan, sides: Mapping[str, Any], counts: Mapping[str, dict[str, int]]
) -> dict[str, Any]:
    tokenizer = plan.encoder.tokenizer
    record: dict[str, Any] = {
        "source": plan.source.name,
        "kind": plan.source.kind,
        "digest": plan.found.digest,
        "documents": plan.found.documents,
        "bytes": plan.found.bytes,
        "characters": plan.found.characters,
        "tokenizer": tokenizer.name,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "separator": plan.encoder.separator(plan.source.kind),
        "split": {
            "rule": plan.rule,
            "val_fraction": plan.found.val_fraction,
            "seed": plan.found.seed if plan.rule == "documents" else None,
        },
    }
    for side in SIDES:
        found = {key: sides[side][key] for key in ("documents", "tokens", "targets")}
        record[side] = found | counts[side]
    return record


class _Watched:
    """A source that keeps the digest of what it gave out."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.digest = ContentDigest(source.kind)

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def kind(self) -> Kind:
        return self._source.kind

    @property
    def size(self) -> int:
        return self._source.size

    def pieces(self) -> Iterator[Piece]:
        for piece in self._source.pieces():
            self.digest.add(piece)
            yield piece
