"""Runs graphs on a backend and holds the results against the naive reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends import Assign, Backend, Program, Store, backends
from engine.graph import Spec, Tensor
from tests.engine.graph.reference import evaluate

Array = NDArray[Any]

#: Largest error of a float32 tensor, relative to its largest magnitude.
TOLERANCE = 1e-5


@cache
def made(name: str, threads: int = 2) -> Backend:
    """Backend `name`; one for all tests, because its threads live on."""
    return backends.get(name)(threads)


def store_of(backend: Backend, buffers: Mapping[str, Array]) -> Store:
    """A store that holds `buffers`."""
    specs = {name: Spec((v.size,), v.dtype.name) for name, v in buffers.items()}
    store = backend.store(specs)
    for name, values in buffers.items():
        store.write(name, values)
    return store


def compiled(
    backend: Backend,
    outputs: Sequence[Tensor],
    buffers: Mapping[str, Array] | None = None,
    assigns: Sequence[Assign] = (),
) -> Program:
    """A program whose outputs are named by their place: "0", "1", ..."""
    named = {str(index): tensor for index, tensor in enumerate(outputs)}
    store = store_of(backend, buffers) if buffers else None
    return backend.compile(named, assigns, store=store)


def run(program: Program, inputs: Mapping[str, Array], **options: bool) -> list[Array]:
    """Copies of a program's outputs, in order."""
    results = program.run(inputs, **options)
    return [np.array(results[str(index)]) for index in range(len(results))]


def poison(program: Program, inputs: Mapping[str, Array]) -> None:
    """Run on NaNs, so that what a later run reads of an earlier one shows."""
    program.run(
        {
            name: np.full_like(values, np.nan) if values.dtype.kind == "f" else values
            for name, values in inputs.items()
        }
    )


def assert_close(found: Array, expected: Array, floor: float, what: object) -> None:
    """Floats within TOLERANCE of the largest magnitude (at least `floor`)."""
    assert found.shape == expected.shape, what
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected, err_msg=str(what))
        return
    size = max(floor, float(np.abs(expected).max(initial=0.0)))
    error = float(np.abs(found - expected).max(initial=0.0))
    assert error <= TOLERANCE * size, f"{what}: error {error:.3g} at {size:.3g}"


def assert_parity(
    backend: Backend,
    outputs: Sequence[Tensor],
    inputs: Mapping[str, Array],
    buffers: Mapping[str, Array] | None = None,
    *,
    floors: Sequence[float] | float = 1.0,
) -> None:
    """The backend gives what the reference gives, whatever ran before."""
    program = compiled(backend, outputs, buffers)
    poison(program, inputs)
    found = run(program, inputs)
    expected = evaluate(outputs, inputs, buffers)
    if isinstance(floors, float):
        floors = [floors] * len(outputs)
    for tensor, a, b, floor in zip(outputs, found, expected, floors, strict=True):
        assert a.dtype == tensor.dtype, tensor
        assert_close(a, b, floor, tensor.node)
