"""Cross-entropy from logits, with its own gradient op.

The probabilities are an output, kept for the gradient: they may take the logits'
place in memory, which no one reads again. Target -1 counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply, apply_node
from engine.graph.ops.pointwise import cast
from engine.graph.ops.reduce import count_targets, sum_over
from engine.graph.table import define


def _cross_entropy(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    logits, targets = inputs
    fits = bool(logits.shape) and targets.shape == logits.shape[:-1]
    if targets.dtype != "int32" or not fits:
        raise GraphError(
            f"cross_entropy: logits {logits.shape} with targets {targets.shape} "
            f"{targets.dtype}"
        )
    return [Spec(targets.shape, logits.dtype), logits.spec]


def _grad(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    return [inputs[0].spec]


def _vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    dloss, dprobs = grads
    if dloss is None or dprobs is not None:
        raise GraphError("cross_entropy: only its first output has a gradient")
    return [
        apply("cross_entropy_grad", node.output(1), node.inputs[1], dloss),
        None,
    ]


define("cross_entropy", _cross_entropy, _vjp)
define("cross_entropy_grad", _grad)


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(logits)[target] of every row, 0 where the target is -1: (...)."""
    return apply_node("cross_entropy", logits, targets).output()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of the token losses over the counted targets: shape ()."""
    total = sum_over(token_losses(logits, targets))
    return total / cast(count_targets(targets, logits.dtype), logits.dtype)
