"""The parameters of a GPT: names, shapes, kinds, first values, places in memory.

Knows the config and the random generator. Knows neither the forward pass nor how
parameters are trained; an optimizer goes by a parameter's kind, never by its name.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import ModelConfig, require
from engine.graph.node import Shape
from engine.model.activations import activations
from engine.model.layout import Layout, pack
from engine.random import Stream, normal

#: Standard deviation of GPT-2's weights at first (its code), and its width.
STD = 0.02
STD_WIDTH = 768
DECAY, PLAIN = "params.decay", "params.plain"


class Kind(Enum):
    """What a parameter is in the model."""

    EMBEDDING = "embedding"
    HEAD = "head"
    MATRIX = "matrix"
    GAIN = "gain"
    BIAS = "bias"

    @property
    def decays(self) -> bool:
        """Whether weight decay applies: to all with two axes, as in GPT-2."""
        return self in (Kind.EMBEDDING, Kind.HEAD, Kind.MATRIX)


@dataclass(frozen=True)
class Parameter:
    """One tensor that is trained.

    std    standard deviation of its first values (0 for gains, all 1, and biases)
    parts  widths of the matrices that lie side by side in it: (q, k, v), (gate, up)
    """

    name: str
    shape: Shape
    kind: Kind
    std: float = 0.0
    parts: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def inner_width(config: ModelConfig) -> int:
    """Width inside the MLP: 4 x dim; gated, 8/3 x dim so that both cost the same.

    The latter is rounded down to a multiple of 16, where there is one.
    """
    if config.n_inner:
        return config.n_inner
    if not activations.get(config.activation).gated:
        return 4 * config.n_embd
    inner = 8 * config.n_embd // 3
    return inner - inner % 16 if inner >= 16 else inner


def parameters(config: ModelConfig) -> list[Parameter]:
    """Every parameter, embeddings first. ConfigError if the vocabulary is unset."""
    require(config.vocab_size > 0, "vocab_size", config.vocab_size, "must be positive")
    return list(_parameters(config))


def _parameters(config: ModelConfig) -> Iterator[Parameter]:
    width, vocab = config.n_embd, config.vocab_size
    yield Parameter("wte.weight", (vocab, width), Kind.EMBEDDING, STD)
    if config.position == "learned":
        shape = (config.block_size, width)
        yield Parameter("wpe.weight", shape, Kind.EMBEDDING, STD)
    if not config.tie:
        yield Parameter("head.weight", (width, vocab), Kind.HEAD, STD)
    for layer in range(config.n_layer):
        yield from _block(config, f"blocks.{layer}")
    yield from _norm(config, "norm")


def _block(config: ModelConfig, name: str) -> Iterator[Parameter]:
    """Parameters of one transformer block.

    Matrices begin as GPT-2's do at its width of 768. At another width their deviation
    goes with 1 / sqrt(width), which keeps the size of what they give (LeCun et al.
    1998, "Efficient BackProp", section 4.6); docs/experiments/initialisation.md tells
    what that is worth. The two projections onto the residual stream begin smaller, by
    the root of their number, so that the stream does not grow with depth (GPT-2, 2.3).
    """
    width, size = config.n_embd, config.head_size
    keys = config.kv_heads * size
    inner = inner_width(config)
    gated = activations.get(config.activation).gated
    std = STD * sqrt(STD_WIDTH / width)
    residual = std / sqrt(2 * config.n_layer)
    yield from _norm(config, f"{name}.attn_norm")
    yield from _linear(config, f"{name}.attn.qkv", (width, keys, keys), std)
    if config.qk_norm:
        yield Parameter(f"{name}.attn.q_norm.gain", (size,), Kind.GAIN)
        yield Parameter(f"{name}.attn.k_norm.gain", (size,), Kind.GAIN)
    yield from _linear(config, f"{name}.attn.out", (width,), residual)
    yield from _norm(config, f"{name}.mlp_norm")
    yield from _linear(config, f"{name}.mlp.in", (inner,) * (1 + gated), std)
    yield from _linear(config, f"{name}.mlp.out", (width,), residual, rows=inner)


def _linear(
    config: ModelConfig, name: str, parts: Shape, std: float, rows: int = 0
) -> Iterator[Parameter]:
    shape = (rows or config.n_embd, sum(parts))
    yield Parameter(f"{name}.weight", shape, Kind.MATRIX, std, parts)
    if config.bias:
        yield Parameter(f"{name}.bias", shape[1:], Kind.BIAS)


def _norm(config: ModelConfig, name: str) -> Iterator[Parameter]:
    yield Parameter(f"{name}.gain", (config.n_embd,), Kind.GAIN)
    if config.bias and config.norm == "layernorm":
        yield Parameter(f"{name}.bias", (config.n_embd,), Kind.BIAS)


def parameter_layout(config: ModelConfig) -> Layout:
    """All parameters in two buffers: those that decay apart from the others."""
    return pack(
        (parameter.name, parameter.shape, DECAY if parameter.kind.decays else PLAIN)
        for parameter in parameters(config)
    )


def initial_values(config: ModelConfig, seed: int) -> dict[str, NDArray[Any]]:
    """First values by name, float32.

    A parameter's numbers depend on the seed, its name and its shape alone, so that no
    option of the model changes another parameter's.
    """
    values = {}
    for parameter in parameters(config):
        if parameter.std:
            draw = zlib.crc32(parameter.name.encode())
            flat = normal(seed, Stream.INIT, draw, parameter.size)
            flat *= np.float32(parameter.std)
        else:
            flat = np.full(parameter.size, parameter.kind is Kind.GAIN, np.float32)
        values[parameter.name] = flat.reshape(parameter.shape)
    return values
