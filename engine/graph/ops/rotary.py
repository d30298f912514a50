"""Rotary position embedding, on queries or keys of all heads at once.

The first half of a head is paired with its second half (the layout of Llama and
GPT-NeoX). The gradient is the rotation by the opposite angle.
Source: Su et al. 2021, arXiv 2104.09864.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply
from engine.graph.table import define


def _rotary(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    x = inputs[0]
    heads = attrs["heads"]
    if len(x.shape) != 3 or x.shape[-1] % (2 * heads):
        raise GraphError(f"rotary: {x.shape} with {heads} heads of even size")
    if len(inputs) == 2 and inputs[1].spec != Spec((x.shape[0],), "int32"):
        raise GraphError(
            f"rotary: starts {inputs[1].shape} {inputs[1].dtype} for batch {x.shape[0]}"
        )
    return [x.spec]


def _vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    (dy,) = grads
    assert dy is not None
    back = dict(node.attrs) | {"inverse": not node.attrs["inverse"]}
    return [
        apply("rotary", dy, *node.inputs[1:], **back),
        *[None] * (len(node.inputs) - 1),
    ]


define("rotary", _rotary, _vjp)


def rotary(
    x: Tensor,
    *,
    heads: int,
    theta: float = 10000.0,
    starts: Tensor | None = None,
) -> Tensor:
    """Rotate x (B, T, heads * D) by position times theta^(-2i/D): x's shape.

    Row t of sequence b stands at position t, or starts[b] + t (starts: (B,) int32).
    """
    inputs = (x,) if starts is None else (x, starts)
    return apply("rotary", *inputs, heads=heads, theta=theta, inverse=False)
