"""Every gradient rule against finite differences of the naive reference, in float64."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import engine.graph as g
from engine.errors import GraphError
from engine.graph import Tensor, apply
from engine.graph.node import apply_node
from engine.graph.ops.leaves import input_tensor
from engine.graph.table import define, ops
from tests.engine.graph.cases import ROWS
from tests.engine.graph.maker import Maker
from tests.engine.graph.reference import evaluate
from tests.engine.graph.rules import Array

STEP = 1e-5
DIFFERENTIABLE = [name for name in ops if ops.get(name).vjp is not None]
#: Steps only: their rule says that no gradient passes.
FLAT = {"sign", "greater"}

few_examples = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def weighed(result: Tensor, make: Maker) -> Tensor:
    """A scalar in which every element of `result` has a weight of its own."""
    return g.sum_over(result * make.normal(*result.shape))


def check(scalar: Tensor, wrt: list[Tensor], make: Maker) -> list[Tensor]:
    """Gradients of `scalar`, found right along random directions of each of `wrt`."""
    grads = g.gradients(scalar, wrt)
    values = evaluate(grads, make.arrays)

    def along(name: str, direction: Array) -> float:
        moved = make.arrays | {name: make.arrays[name] + direction}
        return float(evaluate([scalar], moved)[0])

    for tensor, grad in zip(wrt, values, strict=True):
        name = str(tensor.node.attrs["name"])
        for _ in range(2):
            direction = np.asarray(make.random.standard_normal(tensor.shape))
            rise = along(name, STEP * direction) - along(name, -STEP * direction)
            expected = float((grad * direction).sum())
            size = 1.0 + float(np.abs(grad * direction).sum())
            assert rise / (2 * STEP) == pytest.approx(expected, abs=1e-6 * size), name
    return grads


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in FLAT])
@given(data=st.data())
@few_examples
def test_gradient_rule_agrees_with_finite_differences(
    name: str, data: st.DataObject
) -> None:
    make = Maker(data.draw)
    result = ROWS[name].build(make).result
    assert result is not None
    wrt = list(make.floats)
    check(weighed(result, make), wrt, make)


@pytest.mark.parametrize(
    "name", [name for name in DIFFERENTIABLE if name not in FLAT and ROWS[name].twice]
)
@given(data=st.data())
@few_examples
def test_gradient_of_the_gradient_agrees_with_finite_differences(
    name: str, data: st.DataObject
) -> None:
    make = Maker(data.draw)
    result = ROWS[name].build(make).result
    assert result is not None
    wrt = list(make.floats)
    # Squaring makes the first gradient depend on every input of a linear op too.
    first = g.gradients(weighed(g.square(result), make), wrt)
    total = weighed(first[0], make)
    for grad in first[1:]:
        total = total + weighed(grad, make)
    check(total, wrt, make)


@pytest.mark.parametrize(
    "name", [name for name in DIFFERENTIABLE if not ROWS[name].twice]
)
@given(data=st.data())
@settings(max_examples=1, deadline=None)
def test_a_gradient_without_a_gradient_is_named(name: str, data: st.DataObject) -> None:
    make = Maker(data.draw)
    result = ROWS[name].build(make).result
    assert result is not None
    wrt = list(make.floats)
    first = g.gradients(weighed(g.square(result), make), wrt)
    with pytest.raises(GraphError, match=f"{name}_grad: no gradient rule"):
        g.gradients(g.sum_over(first[0]), wrt)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_gradient_rule_is_checked(name: str) -> None:
    assert name in ROWS


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x, y: g.maximum(x, y), (0.0, 1.0)),
        (lambda x, y: g.minimum(x, y), (1.0, 0.0)),
        (lambda x, y: x * g.sign(y) + y, (1.0, 1.0)),
        (lambda x, y: g.where(g.greater(x, y), x, y), (0.0, 1.0)),
        (lambda x, y: g.absolute(x - y) + x + y, (1.0, 1.0)),
        (lambda x, y: g.relu(x - y) + x + y, (1.0, 1.0)),
    ],
    ids=["maximum", "minimum", "sign", "where", "abs", "relu"],
)
def test_at_a_kink_the_gradient_is_the_documented_one(
    function: object, expected: tuple[float, float]
) -> None:
    x, y = input_tensor("x", ()), input_tensor("y", ())
    grads = g.gradients(function(x, y), [x, y])  # type: ignore[operator]
    values = evaluate(grads, {"x": np.array(1.0), "y": np.array(1.0)})
    assert [float(value) for value in values] == list(expected)


def test_a_tensor_used_twice_sums_its_gradients() -> None:
    x = input_tensor("x", ())
    (grad,) = g.gradients(x * x * x + x, [x])
    assert evaluate([grad], {"x": np.array(2.0)})[0] == 13.0


def test_a_tensor_on_the_way_to_another_gets_its_own_gradient_too() -> None:
    x = input_tensor("x", ())
    y = g.square(x)
    dx, dy = g.gradients(y * y + x, [x, y])
    values = evaluate([dx, dy], {"x": np.array(3.0)})
    assert [float(value) for value in values] == [4 * 27 + 1, 18.0]


def test_the_seed_weighs_the_output() -> None:
    x, seed = input_tensor("x", (3,)), input_tensor("seed", (3,))
    (grad,) = g.gradients(g.square(x), [x], seed=seed)
    given_seed = np.array([1.0, 0.0, -2.0])
    found = evaluate([grad], {"x": np.array([1.0, 2.0, 3.0]), "seed": given_seed})[0]
    np.testing.assert_array_equal(found, [2.0, 0.0, -12.0])


def test_gradients_belong_to_the_backward_pass_and_the_scope_of_their_op() -> None:
    x = input_tensor("x", ())
    with g.scope("block.3"):
        y = g.exp(x)
    (grad,) = g.gradients(y * 2.0, [x])
    assert grad.node.stage == 1
    assert grad.node.scope == "block.3"
    assert y.node.stage == 0


def test_an_output_that_is_not_a_scalar_needs_a_seed() -> None:
    x = input_tensor("x", (3,))
    with pytest.raises(GraphError, match=r"output has shape \(3,\); pass a seed"):
        g.gradients(x, [x])


def test_a_seed_has_the_shape_of_the_output() -> None:
    x, seed = input_tensor("x", (3,)), input_tensor("seed", (2,))
    with pytest.raises(GraphError, match=r"seed \(2,\), output \(3,\)"):
        g.gradients(x * 2.0, [x], seed=seed)


def test_a_missing_rule_names_its_op() -> None:
    x = input_tensor("x", (3,))
    with pytest.raises(GraphError, match="sum_squares: no gradient rule"):
        g.gradients(g.sum_squares(x), [x])


def test_what_has_no_rule_is_no_trouble_off_the_way() -> None:
    x, scale = input_tensor("x", ()), input_tensor("scale", (2,))
    loss = x * g.cast(g.sum_squares(scale), "float32")
    (grad,) = g.gradients(loss, [x])
    found = evaluate([grad], {"x": np.array(1.0), "scale": np.array([3.0, 4.0])})[0]
    assert found == 25.0


@pytest.mark.parametrize("through", ["nothing", "sign", "one part of a split"])
def test_an_output_that_does_not_depend_on_a_tensor_is_refused(through: str) -> None:
    x, y = input_tensor("x", (4,)), input_tensor("y", ())
    first, second = g.split(x, [1, 3])
    output, wrt = {
        "nothing": (y * 2.0, x),
        "sign": (g.sum_over(g.sign(x)), x),
        "one part of a split": (g.sum_over(first), second),
    }[through]
    with pytest.raises(GraphError, match="does not depend on Tensor"):
        g.gradients(output, [wrt])


def test_only_the_first_output_of_a_loss_or_norm_has_a_gradient() -> None:
    x, targets = input_tensor("x", (2, 3)), input_tensor("t", (2,), "int32")
    gain = input_tensor("gain", (3,))
    nodes = [
        apply_node("cross_entropy", x, targets),
        apply_node("layer_norm", x, gain, eps=1e-5, groups=1),
        apply_node("attention", *[g.reshape(x, (1, 2, 3))] * 3, **ATTENTION),
    ]
    for node in nodes:
        with pytest.raises(GraphError, match="only its first output has a gradient"):
            g.gradients(g.sum_over(node.output(1)), [x])


ATTENTION = {"heads": 1, "kv_heads": 1, "softcap": 0.0, "keep": 256, "salt": 0}


def test_a_rule_that_gives_a_wrong_shape_is_named() -> None:
    define(
        "lossy",
        lambda inputs, attrs: [inputs[0].spec],
        lambda n, grads: [g.sum_over(n.output())],
    )
    try:
        x = input_tensor("x", (3,))
        with pytest.raises(GraphError, match=r"lossy: its gradient rule gives \(\)"):
            g.gradients(g.sum_over(apply("lossy", x)), [x])
    finally:
        ops.unregister("lossy")


def test_elementwise_keeps_the_derivatives_beside_the_value() -> None:
    x, y = input_tensor("x", (2,)), input_tensor("y", (2,))
    gated = g.elementwise(lambda a, b: g.sigmoid(a) * b, x, g.square(y))
    grads = g.gradients(g.sum_over(gated), [x, y])
    assert grads[0].node.op.name == "mul"
    values = {"x": np.array([0.0, 1.0]), "y": np.array([2.0, 3.0])}
    plain = g.gradients(g.sum_over(g.sigmoid(x) * g.square(y)), [x, y])
    for found, expected in zip(
        evaluate(grads, values), evaluate(plain, values), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_elementwise_inputs_may_depend_on_each_other() -> None:
    x = input_tensor("x", (2,))
    product = g.elementwise(lambda a, b: a * b, x, g.exp(x))
    (grad,) = g.gradients(g.sum_over(product), [x])
    (found,) = evaluate([grad], {"x": np.array([0.0, 1.0])})
    np.testing.assert_allclose(found, [1.0, 2.0 * np.e], rtol=1e-12)


def test_elementwise_refuses_inputs_of_different_shapes() -> None:
    x, y = input_tensor("x", (2, 3)), input_tensor("y", (3,))
    with pytest.raises(GraphError, match=r"elementwise: .* broadcast first"):
        g.elementwise(lambda a, b: a * b, x, y)
