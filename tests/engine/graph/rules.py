"""The plain meaning of leaves, pointwise ops, changes of shape and sums, float64.

`RULES` gathers these functions, one an op, and those of `layers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attrs = Mapping[str, Any]
Rule = Callable[..., "Array | tuple[Array, ...]"]

#: op name -> from (attributes, input arrays...) to the output or outputs.
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Decorator: this function is the meaning of op `name`."""

    def add(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return add


def pointwise(name: str, function: Callable[..., Any]) -> None:
    """The meaning of `name` is `function` of the numbers at each place."""
    RULES[name] = lambda attrs, *arrays: function(*arrays)


pointwise("add", lambda a, b: a + b)
pointwise("sub", lambda a, b: a - b)
pointwise("mul", lambda a, b: a * b)
pointwise("div", lambda a, b: a / b)
pointwise("maximum", lambda a, b: np.where(a > b, a, b))
pointwise("minimum", lambda a, b: np.where(a > b, b, a))
pointwise("neg", lambda a: -a)
pointwise("exp", np.exp)
pointwise("log", np.log)
pointwise("tanh", np.tanh)
pointwise("sigmoid", lambda a: 1 / (1 + np.exp(-a)))
pointwise("sqrt", lambda a: a**0.5)
pointwise("rsqrt", lambda a: a**-0.5)
pointwise("reciprocal", lambda a: 1 / a)
pointwise("square", lambda a: a * a)
pointwise("abs", lambda a: np.where(a > 0, a, -a))
pointwise("sign", lambda a: (a > 0) * 1.0 - (a < 0) * 1.0)
pointwise("sin", np.sin)
pointwise("cos", np.cos)
pointwise("relu", lambda a: np.where(a > 0, a, 0.0))
pointwise("greater", lambda a, b: a > b)
pointwise("where", lambda c, a, b: np.where(c, a, b))


@rule("chosen")
def _chosen(attrs: Attrs, value: Array, *rest: Array) -> Array:
    return value


@rule("constant")
def _constant(attrs: Attrs) -> Array:
    return np.array(attrs["value"])


@rule("cast")
def _cast(attrs: Attrs, x: Array) -> Array:
    narrow = np.dtype(attrs["dtype"])
    return x.astype(np.float64 if narrow.kind == "f" else narrow)


@rule("reshape")
def _reshape(attrs: Attrs, x: Array) -> Array:
    return x.reshape(attrs["shape"])


@rule("transpose")
def _transpose(attrs: Attrs, x: Array) -> Array:
    return x.transpose(attrs["axes"])


@rule("broadcast")
def _broadcast(attrs: Attrs, x: Array) -> Array:
    return np.broadcast_to(x, attrs["shape"])


@rule("split")
def _split(attrs: Attrs, x: Array) -> tuple[Array, ...]:
    parts, start = [], 0
    for size in attrs["sizes"]:
        parts.append(x[..., start : start + size])
        start += size
    return tuple(parts)


@rule("concat")
def _concat(attrs: Attrs, *parts: Array) -> Array:
    return np.concatenate(parts, axis=-1)


@rule("rows")
def _rows(attrs: Attrs, x: Array) -> Array:
    return x[attrs["start"] : attrs["stop"]]


@rule("pad_rows")
def _pad_rows(attrs: Attrs, x: Array) -> Array:
    out = np.zeros((attrs["total"], *x.shape[1:]))
    for i in range(len(x)):
        out[attrs["start"] + i] = x[i]
    return out


@rule("sum")
def _sum(attrs: Attrs, x: Array) -> Array:
    return x.sum(axis=attrs["axes"])


@rule("sum_squares")
def _sum_squares(attrs: Attrs, x: Array) -> Array:
    return np.array((x * x).sum())


@rule("count_targets")
def _count_targets(attrs: Attrs, targets: Array) -> Array:
    return np.array(max(1.0, (targets != -1).sum()))
