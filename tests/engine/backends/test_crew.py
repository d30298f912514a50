"""Workers that are processes: every task once, errors told, no worker outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.backends.numpy.crew import Crew, Task
from engine.backends.numpy.shared import shared_zeros
from engine.errors import GraphError


@pytest.fixture(params=[1, 2, 3])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    made = Crew(request.param)
    yield made
    made.stop()


def add(array: np.ndarray, place: int, value: int) -> Task:
    def task(worker: int) -> None:
        array[place] += value

    return task


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_every_task_runs_once_a_run(crew: Crew) -> None:
    counts = shared_zeros((40,), "int64")
    key = crew.register([[add(counts, i, 1) for i in range(40)]])
    for _ in range(3):
        crew.run(key)
    assert counts.tolist() == [3] * 40


def test_a_phase_begins_when_the_one_before_is_done(crew: Crew) -> None:
    values = shared_zeros((16,), "int64")
    seen = shared_zeros((16,), "int64")

    def slow(place: int) -> Task:
        def task(worker: int) -> None:
            time.sleep(0.002 * (place % 3))
            values[place] += 1

        return task

    def look(place: int) -> Task:
        def task(worker: int) -> None:
            seen[place] = values.min()

        return task

    phases = [[slow(i) for i in range(16)], [look(i) for i in range(16)]]
    key = crew.register(phases)
    crew.run(key)
    assert seen.tolist() == [1] * 16


def test_programs_made_after_the_first_run_are_run_too(crew: Crew) -> None:
    counts = shared_zeros((2,), "int64")
    first = crew.register([[add(counts, 0, 1)]])
    crew.run(first)
    second = crew.register([[add(counts, 1, 1)]])
    crew.run(second)
    crew.run(first)
    assert counts.tolist() == [2, 1]


def test_an_error_ends_the_run_and_the_next_one_works(crew: Crew) -> None:
    counts = shared_zeros((8,), "int64")

    def fail(worker: int) -> None:
        raise ValueError("no such thing")

    bad = crew.register([[fail] * 4, [add(counts, 0, 1)]])
    good = crew.register([[add(counts, i, 1) for i in range(8)]])
    for _ in range(3):
        with pytest.raises((ValueError, GraphError), match="no such thing"):
            crew.run(bad)
    assert counts[0] == 0
    crew.run(good)
    assert counts.tolist() == [1] * 8


def test_a_worker_that_is_killed_is_an_error_and_is_replaced() -> None:
    crew = Crew(2)
    counts = shared_zeros((1,), "int64")
    key = crew.register([[add(counts, 0, 1)]])
    crew.run(key)
    (pid,) = crew._workers
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(GraphError, match=f"worker {pid} was ended from outside"):
        crew.run(key)
    crew.run(key)
    assert counts[0] >= 2
    crew.stop()


def test_stopping_leaves_no_process() -> None:
    crew = Crew(3)
    key = crew.register([[lambda worker: None]])
    crew.run(key)
    workers = list(crew._workers)
    assert len(workers) == 2
    crew.stop()
    assert not any(alive(pid) for pid in workers)


def test_workers_die_with_a_parent_that_is_killed() -> None:
    code = """
        import time
        from engine.backends.numpy.crew import Crew
        crew = Crew(2)
        crew.run(crew.register([[lambda worker: None]]))
        print(crew._workers[0], flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        worker = int(child.stdout.readline())
        child.kill()
    deadline = time.monotonic() + 10
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)
