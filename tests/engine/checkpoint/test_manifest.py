import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint import Manifest
from engine.checkpoint.manifest import NAME
from engine.checkpoint.tensors import FileSum
from engine.errors import CheckpointError

MANIFEST = Manifest(
    step=2000,
    val_loss=1.5,
    trainer={"step": 2000, "average": 0.1 + 0.2},
    about={"run": "first", "config": {"model": {"n_layer": 4}}},
    files={"model.safetensors": FileSum(10, "ab"), "more": FileSum(5, "cd")},
)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(MANIFEST.encode())
    assert Manifest.read(tmp_path) == MANIFEST


def test_its_size_is_that_of_its_files() -> None:
    assert MANIFEST.size == 15


@given(place=st.integers(0, len(MANIFEST.encode()) - 2), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(
    place: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Only a change that leaves the same JSON (a blank for a blank) may pass."""
    data = bytearray(MANIFEST.encode())
    data[place] ^= 1 << bit
    folder = tmp_path_factory.mktemp("manifest")
    (folder / NAME).write_bytes(data)
    with contextlib.suppress(CheckpointError):
        assert Manifest.read(folder) == MANIFEST


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"format": 9}')
    with pytest.raises(CheckpointError, match="not a checkpoint of format 1"):
        Manifest.read(tmp_path)


def test_a_folder_without_one_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"is no checkpoint: it has no state\.json"
    ):
        Manifest.read(tmp_path)
