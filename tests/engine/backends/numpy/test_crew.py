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

HERE = os.getpid()


@pytest.fixture(params=[1, 2, 3])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    made = Crew(request.param)
    yield made
    made.stop()


@pytest.fixture
def pair() -> Iterator[Crew]:
    made = Crew(2)
    yield made
    made.stop()


def slowly(work: Task) -> Task:
    """A task long enough for every process to get one."""

    def run(worker: int) -> None:
        time.sleep(0.002)
        work(worker)

    return run


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


def test_workers_share_the_work_and_have_numbers_of_their_own(pair: Crew) -> None:
    pids = shared_zeros((40,), "int64")
    workers = shared_zeros((40,), "int64")

    def task(index: int) -> Task:
        def run(worker: int) -> None:
            pids[index], workers[index] = os.getpid(), worker

        return slowly(run)

    pair.run(pair.register([[task(i) for i in range(40)]]))
    found = {(int(p), int(w)) for p, w in zip(pids, workers, strict=True)}
    assert len(found) == 2
    assert (HERE, 0) in found
    assert {worker for _, worker in found} == {0, 1}


def test_a_small_program_stays_in_the_calling_process(pair: Crew) -> None:
    pids = shared_zeros((9,), "int64")

    def task(index: int) -> Task:
        def run(worker: int) -> None:
            pids[index] = os.getpid() if worker == 0 else -1

        return run

    pair.run(pair.register([[task(i) for i in range(9)]]), alone=True)
    assert pids.tolist() == [HERE] * 9


def failing(where: str) -> list[list[Task]]:
    """Tasks of which those in one kind of process raise."""

    def run(worker: int) -> None:
        if (worker == 0) == (where == "here"):
            raise ValueError(f"broken {where}")

    return [[slowly(run)] * 12, [slowly(run)] * 12]


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("here", ValueError, "^broken here$"),
        ("there", GraphError, "a worker failed: ValueError: broken there"),
    ],
)
def test_a_task_that_fails_ends_the_run_and_not_the_next(
    pair: Crew, where: str, error: type[Exception], message: str
) -> None:
    counts = shared_zeros((1,), "int64")

    def count(worker: int) -> None:
        counts[0] += 1

    bad, good = pair.register(failing(where)), pair.register([[count]] * 10)
    for times in (1, 2):
        with pytest.raises(error, match=message):
            pair.run(bad)
        pair.run(good)
        assert counts[0] == 10 * times


def test_a_worker_that_is_killed_at_work_is_told_of_too(pair: Crew) -> None:
    fatal = shared_zeros((1,), "int64")
    counts = shared_zeros((1,), "int64")

    def run(worker: int) -> None:
        if worker and fatal[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.002)
        counts[0] += worker == 0

    key = pair.register([[run] * 12, [run] * 12])
    fatal[0] = 1
    with pytest.raises(GraphError, match="was ended from outside"):
        pair.run(key)
    fatal[0] = 0
    pair.run(key)


def test_what_a_task_computes_warns_of_nothing(crew: Crew) -> None:
    out = shared_zeros((1,), "float32")

    def run(worker: int) -> None:
        np.divide(np.float32(1.0), np.zeros(1, np.float32), out)

    crew.run(crew.register([[run]]))
    assert np.isinf(out[0])
    assert np.geterr()["divide"] == "warn"
    assert np.getbufsize() == 8192
