"""Layer norm and RMS norm, each with its own gradient op.

Both may cut the last axis into `groups` equal parts and normalise each by itself
(queries and keys per head); the gain then has the width of one part. The normalised
rows and the reciprocal deviations are outputs, kept for the backward pass.
Sources: Ba et al. 2016 (arXiv 1607.06450); Zhang and Sennrich 2019 (1910.07467).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply_node
from engine.graph.table import define


def _norm(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    x, gain = inputs[0], inputs[1]
    groups = attrs["groups"]
    width = x.shape[-1] // groups
    like = Spec((width,), x.dtype)
    if width * groups != x.shape[-1] or any(t.spec != like for t in inputs[1:]):
        raise GraphError(
            f"norm: {groups} groups of {x.shape} {x.dtype} with a gain of "
            f"{gain.shape} {gain.dtype}"
        )
    return [x.spec, x.spec, Spec((*x.shape[:-1], groups), x.dtype)]


def _norm_grad(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    dy, gain = inputs[0], inputs[1]
    return [dy.spec, *[gain.spec] * (2 if attrs["bias"] else 1)]


def _vjp(name: str) -> Any:
    def rule(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
        dy = grads[0]
        if dy is None or any(grad is not None for grad in grads[1:]):
            raise GraphError(f"{name}: only its first output has a gradient")
        bias = len(node.inputs) == 3
        return list(
            apply_node(
                f"{name}_grad",
                dy,
                node.inputs[1],
                node.output(1),
                node.output(2),
                groups=node.attrs["groups"],
                bias=bias,
            ).outputs()
        )

    return rule


define("layer_norm", _norm, _vjp("layer_norm"))
define("layer_norm_grad", _norm_grad)
define("rms_norm", _norm, _vjp("rms_norm"))
define("rms_norm_grad", _norm_grad)


def layer_norm(
    x: Tensor,
    gain: Tensor,
    bias: Tensor | None = None,
    *,
    eps: float = 1e-5,
    groups: int = 1,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * gain + bias over each row's group: x's shape."""
    inputs = (x, gain) if bias is None else (x, gain, bias)
    return apply_node("layer_norm", *inputs, eps=eps, groups=groups).output()


def rms_norm(x: Tensor, gain: Tensor, *, eps: float = 1e-5, groups: int = 1) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * gain over each row's group: x's shape."""
    return apply_node("rms_norm", x, gain, eps=eps, groups=groups).output()
