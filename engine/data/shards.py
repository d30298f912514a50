"""Token shards on disk: how they are written, checked and opened.

Knows arrays and files. Knows nothing about text, tokenizers or splits.

A folder holds, for every side `S` (train, val):

    S-00000.tokens ...   ids, little-endian uint16 or uint32, SHARD_TOKENS a file
    S-00000.mask ...     only where targets are masked: bit i % 8 of byte i // 8 is
                         set when token i of the shard counts as a target
    S.documents          uint64 little-endian: the token each document begins at
    manifest.json        {"checksum": blake2b of the canonical body, "body": {...}}

The body names dtype, shard size, and every file with its size and checksum, so that a
folder that was truncated or altered is known before a token of it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.data.store import TokenStore
from engine.errors import DataError
from engine.storage import storage_errors, write_all, write_synced

FORMAT = "alpha-tokens"

#: Raised whenever the same source would give other files.
VERSION = 1

#: Tokens a shard file holds; a multiple of 8, so that mask bytes are never shared.
SHARD_TOKENS = 1 << 26

MANIFEST = "manifest.json"
_DIGEST_BYTES = 16
_READ = 1 << 22


class DamagedShards(DataError):
    """A folder of shards is not what its writer left: which file, and how."""


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The dtype on disk: uint16 as far as it reaches, else uint32."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


class _File:
    """A file being written, its size and checksum kept along the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(path, flags, 0o666)

    def write(self, array: NDArray[Any]) -> None:
        data = array.tobytes()
        write_all(self._descriptor, data)
        self._hash.update(data)
        self.bytes += len(data)

    def finish(self) -> dict[str, Any]:
        """Bring the file to the disk and describe it for the manifest."""
        try:
            os.fsync(self._descriptor)
        finally:
            self.close()
        digest = self._hash.hexdigest()
        return {"name": self.path.name, "bytes": self.bytes, "blake2b": digest}

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class ShardWriter:
    """Writes the tokens of one side as they come; memory holds no more than a call's.

    Use as a context manager and call `finish` for the manifest's entry.
    """

    def __init__(
        self,
        folder: Path,
        side: str,
        dtype: np.dtype[Any],
        masked: bool,
        shard_tokens: int = SHARD_TOKENS,
    ) -> None:
        if shard_tokens < 8 or shard_tokens % 8:
            raise ValueError(f"shard_tokens = {shard_tokens}: a multiple of 8")
        self.tokens = 0
        self.targets = 0
        self.documents = 0
        self._folder, self._side = folder, side
        self._dtype, self._masked, self._shard_tokens = dtype, masked, shard_tokens
        self._finished: list[dict[str, Any]] = []
        self._bits = np.zeros(0, dtype=np.bool_)
        self._ids: _File | None = None
        self._mask: _File | None = None
        self._starts = _File(folder / f"{side}.documents")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in (self._ids, self._mask, self._starts):
            if file is not None:
                file.close()

    def begin_document(self) -> None:
        """The next token appended is a document's first."""
        self._starts.write(np.array([self.tokens], dtype="<u8"))
        self.documents += 1

    def append(
        self, ids: NDArray[np.int32], counts: NDArray[np.bool_] | None = None
    ) -> None:
        """Add tokens (n,); `counts` (n,), when masked, tells which are targets."""
        if self._masked and counts is None:
            counts = np.ones(len(ids), dtype=np.bool_)
        done = 0
        while done < len(ids):
            filled = self.tokens % self._shard_tokens
            if filled == 0:
                self._next_shard()
            take = min(len(ids) - done, self._shard_tokens - filled)
            part = slice(done, done + take)
            assert self._ids is not None
            self._ids.write(ids[part].astype(self._dtype))
            if self._mask is not None and counts is not None:
                self._write_bits(self._mask, counts[part])
            done += take
            self.tokens += take
        self.targets += len(ids) if counts is None else int(np.count_nonzero(counts))

    def finish(self) -> dict[str, Any]:
        """Close the files: the side's entry in the manifest."""
        self._close_shard()
        self._finished.append(self._starts.finish())
        return {
            "tokens": self.tokens,
            "targets": self.targets,
            "documents": self.documents,
            "masked": self._masked,
            "files": self._finished,
        }

    def _next_shard(self) -> None:
        self._close_shard()
        stem = f"{self._side}-{self.tokens // self._shard_tokens:05d}"
        self._ids = _File(self._folder / f"{stem}.tokens")
        if self._masked:
            self._mask = _File(self._folder / f"{stem}.mask")

    def _write_bits(self, file: _File, counts: NDArray[np.bool_]) -> None:
        bits = np.concatenate((self._bits, counts))
        whole = len(bits) // 8 * 8
        file.write(np.packbits(bits[:whole], bitorder="little"))
        self._bits = bits[whole:]

    def _close_shard(self) -> None:
        if self._mask is not None:
            self._mask.write(np.packbits(self._bits, bitorder="little"))
            self._bits = self._bits[:0]
            self._finished.append(self._mask.finish())
        if self._ids is not None:
            self._finished.append(self._ids.finish())
        self._ids = self._mask = None


