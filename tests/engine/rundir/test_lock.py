import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import StorageError
from engine.rundir.lock import RunLock, locked

HOLD = """
import sys
from pathlib import Path
from engine.rundir.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    assert not locked(tmp_path)
    with closing(RunLock(tmp_path)):
        assert locked(tmp_path)
        says = f"{tmp_path.name} is being written by process {os.getpid()}"
        with pytest.raises(StorageError, match=says):
            RunLock(tmp_path)
    assert not locked(tmp_path)
    RunLock(tmp_path).close()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match=f"process {holder.pid}"):
            RunLock(tmp_path)
        holder.kill()
        holder.wait()
    RunLock(tmp_path).close()


def test_a_run_whose_folder_is_gone_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone/lock: No such file"):
        RunLock(tmp_path / "gone")
