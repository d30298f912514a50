"""Pointwise ops as lines of Python: one NumPy call each, or a few.

The same lines serve blocks of rows and whole arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.graph.node import Node

#: {o} is the output, {a}, {b}, {c} the inputs. Except in `where` and `cast`, the
#: output may be an input's memory.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "add": ("add({a}, {b}, {o})",),
    "sub": ("subtract({a}, {b}, {o})",),
    "mul": ("multiply({a}, {b}, {o})",),
    "div": ("divide({a}, {b}, {o})",),
    "maximum": ("maximum({a}, {b}, out={o})",),
    "minimum": ("minimum({a}, {b}, out={o})",),
    "neg": ("negative({a}, {o})",),
    "exp": ("exp({a}, {o})",),
    "log": ("log({a}, {o})",),
    "tanh": ("tanh({a}, {o})",),
    # 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, which never overflows.
    "sigmoid": (
        "multiply({a}, 0.5, {o})",
        "tanh({o}, {o})",
        "multiply({o}, 0.5, {o})",
        "add({o}, 0.5, {o})",
    ),
    "sqrt": ("sqrt({a}, {o})",),
    "rsqrt": ("sqrt({a}, {o})", "reciprocal({o}, {o})"),
    "reciprocal": ("reciprocal({a}, {o})",),
    "square": ("multiply({a}, {a}, {o})",),
    "abs": ("absolute({a}, {o})",),
    "sign": ("sign({a}, {o})",),
    "sin": ("sin({a}, {o})",),
    "cos": ("cos({a}, {o})",),
    "relu": ("maximum({a}, 0.0, out={o})",),
    "greater": ("greater({a}, {b}, {o})",),
    "where": ("copyto({o}, {c})", "copyto({o}, {b}, where={a})"),
    "cast": ("copyto({o}, {a}, casting='unsafe')",),
    "constant": ("{o}.fill({value!r})",),
}

_KEEPS_INPUTS = ("where", "cast")


def may_overwrite(node: Node) -> bool:
    """Whether the output may be written over an input that is not read again."""
    return node.op.name not in _KEEPS_INPUTS


def emit_pointwise(node: Node, out: str, inputs: Sequence[str]) -> list[str]:
    """The lines that compute `node` from input expressions into `out`."""
    names = dict(zip("abc", inputs, strict=False))
    value = node.attrs.get("value")
    return [
        line.format(o=out, value=value, **names) for line in TEMPLATES[node.op.name]
    ]
