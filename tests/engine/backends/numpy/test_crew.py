"""Processes that share tasks: each task once, phases in order, failures told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from engine.backends.numpy.crew import Crew, Task
from engine.backends.numpy.shared import shared_zeros
from engine.errors import GraphError

HERE = os.getpid()


@pytest.fixture(params=[1, 2, 3], ids=lambda size: f"crew of {size}")
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


def test_every_task_runs_once_a_run(crew: Crew) -> None:
    counts = shared_zeros((50,), "int64")

    def task(index: int) -> Task:
        def run(worker: int) -> None:
            counts[index] += 1

        return run

    key = crew.register(
        [[task(i) for i in range(20)], [], [task(i) for i in range(20, 50)]]
    )
    for times in (1, 2, 3):
        crew.run(key)
        assert counts.tolist() == [times] * 50


def test_a_phase_begins_when_the_one_before_is_done(crew: Crew) -> None:
    values = shared_zeros((30, 8), "int64")

    def task(phase: int, column: int) -> Task:
        def run(worker: int) -> None:
            before = values[phase - 1].sum() if phase else 0
            values[phase, column] = before + 1

        return run

    key = crew.register([[task(p, c) for c in range(8)] for p in range(30)])
    crew.run(key)
    expected = [1]
    for _ in range(10):
        expected.append(8 * expected[-1] + 1)
    assert [row.tolist() for row in values[:11]] == [[n] * 8 for n in expected]


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


def test_a_program_made_after_the_first_run_is_known_to_all(pair: Crew) -> None:
    total = shared_zeros((2,), "int64")

    def adding(place: int) -> list[list[Task]]:
        def run(worker: int) -> None:
            total[place] += 1

        return [[run]] * 20

    first = pair.register(adding(0))
    pair.run(first)
    second = pair.register(adding(1))
    pair.run(second)
    pair.forget(first)
    pair.run(second)
    assert total.tolist() == [20, 40]


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


def test_a_worker_that_is_killed_is_told_of_and_replaced(pair: Crew) -> None:
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


def test_workers_end_with_the_crew(pair: Crew) -> None:
    pids = shared_zeros((40,), "int64")

    def task(index: int) -> Task:
        def run(worker: int) -> None:
            pids[index] = os.getpid()

        return slowly(run)

    pair.run(pair.register([[task(i) for i in range(40)]]))
    (worker,) = {int(pid) for pid in pids} - {HERE}
    os.kill(worker, 0)
    pair.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
