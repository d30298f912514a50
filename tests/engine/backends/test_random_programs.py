"""Random programs on every backend against the reference: outputs and state."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from engine.backends import Assign, Backend
from engine.graph import Tensor
from engine.graph.ops.leaves import state_extent
from tests.engine.backends.harness import Array, made, poison, run, store_of
from tests.engine.graph.random_graphs import Program, Writer
from tests.engine.graph.reference import evaluate

#: A dozen steps, each of which may double the rounding of those before it.
TOLERANCE = 1e-3


def stepped(
    outputs: list[Tensor],
    assigns: list[Assign],
    inputs: dict[str, Array],
    buffers: dict[str, Array],
    *,
    accumulate: bool,
) -> tuple[list[Array], dict[str, Array]]:
    """Outputs and buffers after a run, by the reference."""
    tensors = [*outputs, *[assign.value for assign in assigns]]
    values = evaluate(tensors, inputs, buffers)
    after = {name: np.array(v, np.float64) for name, v in buffers.items()}
    for assign, value in zip(assigns, values[len(outputs) :], strict=True):
        name, start, stop = state_extent(assign.target)
        adds = accumulate and assign.accumulate
        old = after[name][start:stop] if adds else 0.0
        after[name][start:stop] = old + value.reshape(-1)
    return values[: len(outputs)], after


def assert_near(found: Array, expected: Array, what: str) -> None:
    size = max(1.0, float(np.abs(expected).max(initial=0.0)))
    assert found.shape == expected.shape, what
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=TOLERANCE * size, err_msg=what
    )


def check(backend: Backend, program: Program) -> None:
    """Three runs: one on NaNs, one that replaces and one that accumulates."""
    make, outputs, assigns = program.make, program.outputs, program.assigns
    store = store_of(backend, make.buffers)
    named = {str(index): tensor for index, tensor in enumerate(outputs)}
    compiled = backend.compile(named, assigns, store=store)
    poison(compiled, make.arrays)
    buffers = dict(make.buffers)
    for name, values in buffers.items():
        store.write(name, values)
    for accumulate in (False, True):
        found = run(compiled, make.arrays, accumulate=accumulate)
        expected, after = stepped(
            outputs, assigns, make.arrays, buffers, accumulate=accumulate
        )
        for index, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_near(a, b, f"output {index}: {outputs[index].node}")
        for name, values in after.items():
            assert_near(store.read(name), values, f"buffer {name}")
        buffers = {name: store.read(name) for name in buffers}


drawn = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(data=st.data())
@settings(drawn, max_examples=60)
def test_a_random_program_agrees_with_the_reference(
    backend: Backend, data: st.DataObject
) -> None:
    check(backend, Writer(data.draw).write())


@given(data=st.data())
@settings(drawn, max_examples=60)
def test_so_it_does_when_numpy_cuts_it_into_the_smallest_pieces(
    data: st.DataObject,
) -> None:
    """Ranges, blocks and tiles of a few elements, and threads for any little work."""
    small = {
        "ranges.FEWEST_ROWS": 1,
        "ranges.RANGE_ROWS": 3,
        "ranges.RANGE_ELEMENTS": 16,
        "loops.BLOCK": 8,
        "program.ALONE_BELOW": 0,
        "schedule.WAITING_BYTES": 64,
        "singles.TILE_COLUMNS": 2,
        "kernels.attention.QUERIES": 2,
        "kernels.attention.TILE": 16,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(f"engine.backends.numpy.{name}", value)
        check(made("numpy"), Writer(data.draw).write())
