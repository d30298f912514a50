"""The NumPy backend: buffers, programs, and the threads they share."""

from __future__ import annotations

import os
import platform
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Assign, Store, backends
from engine.backends.numpy import blas
from engine.backends.numpy.crew import Crew
from engine.backends.numpy.lower import Lowered, lower
from engine.backends.numpy.shared import private_zeros, shared_zeros
from engine.config import require
from engine.errors import GraphError
from engine.graph import Spec, Tensor
from engine.graph.plan import MemoryPlan

Array = NDArray[Any]

#: Programs of less work than this run in the calling process alone.
ALONE_BELOW = 4e7


class NumpyStore:
    """Flat arrays by name, on 64-byte boundaries, zero at first.

    Private ones are not shared with workers, and so get the huge pages that most
    systems do not give to shared memory: reading them is half as fast again.
    """

    def __init__(self, buffers: Mapping[str, Spec], *, private: bool = False) -> None:
        zeros = private_zeros if private else shared_zeros
        self.private = private
        self.arrays: dict[str, Array] = {
            name: zeros((spec.size,), spec.dtype) for name, spec in buffers.items()
        }

    def read(self, name: str) -> Array:
        return self._find(name).copy()

    def write(self, name: str, values: Array) -> None:
        array = self._find(name)
        if values.size != array.size:
            raise GraphError(
                f"buffer {name!r}: {values.size} values for {array.size} elements"
            )
        np.copyto(array, values.reshape(-1))

    def _find(self, name: str) -> Array:
        if name not in self.arrays:
            known = ", ".join(self.arrays)
            raise GraphError(f"buffer {name!r}: not in the store, which has {known}")
        return self.arrays[name]


class NumpyProgram:
    """A lowered graph and the crew that runs it."""

    def __init__(self, lowered: Lowered, crew: Crew, *, alone: bool) -> None:
        self._lowered = lowered
        self._crew = crew
        self._key = crew.register(lowered.phases)
        weakref.finalize(self, crew.forget, self._key)
        self._alone = alone or lowered.work < ALONE_BELOW
        self._inputs = [
            (name, place, lowered.bounds.get(name))
            for name, place in lowered.inputs.items()
        ]

    @property
    def plan(self) -> MemoryPlan:
        return self._lowered.plan

    @property
    def source(self) -> str:
        """The Python text of the program's regions."""
        return self._lowered.source

    def run(
        self, inputs: Mapping[str, Array], *, accumulate: bool = False
    ) -> dict[str, Array]:
        self._take(inputs)
        self._lowered.flag.value = accumulate
        self._crew.run(self._key, alone=self._alone)
        return self._lowered.outputs

    def _take(self, inputs: Mapping[str, Array]) -> None:
        for name, place, bound in self._inputs:
            if name not in inputs:
                raise GraphError(f"input {name!r}: missing")
            value = np.asarray(inputs[name])
            if value.shape != place.shape:
                raise GraphError(
                    f"input {name!r}: shape {value.shape}, not {place.shape}"
                )
            if bound is not None:
                least, most = _extremes(value)
                if not bound.start <= least <= most < bound.stop:
                    raise GraphError(
                        f"input {name!r}: holds {least} to {most}, "
                        f"must be within {bound.start} to {bound.stop - 1}"
                    )
            np.copyto(place, value)


def _extremes(values: Array) -> tuple[Any, Any]:
    """The least and the largest; quick for a single one."""
    if values.size == 1:
        return (values.item(),) * 2
    return values.min(), values.max()


class NumpyBackend:
    """The CPU, through NumPy and the BLAS inside it. Defines every op's meaning."""

    name = "numpy"

    def __init__(self, threads: int = 0) -> None:
        self.threads = threads or cores()
        require(
            self.threads == 1 or hasattr(os, "fork"),
            "threads",
            threads,
            "must be 1 on a system that cannot fork",
        )
        self.crew = Crew(self.threads)
        blas.set_threads(1)

    def store(
        self, buffers: Mapping[str, Spec], *, private: bool = False
    ) -> NumpyStore:
        return NumpyStore(buffers, private=private)

    def compile(
        self,
        outputs: Mapping[str, Tensor],
        assigns: Sequence[Assign] = (),
        *,
        store: Store | None = None,
    ) -> NumpyProgram:
        if store is not None and not isinstance(store, NumpyStore):
            raise GraphError(f"store: made by another backend, {type(store).__name__}")
        arrays = store.arrays if store is not None else {}
        alone = store is not None and store.private
        lowered = lower(outputs, assigns, arrays, 1 if alone else self.threads)
        return NumpyProgram(lowered, self.crew, alone=alone)

    def describe(self) -> dict[str, Any]:
        return {
            "backend": self.name,
            "threads": self.threads,
            "numpy": np.__version__,
            "machine": platform.machine(),
            **blas.describe(),
        }


def cores() -> int:
    """Processors that this process may use; 1 where workers cannot be forked."""
    if not hasattr(os, "fork"):
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


backends.register("numpy")(NumpyBackend)
