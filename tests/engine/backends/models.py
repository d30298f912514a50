"""Whole graphs that the suite runs: a small perceptron and a transformer block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import engine.graph as g
from engine.backends import Assign
from engine.graph import Tensor, input_tensor, state_tensor
from tests.engine.backends.harness import Array


@dataclass(frozen=True)
class Traced:
    """A loss over parameters that lie one after the other in buffer "params"."""

    loss: Tensor
    params: list[Tensor]
    inputs: dict[str, Array]
    values: Array

    def gradients(self) -> list[Tensor]:
        """One a parameter."""
        return g.gradients(self.loss, self.params)

    def gradient_assigns(self) -> list[Assign]:
        """Gradients into buffer "grads", laid out as the parameters; they add up."""
        return [
            Assign(like(param, "grads"), grad, accumulate=True)
            for param, grad in zip(self.params, self.gradients(), strict=True)
        ]


def like(param: Tensor, buffer: str) -> Tensor:
    """The piece of another buffer at the same place."""
    offset = param.node.attrs["offset"]
    return state_tensor(f"{buffer}.{offset}", param.shape, buffer=buffer, offset=offset)


class Parameters:
    """Hands out pieces of buffer "params" and random values for them."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.values: list[Array] = []
        self.tensors: list[Tensor] = []
        self.used = 0

    def take(self, *shape: int) -> Tensor:
        """A piece of this shape; matrices are scaled to keep variance."""
        scale = shape[0] ** -0.5 if len(shape) == 2 else 1.0
        values = self.random.standard_normal(shape) * scale
        piece = state_tensor(f"p{self.used}", shape, buffer="params", offset=self.used)
        self.values.append(values.astype(np.float32).reshape(-1))
        self.tensors.append(piece)
        self.used += values.size
        return piece

    def traced(self, loss: Tensor, inputs: dict[str, Array]) -> Traced:
        return Traced(loss, self.tensors, inputs, np.concatenate(self.values))


def perceptron(
    rows: int = 37, wide: int = 11, hidden: int = 29, out: int = 5
) -> Traced:
    """Two layers with GELU's tanh form, and cross-entropy."""
    p = Parameters(rows)
    x = input_tensor("x", (rows, wide))
    targets = input_tensor("targets", (rows,), "int32")

    def gelu(a: Tensor) -> Tensor:
        return 0.5 * a * (1.0 + g.tanh(0.79788456 * (a + 0.044715 * a * a * a)))

    h = g.elementwise(gelu, g.linear(x, p.take(wide, hidden)) + p.take(hidden))
    logits = g.linear(h, p.take(hidden, out)) + p.take(out)
    inputs = {
        "x": p.random.standard_normal((rows, wide)).astype(np.float32),
        "targets": p.random.integers(-1, out, rows).astype(np.int32),
    }
    return p.traced(g.cross_entropy(logits, targets), inputs)


def transformer(
    batch: int = 5,
    length: int = 13,
    heads: int = 4,
    size: int = 6,
    vocabulary: int = 17,
    *,
    modern: bool = False,
    dropout: float = 0.0,
) -> Traced:
    """Embedding, one block and a tied head: LayerNorm and GELU's like, or the modern
    options: rotary, RMS and query-key norm, shared keys, a gate, soft-caps.
    """
    width = heads * size
    p = Parameters(batch * length)
    shape = (batch, length)
    ids = input_tensor("ids", shape, "int32")
    targets = input_tensor("targets", shape, "int32")
    counter = input_tensor("counter", (4,), "int32")
    table = p.take(vocabulary, width)

    def norm(x: Tensor) -> Tensor:
        if modern:
            return g.rms_norm(x, p.take(width))
        return g.layer_norm(x, p.take(width), p.take(width))

    def drop(x: Tensor, salt: int) -> Tensor:
        return g.dropout(x, dropout, counter, salt) if dropout else x

    kv_heads = heads // 2 if modern else heads
    with g.scope("embed"):
        x = g.embedding(ids, table)
        if not modern:
            x = x + p.take(length, width)
        x = drop(x, 0)
    with g.scope("block.0"):
        parts = [width, kv_heads * size, kv_heads * size]
        q, k, v = g.split(g.linear(norm(x), p.take(width, sum(parts))), parts)
        if modern:
            q = g.rotary(g.rms_norm(q, p.take(size), groups=heads), heads=heads)
            k = g.rotary(g.rms_norm(k, p.take(size), groups=kv_heads), heads=kv_heads)
        y = g.attention(
            q,
            k,
            v,
            heads=heads,
            kv_heads=kv_heads,
            softcap=20.0 if modern else 0.0,
            dropout=dropout,
            counter=counter,
            salt=1,
        )
        x = x + drop(g.linear(y, p.take(width, width)), 2)
        inner = g.linear(norm(x), p.take(width, 4 * width))
        if modern:
            a, b = g.split(inner, [2 * width, 2 * width])
            inner = g.elementwise(lambda s, t: g.sigmoid(s) * s * t, a, b)
        else:
            inner = g.elementwise(g.tanh, inner + p.take(4 * width))
        x = x + drop(g.linear(inner, p.take(inner.shape[-1], width)), 3)
    with g.scope("head"):
        logits = g.linear(norm(x), table, transposed=True)
        if modern:
            logits = g.soft_cap(logits, 10.0)
        loss = g.cross_entropy(logits, targets)
    inputs = {
        "ids": p.random.integers(0, vocabulary, shape).astype(np.int32),
        "targets": p.random.integers(-1, vocabulary, shape).astype(np.int32),
    }
    if dropout:
        inputs["counter"] = np.array([3, 1, 4, 1], np.int32)
    return p.traced(loss, inputs)
