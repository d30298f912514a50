import errno
import os
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import storage
from engine.errors import StorageError
from engine.rundir.lines import LineWriter, cut, keep, read_lines
from engine.storage import to_json

FIVE = b"".join(to_json({"step": step, "loss": 1.0 / step}) for step in range(1, 6))


def steps(path: Path) -> list[int]:
    return [record["step"] for record in read_lines(path)]


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for step in (1, 2):
        with closing(LineWriter(path)) as writer:
            writer.append(to_json({"step": step}))
            writer.sync()
    assert steps(path) == [1, 2]


def test_a_line_that_the_disk_refuses_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    write, room = os.write, 5

    def full(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(room, len(data))
        room -= taken
        return write(descriptor, data[:taken])

    with closing(LineWriter(path)) as writer:
        writer.append(to_json({"step": 1}))
        monkeypatch.setattr(storage.os, "write", full)
        with pytest.raises(StorageError, match="lines: No space left"):
            writer.append(to_json({"step": 2}))
    assert path.read_bytes() == to_json({"step": 1})


@given(size=st.integers(0, len(FIVE)), last=st.integers(0, 6))
def test_a_file_torn_anywhere_is_cut_to_its_whole_lines_up_to_a_step(
    size: int, last: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "lines"
    path.write_bytes(FIVE[:size])
    whole = FIVE[:size].count(b"\n")
    assert cut(path, last) == min(whole, last)
    assert path.read_bytes() == b"".join(FIVE.splitlines(True)[: min(whole, last)])


@pytest.mark.parametrize(
    "tail",
    [b'{"step"', b"\0\0\0\0", b"\0\0\n", b"[]\n", b'{"a": 1}\n', b"\n", b"\xff\n"],
)
def test_a_ruined_tail_is_dropped(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(FIVE + tail)
    assert steps(path) == [1, 2, 3, 4, 5]
    assert cut(path, 9) == 5
    assert path.read_bytes() == FIVE


def test_several_lines_of_one_step_stay_or_go_together(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(to_json({"step": step}) for step in (2, 2, 4, 4, 4)))
    assert cut(path, 3) == 2
    assert steps(path) == [2, 2]


def test_a_file_that_never_was_is_at_step_zero(tmp_path: Path) -> None:
    assert cut(tmp_path / "none", 5) == 0
    assert list(read_lines(tmp_path / "none")) == []
    keep(tmp_path / "none", lambda record: True)
    assert not (tmp_path / "none").exists()


def test_lines_can_be_kept_by_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(FIVE + b'{"torn"')
    keep(path, lambda record: record["step"] % 2 == 1)
    assert steps(path) == [1, 3, 5]