def write_manifest(
    folder: Path,
    dtype: np.dtype[Any],
    shard_tokens: int,
    record: Mapping[str, Any],
    sides: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write the folder's manifest; `record` is kept in it for whoever opens it."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": dtype.name,
        "shard_tokens": shard_tokens,
        "record": dict(record),
        "sides": {name: dict(entry) for name, entry in sides.items()},
    }
    manifest = {"checksum": _body_checksum(body), "body": body}
    path = folder / MANIFEST
    with storage_errors(path):
        write_synced(path, [json.dumps(manifest, indent=2).encode() + b"\n"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest's body. Raises DamagedShards, also for another format's."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        body, checksum = manifest["body"], manifest["checksum"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedShards(f"{path}: not readable as a manifest ({error})") from None
    if not isinstance(body, dict) or _body_checksum(body) != checksum:
        raise DamagedShards(f"{path}: altered since it was written")
    found = f"{body.get('format')} {body.get('version')}"
    if found != f"{FORMAT} {VERSION}":
        raise DamagedShards(f"{path}: is {found}, needed is {FORMAT} {VERSION}")
    return body


def check_files(folder: Path, body: Mapping[str, Any]) -> None:
    """Compare every file with the manifest. Raises DamagedShards naming the first."""
    for entry in body["sides"].values():
        for file in entry["files"]:
            path = folder / file["name"]
            try:
                size = path.stat().st_size
                if size != file["bytes"]:
                    raise DamagedShards(
                        f"{path}: {size} bytes instead of {file['bytes']}"
                    )
                if _file_checksum(path) != file["blake2b"]:
                    raise DamagedShards(f"{path}: altered since it was written")
            except OSError as error:
                raise DamagedShards(f"{path}: {error.strerror}") from None


def open_store(folder: Path, body: Mapping[str, Any], side: str) -> TokenStore:
    """Map one side's files into memory; reading a token reads its page only."""
    entry = body["sides"][side]
    names = [file["name"] for file in entry["files"]]

    def mapped(ending: str, dtype: str) -> Sequence[NDArray[Any]]:
        return [
            np.memmap(folder / name, dtype=dtype, mode="r")
            for name in sorted(names)
            if name.endswith(ending)
        ]

    ids = "<u2" if body["dtype"] == "uint16" else "<u4"
    return TokenStore(
        name=side,
        shards=mapped(".tokens", ids),
        masks=mapped(".mask", "u1") if entry["masked"] else None,
        documents=mapped(".documents", "<u8")[0],
        targets=entry["targets"],
    )


def _body_checksum(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _file_checksum(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as handle:
        while block := handle.read(_READ):
            digest.update(block)
    return digest.hexdigest()
