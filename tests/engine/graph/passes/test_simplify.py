"""Simplification keeps every value, and leaves out what nobody needs."""

from __future__ import annotations

import math
from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import engine.graph as g
from engine.graph import Tensor, apply, input_tensor, topological
from engine.graph.node import constant_value
from engine.graph.passes import simplify
from tests.engine.graph.random_graphs import Writer
from tests.engine.graph.reference import evaluate


def names(*outputs: Tensor) -> list[str]:
    return [node.op.name for node in topological(outputs)]


def constant(value: float) -> Tensor:
    return apply("constant", value=value, dtype="float32")


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_random_program_keeps_its_values(data: st.DataObject) -> None:
    program = Writer(data.draw).write()
    before = [*program.outputs, *[assign.value for assign in program.assigns]]
    after = simplify(before)
    values = (program.make.arrays, program.make.buffers)
    for old, new in zip(
        evaluate(before, *values), evaluate(after, *values), strict=True
    ):
        # Folded constants are rounded in another order.
        np.testing.assert_allclose(new, old, rtol=1e-9, atol=1e-12)
    assert [tensor.spec for tensor in after] == [tensor.spec for tensor in before]
    assert len(topological(after)) <= len(topological(before))


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_inputs_still_come_before_what_reads_them(data: st.DataObject) -> None:
    """Nodes are numbered in an order that a program can be run in."""
    program = Writer(data.draw).write()
    for node in topological(simplify(program.outputs)):
        assert all(tensor.node.id < node.id for tensor in node.inputs)


X = input_tensor("x", (2, 3))
UNCHANGED: dict[str, Callable[[], Tensor]] = {
    "x * 1": lambda: X * 1.0,
    "1 * x": lambda: 1.0 * X,
    "x / 1": lambda: X / 1.0,
    "x + 0": lambda: X + 0.0,
    "0 + x": lambda: 0.0 + X,
    "x - 0": lambda: X - 0.0,
    "there and back": lambda: g.reshape(g.reshape(X, (6,)), (2, 3)),
    "same shape": lambda: apply("reshape", X, shape=(2, 3)),
    "broadcast to itself": lambda: apply("broadcast", X, shape=(2, 3)),
    "all at once": lambda: (g.reshape(X * 1.0 + 0.0, (2, 3)) - 0.0) / 1.0,
}


@pytest.mark.parametrize("build", UNCHANGED.values(), ids=UNCHANGED)
def test_what_changes_nothing_is_left_out(build: Callable[[], Tensor]) -> None:
    assert simplify([build()]) == [X]


CHANGED: dict[str, Callable[[], Tensor]] = {
    "x * 0": lambda: X * 0.0,
    "0 - x": lambda: 0.0 - X,
    "1 / x": lambda: 1.0 / X,
    "a wider result": lambda: (
        input_tensor("y", (3,)) * g.broadcast_to(constant(1.0), (2, 3))
    ),
    "maximum with 0": lambda: g.maximum(X, constant(0.0)),
}


@pytest.mark.parametrize("build", CHANGED.values(), ids=CHANGED)
def test_what_changes_something_stays(build: Callable[[], Tensor]) -> None:
    result = build()
    (after,) = simplify([result])
    assert after.shape == result.shape
    assert after.node.op.name == result.node.op.name


@pytest.mark.parametrize(
    ("build", "value"),
    [
        (lambda: constant(2.0) + 3.0, 5.0),
        (lambda: constant(2.0) - 3.0, -1.0),
        (lambda: constant(2.0) * 3.0, 6.0),
        (lambda: constant(3.0) / 2.0, 1.5),
        (lambda: (constant(3.0) / 2.0 + 1.0) * 2.0, 5.0),
    ],
)
def test_arithmetic_of_constants_is_done_at_once(
    build: Callable[[], Tensor], value: float
) -> None:
    (after,) = simplify([build()])
    assert constant_value(after) == value


def test_a_constant_divided_by_zero_is_not_a_number() -> None:
    (after,) = simplify([constant(1.0) / 0.0])
    value = constant_value(after)
    assert value is not None
    assert math.isnan(value)


def test_what_is_computed_twice_is_computed_once() -> None:
    first, second = g.tanh(g.exp(X)), g.tanh(g.exp(X))
    after = simplify([first, second, first + second])
    assert after[0] == after[1]
    assert names(*after) == ["input", "exp", "tanh", "add"]


@pytest.mark.parametrize(
    "pair",
    [
        (g.sum_over(X, [0]), g.sum_over(X, [1])),
        (g.rows(X, 0, 1), g.rows(X, 1, 2)),
        (g.exp(X), g.exp(input_tensor("y", (2, 3)))),
        (X + 1.0, X + 2.0),
        (X - g.exp(X), g.exp(X) - X),
    ],
    ids=["attributes", "places", "inputs", "constants", "order"],
)
def test_what_differs_is_not_taken_for_the_same(pair: tuple[Tensor, Tensor]) -> None:
    first, second = simplify(list(pair))
    assert first != second


def test_masks_of_different_numbers_stay_apart() -> None:
    counter = input_tensor("counter", (4,), "int32")
    same, other = (g.dropout(X, 0.5, counter, salt) for salt in (1, 2))
    again = g.dropout(X, 0.5, counter, 1)
    first, second, third = simplify([same, other, again])
    assert first == third
    assert first != second


def test_pointwise_ops_broadcast_by_themselves() -> None:
    row = input_tensor("row", (3,))
    (after,) = simplify([X + g.broadcast_to(row, (2, 3))])
    assert names(after) == ["input", "input", "add"]


def test_a_broadcast_that_gives_the_shape_stays() -> None:
    row, column = input_tensor("row", (3,)), input_tensor("column", (1,))
    result = g.broadcast_to(row, (2, 3)) * g.broadcast_to(column, (2, 3))
    (after,) = simplify([result])
    assert after.shape == (2, 3)
    assert names(after).count("broadcast") == 1


@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_reads_a_weight_either_way_round(transposed: bool) -> None:
    x, weight = input_tensor("x", (3, 4)), input_tensor("w", (4, 4))
    y = g.linear(x, g.transpose(weight, (1, 0)), transposed=transposed)
    (after,) = simplify([y])
    assert names(after) == ["input", "input", "linear"]
    random = np.random.default_rng(0)
    arrays = {"x": random.normal(size=(3, 4)), "w": random.normal(size=(4, 4))}
    for old, new in zip(evaluate([y], arrays), evaluate([after], arrays), strict=True):
        np.testing.assert_array_equal(new, old)


def test_derivatives_that_nobody_takes_leave_no_trace() -> None:
    (after,) = simplify([g.elementwise(lambda a: g.tanh(a) * a, X)])
    assert names(after) == ["input", "tanh", "mul"]


def test_a_rewritten_node_stays_in_its_scope_and_stage() -> None:
    with g.scope("block.3"):
        y = g.exp(X * 1.0)
    (grad,) = g.gradients(g.sum_over(y * 1.0), [X])
    forward, backward = simplify([y, grad])
    assert (forward.node.scope, forward.node.stage) == ("block.3", 0)
    assert backward.node.stage == 1
