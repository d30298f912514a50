"""Random inputs for small graphs: shapes drawn by hypothesis, values never zeros.

Knows no op; the graphs themselves are in `cases`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from numpy.typing import NDArray

from engine.graph import Tensor, input_tensor, state_tensor

Shape = tuple[int, ...]
Draw = Callable[[st.SearchStrategy[Any]], Any]

#: Extents on which blocks, threads and vectors stumble: one, primes, beside a power.
SMALL = (1, 2, 3, 5)
LARGE = (1, 2, 7, 16, 31, 33)


@dataclass(frozen=True)
class Case:
    """`outputs` to compare; `result`, if a gradient exists, to differentiate."""

    outputs: list[Tensor]
    result: Tensor | None = None


class Maker:
    """Draws shapes, and makes inputs together with values for them.

    `arrays` are the values of the inputs by name, `buffers` those of the state, and
    `floats` the inputs that gradients are taken by.
    """

    def __init__(self, draw: Draw, extents: tuple[int, ...] = SMALL) -> None:
        self.draw = draw
        self.extents = extents
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.arrays: dict[str, NDArray[Any]] = {}
        self.buffers: dict[str, NDArray[Any]] = {}
        self.floats: list[Tensor] = []

    def extent(self) -> int:
        return int(self.draw(st.sampled_from(self.extents)))

    def among(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def shape(self, least: int = 0, most: int = 3) -> Shape:
        """`least` to `most` extents."""
        rank = self.draw(st.integers(least, most))
        return tuple(self.extent() for _ in range(rank))

    def broadcastable(self, count: int) -> tuple[list[Shape], Shape]:
        """`count` shapes that broadcast together, and the shape they give."""
        side = max(self.extents)
        drawn = self.draw(
            mutually_broadcastable_shapes(num_shapes=count, max_dims=3, max_side=side)
        )
        return list(drawn.input_shapes), drawn.result_shape

    def reshaped(self, size: int) -> Shape:
        """Some shape of `size` elements."""
        divisors = [n for n in range(1, size + 1) if size % n == 0]
        first = self.draw(st.sampled_from(divisors))
        return self.among((size,), (first, size // first), (1, first, size // first))

    def given(self, values: NDArray[Any]) -> Tensor:
        """An input that holds `values`."""
        name = f"x{len(self.arrays)}"
        self.arrays[name] = values
        return input_tensor(name, values.shape, values.dtype.name)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return self._float(self.random.standard_normal(shape))

    def positive(self, *shape: int) -> Tensor:
        """At least 1/2."""
        return self._float(0.5 + np.abs(self.random.standard_normal(shape)))

    def away(self, *shape: int) -> Tensor:
        """Of either sign, at least 1/4 away from zero, where some ops have a kink."""
        values = np.asarray(self.random.standard_normal(shape))
        return self._float(values + np.copysign(0.25, values))

    def spread(self, *shape: int) -> Tensor:
        """Rows of about unit variance however short: no norm divides by almost 0."""
        signs = 1.0 - 2.0 * (np.arange(shape[-1]) % 2)
        return self._float(0.3 * self.random.standard_normal(shape) + signs)

    def few(self, *shape: int) -> Tensor:
        """Small whole numbers as floats, so that equal ones meet; no gradient."""
        return self.given(np.asarray(self.random.integers(-2, 3, shape), np.float32))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """int32 numbers in [low, high)."""
        return self.given(np.asarray(self.random.integers(low, high, shape), np.int32))

    def counter(self) -> Tensor:
        """A dropout counter: words of any bits, but a step below 2**48."""
        words = self.random.integers(0, 2**32, 4, dtype=np.uint32)
        words[3] %= 2**16
        return self.given(words.view(np.int32))

    def state(self, *shape: int, before: int = 0, after: int = 0) -> Tensor:
        """A piece of a buffer that holds `before` and `after` elements around it."""
        name = f"s{len(self.buffers)}"
        values = self.random.standard_normal(before + prod(shape) + after)
        self.buffers[name] = values.astype(np.float32)
        return state_tensor(f"{name}.piece", shape, buffer=name, offset=before)

    def _float(self, values: Any) -> Tensor:
        tensor = self.given(np.asarray(values, np.float32))
        self.floats.append(tensor)
        return tensor
