"""A training process that is killed at a chosen operation on its files.

SIGKILL comes in place of operation number so and so (a write, a sync, a rename, a
removal ...), a write being half done first; so no moment at which files can be torn
is out of reach, and each can be had again. A number beyond the last kills nothing.

    python -m tests.engine.session.killed DIR chain 30 4 99  one run, killed thrice
    python -m tests.engine.session.killed DIR each 1 50      DIR/1 ..., once each

The run of `each` is a short one. Every run is then trained to its end. Prints how
often a process was killed.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.config import TrainConfig
from tests.engine.session.recording import SHORT, TRAIN, train

OPERATIONS = (
    "write",
    "fsync",
    "rename",
    "replace",
    "unlink",
    "rmdir",
    "mkdir",
    "ftruncate",
)


class Killer:
    """Counts operations and dies at one of them."""

    def __init__(self, fatal: int) -> None:
        self.left = fatal

    def wrap(self, name: str) -> None:
        real = getattr(os, name)

        def operation(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(os, name, operation)


def train_until_killed(path: Path, config: TrainConfig, fatal: int) -> None:
    """Train in this process, which dies at operation `fatal`."""
    killer = Killer(fatal)
    for name in OPERATIONS:
        killer.wrap(name)
    train(path, config)


def in_child(work: Callable[[], object]) -> bool:
    """Run `work` in a fork of this process; False when that was killed."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.waitstatus_to_exitcode(status) == 0, "the process failed of itself"
    return True


def chain(path: Path, config: TrainConfig, operations: list[int]) -> int:
    """Kill the run at `path` at each of `operations` in turn, then let it end."""
    kills = 0
    for operation in operations:
        doomed = functools.partial(train_until_killed, path, config, operation)
        kills += not in_child(doomed)
    assert in_child(lambda: train(path, config))
    return kills


def main(path: Path, mode: str, numbers: list[int]) -> int:
    """Do what the command line says.

    Nothing waits for the disk: what a killed process wrote, the kernel has.
    """
    os.fsync = lambda descriptor: None
    if mode == "chain":
        return chain(path, TRAIN, numbers)
    first, last = numbers
    return sum(chain(path / str(k), SHORT, [k]) for k in range(first, last + 1))


if __name__ == "__main__":
    killed = main(Path(sys.argv[1]), sys.argv[2], [int(word) for word in sys.argv[3:]])
    sys.stdout.write(f"{killed}\n")
