"""Activations of the MLP, built of pointwise ops; a third party registers its own.

A plain activation is a function of one tensor. A gated one is a function of (gate,
up), two halves of a wider projection. Their gradients follow from the ops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.graph import Tensor, elementwise, relu, sigmoid, square, tanh
from engine.registry import Registry


@dataclass(frozen=True)
class Activation:
    """`function` of (x), or of (gate, up) if `gated`; pointwise, shape unchanged.

    `slopes`, of the same arguments, gives the derivative by each, where a shorter form
    is known than the one that follows from the ops.
    """

    function: Callable[..., Tensor]
    gated: bool = False
    slopes: Callable[..., Sequence[Tensor]] | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The activation as model code uses it: derivatives beside the value."""
        return elementwise(self.function, *inputs, slopes=self.slopes)


activations: Registry[Activation] = Registry("activation")


#: Coefficients of u(x) = GELU_0 x + GELU_1 x^3 in 0.5 x (1 + tanh(u)).
GELU_0 = math.sqrt(2.0 / math.pi)
GELU_1 = 0.044715 * GELU_0


def _gelu_parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """u(x) / x and (1 + tanh(u)) / 2."""
    over = square(x) * GELU_1 + GELU_0
    return over, tanh(x * over) * 0.5 + 0.5


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh approximation: that of GPT-2.

    Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415), section 2.
    """
    return x * _gelu_parts(x)[1]


def gelu_slopes(x: Tensor) -> list[Tensor]:
    """With s = (1 + tanh(u)) / 2 and y = x s: s + 2 y (1 - s) u'."""
    over, s = _gelu_parts(x)
    return [s + x * s * (1.0 - s) * (over * 6.0 - 4.0 * GELU_0)]


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x). Source: Elfwing et al. 2017 (arXiv 1702.03118)."""
    return x * sigmoid(x)


def relu_squared(x: Tensor) -> Tensor:
    """relu(x)^2. Source: So et al. 2021, Primer (arXiv 2109.08668)."""
    return square(relu(x))


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) up. Source: Shazeer 2020 (arXiv 2002.05202)."""
    return silu(gate) * up


def geglu(gate: Tensor, up: Tensor) -> Tensor:
    """gelu(gate) up. Source: Shazeer 2020 (arXiv 2002.05202)."""
    return gelu(gate) * up


activations.register("gelu")(Activation(gelu, slopes=gelu_slopes))
activations.register("relu")(Activation(relu))
activations.register("relu2")(Activation(relu_squared))
activations.register("silu")(Activation(silu))
activations.register("swiglu")(Activation(swiglu, gated=True))
activations.register("geglu")(Activation(geglu, gated=True))
