"""What every backend offers: named buffers, and programs compiled from graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from engine.graph import Spec, Tensor
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.graph.plan import MemoryPlan


@dataclass(frozen=True)
class Assign:
    """At the end of a run, the state tensor `target` holds `value`.

    With `accumulate`, a run that is told to accumulate adds to it instead. `value`
    may read the target's old content; targets of one program do not overlap.
    """

    target: Tensor
    value: Tensor
    accumulate: bool = False


class Store(Protocol):
    """The persistent buffers of programs: flat arrays by name, zero at first."""

    def read(self, name: str) -> NDArray[Any]:
        """A copy of the buffer, 1-D."""
        ...

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Replace the buffer's content; GraphError if the size differs."""
        ...


class Program(Protocol):
    """A compiled graph, bound to a store."""

    @property
    def plan(self) -> MemoryPlan: ...

    def run(
        self, inputs: Mapping[str, NDArray[Any]], *, accumulate: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Compute outputs and assignments. The outputs hold until the next run."""
        ...


class Backend(Protocol):
    """A device, or a way to use one."""

    name: str

    def store(self, buffers: Mapping[str, Spec], *, private: bool = False) -> Store:
        """Allocate persistent buffers (1-D specs).

        `private`: for small programs, such as a decoded token. They stay in the calling
        process, where a device has a choice.
        """
        ...

    def compile(
        self,
        outputs: Mapping[str, Tensor],
        assigns: Sequence[Assign] = (),
        *,
        store: Store | None = None,
    ) -> Program:
        """A program that gives `outputs` and performs `assigns` on `store`.

        Without a store the graph must not read or assign state.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Device, library versions, threads: what a checkpoint records."""
        ...


#: name -> function from the number of threads (0: one a core) to a Backend.
backends: Registry[Callable[[int], Backend]] = Registry("backend")
