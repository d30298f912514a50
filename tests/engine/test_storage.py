import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine import storage
from engine.errors import StorageError
from engine.storage import (
    SCRAP,
    new_folder,
    remove_folder,
    replace_file,
    sweep,
    to_json,
    write_all,
    write_synced,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class FullDisk:
    """Stands for `os.write`: takes `room` bytes, then none."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(self.room, len(data))
        self.room -= taken
        return self.write(descriptor, data[:taken])


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    def fill(room: int) -> None:
        monkeypatch.setattr(storage.os, "write", FullDisk(room))

    return fill


def test_a_file_is_replaced_by_its_new_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert reader.read() == b"old"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, full_disk: Any
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    full_disk(room=2)
    with pytest.raises(StorageError, match=r"file: No space left.*free some space"):
        replace_file(path, b"new content")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone/file: No such file"):
        replace_file(tmp_path / "gone" / "file", b"")


def test_writing_goes_on_where_the_disk_took_only_part(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, True)
    write_all(write, b"x" * 1000)
    os.close(write)
    assert os.read(read, 2000) == b"x" * 1000
    os.close(read)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    with new_folder(path) as folder:
        write_synced(folder / "a", [b"1", b"2"])
        assert not path.exists()
    assert (path / "a").read_bytes() == b"12"
    assert names(path.parent) == ["folder"]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_error_while_filling_a_folder_leaves_nothing(
    tmp_path: Path, error: BaseException
) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "folder") as folder:
            write_synced(folder / "a", [b"1"])
            raise error

    with pytest.raises(type(error)):
        fill()
    assert names(tmp_path) == []


def test_a_full_disk_while_filling_a_folder_leaves_nothing(
    tmp_path: Path, full_disk: Any
) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "folder") as folder:
            write_synced(folder / "a", [b"1" * 9])
            write_synced(folder / "b", [b"1" * 9])

    full_disk(room=10)
    with pytest.raises(StorageError, match="No space left"):
        fill()
    assert names(tmp_path) == []


def test_a_folder_in_use_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    with (
        pytest.raises(StorageError, match="not empty"),
        new_folder(tmp_path / "folder"),
    ):
        pass
    assert names(tmp_path / "folder") == ["mine"]
    with new_folder(tmp_path / "folder", replace=True):
        pass
    assert names(tmp_path / "folder") == []


def test_a_removed_folder_is_gone_with_all_it_held(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    remove_folder(tmp_path / "folder")
    assert names(tmp_path) == []


def test_sweeping_removes_only_what_dead_writers_left(tmp_path: Path) -> None:
    (tmp_path / f"{SCRAP}folder.1").mkdir()
    (tmp_path / f"{SCRAP}file.2").touch()
    (tmp_path / "kept").touch()
    sweep(tmp_path)
    assert names(tmp_path) == ["kept"]


def test_json_is_one_line_of_strict_json() -> None:
    line = to_json({"text": "a\nb\u00e9", "value": 0.1})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == {"text": "a\nb\u00e9", "value": 0.1}
    with pytest.raises(ValueError, match="JSON"):
        to_json({"value": float("nan")})
