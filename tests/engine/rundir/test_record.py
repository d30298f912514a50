from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.errors import DataError
from engine.rundir.record import STATES, RunRecord, now, read_record

RECORD = RunRecord(
    run="first",
    name="a first try",
    config=RunConfig().to_dict(),
    domain="python",
    dataset={"digest": "ab"},
    tokenizer={"fingerprint": "cd"},
    parameters=10,
    environment={"python": "3.11"},
    created=now(),
    val_loss=1.5,
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    found = read_record(tmp_path)
    assert found == RECORD
    assert found.run_config() == RunConfig()


def test_a_new_run_is_in_a_known_state() -> None:
    assert RECORD.state in STATES


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"run\.json is not whole"),
        (b"[]", r"run\.json is not a run's record"),
        (b'{"format": 99}', "of format 1"),
        (b'{"format": 1, "run": "x"}', r"run\.json is not whole.*missing"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_record(tmp_path)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.json cannot be read: No such file"):
        read_record(tmp_path)
