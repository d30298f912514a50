"""Element by element: arithmetic, functions, comparison, choice, cast.

Every row broadcasts as NumPy does. Gradients are summed back to an input's shape.
The exact meaning of each is the NumPy backend's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply, broadcast_shapes
from engine.graph.ops.shape import sum_to
from engine.graph.table import define

#: From (node, gradient of the output) to the gradient of each input.
Rule = Callable[[Node, Tensor], Sequence[Tensor | None]]


def _broadcast(inputs: Sequence[Tensor], name: str) -> Spec:
    dtypes = {tensor.dtype for tensor in inputs}
    if len(dtypes) != 1:
        raise GraphError(f"{name}: mixed element types {sorted(dtypes)}; cast first")
    shape = inputs[0].shape
    for tensor in inputs[1:]:
        shape = broadcast_shapes(shape, tensor.shape, name)
    return Spec(shape, inputs[0].dtype)


def _row(name: str, rule: Rule | None) -> None:
    def infer(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
        return [_broadcast(inputs, name)]

    def vjp(node: Node, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        (grad,) = grads
        assert rule is not None
        assert grad is not None
        return [
            None if part is None else sum_to(part, tensor.shape)
            for part, tensor in zip(rule(node, grad), node.inputs, strict=True)
        ]

    define(name, infer, vjp if rule else None, pointwise=True)


def _y(node: Node) -> Tensor:
    return node.output()


def _x(node: Node) -> Tensor:
    return node.inputs[0]


def _choose_max(n: Node, g: Tensor) -> Sequence[Tensor | None]:
    first = greater(n.inputs[0], n.inputs[1])
    zero = g * 0.0
    return [where(first, g, zero), where(first, zero, g)]


def _choose_min(n: Node, g: Tensor) -> Sequence[Tensor | None]:
    second = greater(n.inputs[0], n.inputs[1])
    zero = g * 0.0
    return [where(second, zero, g), where(second, g, zero)]


_RULES: dict[str, Rule | None] = {
    "add": lambda n, g: [g, g],
    "sub": lambda n, g: [g, -g],
    "mul": lambda n, g: [g * n.inputs[1], g * n.inputs[0]],
    "div": lambda n, g: [g / n.inputs[1], -(g * _y(n) / n.inputs[1])],
    "maximum": _choose_max,
    "minimum": _choose_min,
    "neg": lambda n, g: [-g],
    "exp": lambda n, g: [g * _y(n)],
    "log": lambda n, g: [g / _x(n)],
    "tanh": lambda n, g: [g * (1.0 - square(_y(n)))],
    "sigmoid": lambda n, g: [g * (_y(n) * (1.0 - _y(n)))],
    "sqrt": lambda n, g: [g * (0.5 / _y(n))],
    "rsqrt": lambda n, g: [g * (-0.5 * (_y(n) * square(_y(n))))],
    "reciprocal": lambda n, g: [-(g * square(_y(n)))],
    "square": lambda n, g: [g * (2.0 * _x(n))],
    "abs": lambda n, g: [g * sign(_x(n))],
    "sign": lambda n, g: [None],
    "sin": lambda n, g: [g * cos(_x(n))],
    "cos": lambda n, g: [-(g * sin(_x(n)))],
    "relu": lambda n, g: [g * sign(_y(n))],
}

for _name, _rule in _RULES.items():
    _row(_name, _rule)


def _greater_shape(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    return [Spec(_broadcast(inputs, "greater").shape, "bool")]


def _where_shape(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    if inputs[0].dtype != "bool":
        raise GraphError(f"where: the condition is {inputs[0].dtype}, not bool")
    spec = _broadcast(inputs[1:], "where")
    return [Spec(broadcast_shapes(inputs[0].shape, spec.shape, "where"), spec.dtype)]


def _where_vjp(node: Node, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
    (grad,) = grads
    assert grad is not None
    condition, yes, no = node.inputs
    zero = grad * 0.0
    return [
        None,
        sum_to(where(condition, grad, zero), yes.shape),
        sum_to(where(condition, zero, grad), no.shape),
    ]


def _cast_shape(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    return [Spec(inputs[0].shape, attrs["dtype"])]


def _cast_vjp(node: Node, grads: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
    (grad,) = grads
    assert grad is not None
    return [cast(grad, node.inputs[0].dtype)]


define("greater", _greater_shape, lambda n, g: [None, None], pointwise=True)
define("where", _where_shape, _where_vjp, pointwise=True)
define("cast", _cast_shape, _cast_vjp, pointwise=True)


def exp(x: Tensor) -> Tensor:
    """e to the power x."""
    return apply("exp", x)


def log(x: Tensor) -> Tensor:
    """Natural logarithm."""
    return apply("log", x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return apply("tanh", x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return apply("sigmoid", x)


def sqrt(x: Tensor) -> Tensor:
    """Square root."""
    return apply("sqrt", x)


def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x)."""
    return apply("rsqrt", x)


def reciprocal(x: Tensor) -> Tensor:
    """1 / x."""
    return apply("reciprocal", x)


def square(x: Tensor) -> Tensor:
    """x times x."""
    return apply("square", x)


def absolute(x: Tensor) -> Tensor:
    """|x|; its gradient at 0 is 0."""
    return apply("abs", x)


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; its gradient is zero."""
    return apply("sign", x)


def sin(x: Tensor) -> Tensor:
    """Sine of x radians."""
    return apply("sin", x)


def cos(x: Tensor) -> Tensor:
    """Cosine of x radians."""
    return apply("cos", x)


def relu(x: Tensor) -> Tensor:
    """max(x, 0); its gradient at 0 is 0."""
    return apply("relu", x)


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """The larger; where equal, the gradient goes to `b`."""
    return apply("maximum", a, b)


def minimum(a: Tensor, b: Tensor) -> Tensor:
    """The smaller; where equal, the gradient goes to `a`."""
    return apply("minimum", a, b)


def greater(a: Tensor, b: Tensor) -> Tensor:
    """a > b, as bool."""
    return apply("greater", a, b)


def where(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`yes` where `condition` (bool) holds, `no` elsewhere."""
    return apply("where", condition, yes, no)


def cast(x: Tensor, dtype: str) -> Tensor:
    """The same numbers as another element type."""
    return x if x.dtype == dtype else apply("cast", x, dtype=dtype)


def soft_cap(x: Tensor, cap: float) -> Tensor:
    """cap * tanh(x / cap): x held within (-cap, cap).

    Source: Gemma 2 technical report (2024), section 2.
    """
    return tanh(x * (1.0 / cap)) * cap
