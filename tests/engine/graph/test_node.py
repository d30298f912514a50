"""Nodes and tensors: numbered in order, compared by identity, named by scope."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import pytest

import engine.graph as g
from engine.errors import ConfigError, GraphError
from engine.graph import Tensor, apply, input_tensor, state_tensor, topological
from engine.graph.node import as_tensor, broadcast_shapes, constant_value, stage
from engine.graph.ops.leaves import state_extent
from engine.graph.table import ops
from tests.engine.graph.reference import evaluate


@pytest.mark.parametrize(
    "function",
    [operator.add, operator.sub, operator.mul, operator.truediv],
)
def test_operators_take_tensors_and_numbers_on_either_side(
    function: Callable[..., Tensor],
) -> None:
    a, b = input_tensor("a", (2,)), input_tensor("b", (2,))
    values = {"a": np.array([1.0, 2.0]), "b": np.array([4.0, 8.0])}
    built = [function(a, b), function(a, 3.0), function(3.0, a), -a]
    found = evaluate(built, values)
    np.testing.assert_array_equal(found[0], function(values["a"], values["b"]))
    np.testing.assert_array_equal(found[1], function(values["a"], 3.0))
    np.testing.assert_array_equal(found[2], function(3.0, values["a"]))
    np.testing.assert_array_equal(found[3], -values["a"])


def test_two_handles_to_one_output_are_equal() -> None:
    first, second = g.split(input_tensor("x", (2, 4)), [1, 3])
    assert Tensor(first.node, 1) == second
    assert hash(Tensor(first.node, 1)) == hash(second)
    assert first != second
    assert first != "something else"
    assert input_tensor("x", ()) != input_tensor("x", ())


def test_numbers_become_constants_of_the_other_element_type() -> None:
    x = input_tensor("x", (2,), "float64")
    scaled = x * 2
    constant = scaled.node.inputs[1]
    assert (constant.dtype, constant_value(constant)) == ("float64", 2.0)
    assert constant_value(x) is None
    assert as_tensor(x, "float32") is x


def test_scopes_nest_and_end() -> None:
    with g.scope("model"):
        with g.scope("block.3"):
            inner = input_tensor("x", ())
        outer = input_tensor("x", ())
    outside = input_tensor("x", ())
    names = [tensor.node.scope for tensor in (inner, outer, outside)]
    assert names == ["model.block.3", "model", ""]


def test_scope_and_stage_end_with_an_error_too() -> None:
    with pytest.raises(RuntimeError), g.scope("block"), stage(1):
        raise RuntimeError
    after = input_tensor("x", ())
    assert (after.node.scope, after.node.stage) == ("", 0)


def test_topological_order_holds_every_node_once_after_its_inputs() -> None:
    x = input_tensor("x", (2,))
    y = g.exp(x)
    z = y + y * x
    unused = g.tanh(x)
    order = topological([z, y])
    assert len({node.id for node in order}) == len(order) == 4
    seen: set[int] = set()
    for node in order:
        assert all(tensor.node.id in seen for tensor in node.inputs)
        seen.add(node.id)
    assert unused.node.id not in seen


def test_a_node_cannot_be_changed() -> None:
    node = g.sum_over(input_tensor("x", (2,))).node
    with pytest.raises(TypeError):
        node.attrs["axes"] = (1,)  # type: ignore[index]


def test_nodes_and_tensors_print_what_they_are() -> None:
    x = input_tensor("x", (2, 3))
    y = g.exp(x)
    assert repr(y.node) == f"%{y.node.id} = exp(%{x.node.id}.0) -> (2, 3)"
    assert repr(x) == f"Tensor(%{x.node.id}.0, (2, 3), float32)"


@pytest.mark.parametrize(
    ("a", "b", "shape"),
    [
        ((), (), ()),
        ((3,), (), (3,)),
        ((2, 1), (3,), (2, 3)),
        ((1, 1), (5, 1, 7), (5, 1, 7)),
    ],
)
def test_shapes_broadcast_as_in_numpy(
    a: tuple[int, ...], b: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    assert broadcast_shapes(a, b, "op") == np.broadcast_shapes(a, b) == shape
    assert broadcast_shapes(b, a, "op") == shape


def test_shapes_that_do_not_broadcast_are_named_with_their_op() -> None:
    with pytest.raises(GraphError, match=r"op: shapes \(2,\) and \(3,\)"):
        broadcast_shapes((2,), (3,), "op")


def test_an_unknown_op_is_refused() -> None:
    with pytest.raises(ConfigError, match="op = 'warp': known are: "):
        apply("warp", input_tensor("x", ()))


def test_an_op_is_added_by_one_row() -> None:
    from engine.graph.table import define

    define("twice", lambda inputs, attrs: [inputs[0].spec], lambda n, g: [g[0]])
    try:
        assert apply("twice", input_tensor("x", (3,))).shape == (3,)
        with pytest.raises(ConfigError, match="already registered"):
            define("twice", lambda inputs, attrs: [])
    finally:
        ops.unregister("twice")


def test_state_is_a_piece_of_a_named_buffer() -> None:
    piece = state_tensor("w", (2, 3), buffer="parameters", offset=10)
    assert state_extent(piece) == ("parameters", 10, 16)
    alone = state_tensor("w", (2, 3))
    assert state_extent(alone) == ("w", 0, 6)
    flat = np.arange(20.0)
    np.testing.assert_array_equal(
        evaluate([piece], {}, {"parameters": flat})[0],
        [[10.0, 11.0, 12.0], [13.0, 14.0, 15.0]],
    )
