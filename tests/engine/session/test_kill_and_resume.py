"""A run that is killed, however often and wherever, ends as if it never had been."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.checkpoint import verify
from engine.rundir.layout import RunDir
from engine.storage import SCRAP
from tests.engine.session.recording import SHORT, train

WALL_CLOCK = {"elapsed_ms", "ms_per_iter", "tokens_per_sec"}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    path = tmp_path_factory.mktemp("reference") / "run"
    train(path)
    return RunDir(path)


def lines(path: Path, without: set[str]) -> list[dict[str, object]]:
    found = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        found.append({k: v for k, v in record.items() if k not in without})
    return found


def assert_same(run: RunDir, reference: RunDir) -> None:
    assert lines(run.metrics, WALL_CLOCK) == lines(reference.metrics, WALL_CLOCK)
    assert lines(run.samples, {"time"}) == lines(reference.samples, {"time"})
    last = reference.store.steps()[-1]
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (r.store.path(last) / name for r in (run, reference))
        assert ours.read_bytes() == theirs.read_bytes()
    assert run.store.steps() == reference.store.steps()
    for step in run.store.steps():
        verify(run.store.path(step))
    assert not list(run.path.rglob(f"{SCRAP}*"))
    assert run.state() == "completed"


def kill(path: Path, mode: str, *numbers: int) -> int:
    """Have processes die at operations on their files; how many did."""
    command = [sys.executable, "-m", "tests.engine.session.killed", str(path), mode]
    done = subprocess.run(
        [*command, *map(str, numbers)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_the_run_to_be_killed_skips_a_spike_so_that_its_guards_matter(
    uninterrupted: RunDir,
) -> None:
    skipped = [row.get("skipped") for row in lines(uninterrupted.metrics, set())]
    assert "spike" in skipped


@pytest.mark.parametrize("seed", range(6))
def test_killed_again_and_again_at_random_operations_on_its_files(
    seed: int, tmp_path: Path, uninterrupted: RunDir
) -> None:
    drawn = random.Random(seed)
    operations = [drawn.randrange(1, 120) for _ in range(8)]
    assert kill(tmp_path / "run", "chain", *operations) >= 3
    assert_same(RunDir(tmp_path / "run"), uninterrupted)


def test_killed_at_every_operation_of_a_short_run(tmp_path: Path) -> None:
    """From the making of its directory to its last line, nowhere is a bad moment."""
    train(tmp_path / "reference", SHORT)
    reference, last = RunDir(tmp_path / "reference"), 140
    kills = kill(tmp_path, "each", 1, last)
    assert 80 < kills < last
    for operation in range(1, last + 1):
        assert_same(RunDir(tmp_path / str(operation)), reference)


def test_killed_at_random_times(tmp_path: Path, uninterrupted: RunDir) -> None:
    drawn = random.Random(1)
    path = tmp_path / "run"
    command = [sys.executable, "-m", "tests.engine.session.recording", str(path)]
    for _ in range(4):
        process = subprocess.Popen(command)
        wait_for(path / "metrics.jsonl")
        time.sleep(drawn.uniform(0.0, 0.08))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    assert_same(RunDir(path), uninterrupted)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.002)
