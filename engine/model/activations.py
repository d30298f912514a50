"""Activations of the MLP, built of pointwise ops; a third party registers its own.

A plain activation is a function of one tensor. A gated one is a function of (gate,
up), two halves of a wider projection. Their gradients follow from the ops.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from engine.graph import Tensor, relu, sigmoid, square
from engine.registry import Registry


@dataclass(frozen=True)
class Activation:
    """`function` of (x), or of (gate, up) if `gated`; pointwise, shape unchanged."""

    function: Callable[..., Tensor]
    gated: bool = False


activations: Registry[Activation] = Registry("activation")


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh approximation: that of GPT-2.

    0.5 x (1 + tanh(u)) is written x sigmoid(2 u), which is the same with fewer steps.
    Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415), section 2.
    """
    scale = 2.0 * math.sqrt(2.0 / math.pi)
    return x * sigmoid(x * (square(x) * (0.044715 * scale) + scale))


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


activations.register("gelu")(Activation(gelu))
activations.register("relu")(Activation(relu))
activations.register("relu2")(Activation(relu_squared))
activations.register("silu")(Activation(silu))
activations.register("swiglu")(Activation(swiglu, gated=True))
activations.register("geglu")(Activation(geglu, gated=True))
