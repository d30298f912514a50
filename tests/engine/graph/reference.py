"""What a graph computes, said as plainly as Python loops and NumPy can, in float64.

The truth that gradient rules, passes and backends are held against. It shares no code
with any of them, but for the words of the random generator (`engine.random`, itself
held against its published answers). Slow on purpose: no op is written cleverly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

import tests.engine.graph.layers  # noqa: F401  (fills RULES)
from engine.graph import Tensor, topological
from tests.engine.graph.rules import RULES, Array


def evaluate(
    outputs: Sequence[Tensor],
    inputs: Mapping[str, Array] | None = None,
    state: Mapping[str, Array] | None = None,
) -> list[Array]:
    """The values of `outputs`; floats of every width are computed as float64.

    `inputs` by name, `state` as flat buffers by name.
    """
    values: dict[Tensor, Array] = {}
    for node in topological(outputs):
        name = node.op.name
        if name == "input":
            results: Any = widened((inputs or {})[node.attrs["name"]])
        elif name == "state":
            start = node.attrs["offset"]
            flat = widened((state or {})[node.attrs["buffer"]])
            piece = flat[start : start + prod(node.attrs["shape"])]
            results = piece.reshape(node.attrs["shape"])
        else:
            results = RULES[name](node.attrs, *[values[t] for t in node.inputs])
        if not isinstance(results, tuple):
            results = (results,)
        for tensor, result in zip(node.outputs(), results, strict=True):
            assert np.shape(result) == tensor.shape, (node, np.shape(result))
            values[tensor] = np.asarray(result)
    return [values[tensor] for tensor in outputs]


def widened(values: Array) -> Array:
    """Floats as float64, anything else as it is."""
    values = np.asarray(values)
    return values.astype(np.float64) if values.dtype.kind == "f" else values
