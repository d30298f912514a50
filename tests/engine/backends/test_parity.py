"""Every op, and the gradient of every op, on every backend against the reference."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

import engine.graph as g
from engine.backends import Backend
from engine.graph import topological
from engine.graph.table import ops
from tests.engine.backends.harness import assert_parity
from tests.engine.graph.cases import ROWS
from tests.engine.graph.maker import LARGE, Maker


def test_every_op_of_the_table_has_a_row() -> None:
    assert set(ROWS) == set(ops)


@pytest.mark.parametrize("name", ROWS)
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_op_and_its_gradient_agree_with_the_reference(
    backend: Backend, name: str, data: st.DataObject
) -> None:
    make = Maker(data.draw, LARGE)
    row = ROWS[name]
    case = row.build(make)
    outputs, floors = list(case.outputs), [row.floor] * len(case.outputs)
    assert name in {node.op.name for node in topological(outputs)}
    if case.result is not None:
        wrt = list(make.floats)
        grads = g.gradients(case.result, wrt, seed=make.normal(*case.result.shape))
        outputs += grads
        floors += [1.0] * len(grads)  # summed over what was broadcast
    assert_parity(backend, outputs, make.arrays, make.buffers, floors=floors)
