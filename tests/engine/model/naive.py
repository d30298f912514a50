"""A GPT as the papers have it: float64, one token and one head at a time.

Shares no code with the engine; it reads a config and weights by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf, exp, sqrt, tanh

import numpy as np
from numpy.typing import NDArray

from engine.config import ModelConfig

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def gelu(x: float) -> float:
    return 0.5 * x * (1 + tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def exact_gelu(x: float) -> float:
    return 0.5 * x * (1 + erf(x / sqrt(2)))


def silu(x: float) -> float:
    return x / (1 + exp(-x))


PLAIN: dict[str, Callable[[float], float]] = {
    "gelu": gelu,
    "relu": lambda x: max(x, 0.0),
    "relu2": lambda x: max(x, 0.0) ** 2,
    "silu": silu,
}
GATED: dict[str, Callable[[float, float], float]] = {
    "swiglu": lambda gate, up: silu(gate) * up,
    "geglu": lambda gate, up: gelu(gate) * up,
}


def logits(config: ModelConfig, weights: Weights, tokens: list[int]) -> Array:
    """Scores after each of `tokens`: (T, V)."""
    stream = [weights["wte.weight"][token].copy() for token in tokens]
    if config.position == "learned":
        stream = [x + weights["wpe.weight"][t] for t, x in enumerate(stream)]
    for layer in range(config.n_layer):
        name = f"blocks.{layer}"
        normed = [norm(config, weights, f"{name}.attn_norm", x) for x in stream]
        mixed = attend(config, weights, f"{name}.attn", normed)
        stream = [x + y for x, y in zip(stream, mixed, strict=True)]
        normed = [norm(config, weights, f"{name}.mlp_norm", x) for x in stream]
        stream = [
            x + mlp(config, weights, f"{name}.mlp", h)
            for x, h in zip(stream, normed, strict=True)
        ]
    final = np.array([norm(config, weights, "norm", x) for x in stream])
    head = weights["wte.weight"].T if config.tie else weights["head.weight"]
    return capped(final @ head, config.logit_softcap)


def attend(
    config: ModelConfig, weights: Weights, name: str, rows: list[Array]
) -> list[Array]:
    size, width = config.head_size, config.n_embd
    keys_width = config.kv_heads * size
    queries, keys, values = [], [], []
    for t, x in enumerate(rows):
        qkv = linear(weights, f"{name}.qkv", x)
        q, k, v = np.split(qkv, [width, width + keys_width])
        heads_q = np.split(q, config.n_head)
        heads_k = np.split(k, config.kv_heads)
        if config.qk_norm:
            gain_q, gain_k = (weights[f"{name}.{w}_norm.gain"] for w in "qk")
            heads_q = [rms(h, gain_q, config.norm_eps) for h in heads_q]
            heads_k = [rms(h, gain_k, config.norm_eps) for h in heads_k]
        if config.position == "rotary":
            heads_q = [rotated(h, t, config.rope_theta) for h in heads_q]
            heads_k = [rotated(h, t, config.rope_theta) for h in heads_k]
        queries.append(heads_q)
        keys.append(heads_k)
        values.append(np.split(v, config.kv_heads))
    out = []
    group = config.n_head // config.kv_heads
    for t in range(len(rows)):
        parts = []
        for head in range(config.n_head):
            shared = head // group
            scores = np.array(
                [queries[t][head] @ keys[u][shared] / sqrt(size) for u in range(t + 1)]
            )
            scores = np.exp(capped(scores, config.attention_softcap))
            chances = scores / scores.sum()
            parts.append(sum(p * values[u][shared] for u, p in enumerate(chances)))
        out.append(linear(weights, f"{name}.out", np.concatenate(parts)))
    return out


def mlp(config: ModelConfig, weights: Weights, name: str, x: Array) -> Array:
    h = linear(weights, f"{name}.in", x)
    if config.activation in GATED:
        gate, up = np.split(h, 2)
        function = GATED[config.activation]
        inner = [function(g, u) for g, u in zip(gate, up, strict=True)]
    else:
        inner = [PLAIN[config.activation](float(value)) for value in h]
    return linear(weights, f"{name}.out", np.array(inner))


def linear(weights: Weights, name: str, x: Array) -> Array:
    return x @ weights[f"{name}.weight"] + weights.get(f"{name}.bias", 0.0)


def norm(config: ModelConfig, weights: Weights, name: str, x: Array) -> Array:
    gain = weights[f"{name}.gain"]
    if config.norm == "rmsnorm":
        return rms(x, gain, config.norm_eps)
    scaled = (x - x.mean()) / sqrt(x.var() + config.norm_eps)
    return scaled * gain + weights.get(f"{name}.bias", 0.0)


def rms(x: Array, gain: Array, eps: float) -> Array:
    return x / sqrt((x**2).mean() + eps) * gain


def rotated(x: Array, position: int, theta: float) -> Array:
    """Pairs (i, i + D/2) seen as complex numbers, turned."""
    half = len(x) // 2
    turns = position * theta ** (-2 * np.arange(half) / len(x))
    turned = (x[:half] + 1j * x[half:]) * np.exp(1j * turns)
    return np.concatenate([turned.real, turned.imag])


def capped(x: Array, cap: float) -> Array:
    return cap * np.tanh(x / cap) if cap else x
