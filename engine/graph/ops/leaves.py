"""Where values enter a graph: step inputs, persistent state, constants.

State lives in named buffers, flat arrays that outlast a step (parameters, gradients,
moments). A state tensor is a piece of one buffer, so that a weight and the flat array
that an optimizer sweeps over may be the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from engine.graph.node import Shape, Spec, Tensor, apply
from engine.graph.table import define


def _declared(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    return [Spec(tuple(attrs["shape"]), attrs["dtype"])]


def _scalar(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    return [Spec((), attrs["dtype"])]


define("input", _declared)
define("state", _declared)
define("constant", _scalar, pointwise=True)


def input_tensor(name: str, shape: Shape, dtype: str = "float32") -> Tensor:
    """A value given anew at every run, under `name`."""
    return apply("input", name=name, shape=tuple(shape), dtype=dtype)


def state_tensor(
    name: str,
    shape: Shape,
    dtype: str = "float32",
    *,
    buffer: str = "",
    offset: int = 0,
) -> Tensor:
    """A piece of a persistent buffer: `shape` elements of it from `offset` on.

    Without `buffer` the tensor has a buffer of its own, named as itself.
    """
    return apply(
        "state",
        name=name,
        shape=tuple(shape),
        dtype=dtype,
        buffer=buffer or name,
        offset=offset,
    )


def state_extent(tensor: Tensor) -> tuple[str, int, int]:
    """(buffer, first element, one past the last) of a state tensor."""
    attrs = tensor.node.attrs
    start = int(attrs["offset"])
    return str(attrs["buffer"]), start, start + prod(tensor.shape)
