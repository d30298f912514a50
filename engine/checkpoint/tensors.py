"""Named arrays in one safetensors file, hashed as they are written and read.

The format is a header length (8 bytes, little-endian), a JSON header, and the arrays'
bytes in the header's order: https://huggingface.co/docs/safetensors. Written here so
that no array is copied on its way to the disk and every fault names its file. It
knows no model and no checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CheckpointError
from engine.storage import write_synced

Arrays = Mapping[str, NDArray[Any]]

#: The format's name of a dtype -> NumPy's. bfloat16 has none in NumPy.
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {np.dtype(value): name for name, value in DTYPES.items()}
_ALIGNMENT = 8


@dataclass(frozen=True)
class FileSum:
    """What a file must be: its size and the SHA-256 of its bytes, in hex."""

    bytes: int
    sha256: str


def write_tensors(path: Path, arrays: Arrays) -> FileSum:
    """Write `arrays` to a new file and wait for the disk.

    Raises OSError, and then part of the file may be there.
    """
    digest = hashlib.sha256()
    size = 0

    def chunks() -> Iterator[bytes | memoryview]:
        nonlocal size
        for chunk in _serialize(arrays):
            digest.update(chunk)
            size += len(chunk)
            yield chunk

    write_synced(path, chunks())
    return FileSum(size, digest.hexdigest())


def _serialize(arrays: Arrays) -> Iterator[bytes | memoryview]:
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    offset = 0
    for name, array in arrays.items():
        header[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    yield len(text).to_bytes(8, "little") + text
    for array in arrays.values():
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        yield plain.reshape(-1).view(np.uint8).data


def read_tensors(path: Path, expected: FileSum) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read-only, after its size and hash have been checked.

    Raises CheckpointError that names the file when it is missing, truncated, altered
    or not in the format.
    """
    data = read_checked(path, expected)
    try:
        return _deserialize(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None


def read_checked(path: Path, expected: FileSum) -> bytes:
    """The file's bytes, if they are those that were written."""
    check_size(path, expected)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        raise CheckpointError(f"{path} has been altered: its SHA-256 does not match")
    return data


def check_size(path: Path, expected: FileSum) -> None:
    """Raise CheckpointError unless the file is there, and as long as it was."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} is missing: {error.strerror}") from None
    if size != expected.bytes:
        raise CheckpointError(
            f"{path} is truncated or altered: {size} bytes where {expected.bytes} "
            "were written"
        )


def _deserialize(data: bytes) -> dict[str, NDArray[Any]]:
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = np.dtype(DTYPES[entry["dtype"]])
        shape = tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        count = (end - begin) // dtype.itemsize
        flat = np.frombuffer(data, dtype, count, start + begin)
        arrays[name] = flat.reshape(shape)
    return arrays
