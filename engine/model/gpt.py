"""The forward pass of a GPT: one definition for training, evaluation and decoding.

A cache makes the difference between them: with one, tokens continue sequences whose
keys and values it holds. Knows the config's options and the graph's ops; knows nothing
about losses' averages, optimizers or where programs run.
Source: Radford et al. 2019 (GPT-2), with the options named in `engine.config`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.config import ModelConfig
from engine.graph import (
    Tensor,
    attention,
    attention_cached,
    cache_write,
    dropout,
    elementwise,
    embedding,
    layer_norm,
    linear,
    rms_norm,
    rotary,
    rows,
    scope,
    soft_cap,
    split,
    sum_over,
    token_losses,
)
from engine.model.activations import activations

Weights = Mapping[str, Tensor]

#: Dropout masks of a block: attention weights, and the two residual branches.
MASKS_PER_BLOCK = 3


@dataclass(frozen=True)
class Dropout:
    """Drop values with `probability`, by `counter` ((4,) int32, see `graph.dropout`).

    Masks are numbered: 0 is the embedding's, 1 + 3 i to 3 + 3 i are those of block i.
    """

    probability: float
    counter: Tensor

    def apply(self, x: Tensor, salt: int) -> Tensor:
        """x with its values dropped under mask `salt`."""
        return dropout(x, self.probability, self.counter, salt)


@dataclass
class KVCache:
    """Keys and values of the tokens so far, a pair of state tensors a layer.

    starts     (B,) int32: position of the first new token of each sequence
    positions  (B, T) int32: position of every new token; learned positions need it
    keys       one (B, S, kv_heads * D) a layer; values likewise
    writes     after tracing: (state, its new content), to be assigned
    """

    starts: Tensor
    positions: Tensor | None
    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    writes: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's keys and values with new rows k and v (B, T, kv_heads * D)."""
        keys = cache_write(self.keys[layer], k, self.starts)
        values = cache_write(self.values[layer], v, self.starts)
        self.writes.append((self.keys[layer], keys))
        self.writes.append((self.values[layer], values))
        return keys, values


def hidden_states(
    config: ModelConfig,
    weights: Weights,
    tokens: Tensor,
    *,
    drop: Dropout | None = None,
    cache: KVCache | None = None,
) -> Tensor:
    """The final norm's output for tokens (B, T) int32: (B, T, C)."""
    with scope("embed"):
        x = embedding(tokens, weights["wte.weight"])
        if config.position == "learned":
            x = x + _positions(weights["wpe.weight"], tokens.shape[1], cache)
        if drop is not None:
            x = drop.apply(x, 0)
    for layer in range(config.n_layer):
        with scope(f"block.{layer}"):
            salt = 1 + MASKS_PER_BLOCK * layer
            with scope("attention"):
                h = _norm(config, weights, f"blocks.{layer}.attn_norm", x)
                h = _attention(config, weights, layer, h, drop, cache)
                x = x + (drop.apply(h, salt + 1) if drop else h)
            with scope("mlp"):
                h = _norm(config, weights, f"blocks.{layer}.mlp_norm", x)
                h = _mlp(config, weights, f"blocks.{layer}.mlp", h)
                x = x + (drop.apply(h, salt + 2) if drop else h)
    with scope("head"):
        return _norm(config, weights, "norm", x)


def logits(config: ModelConfig, weights: Weights, hidden: Tensor) -> Tensor:
    """Scores of every next token from `hidden` (..., C): (..., V)."""
    with scope("head"):
        if config.tie:
            scores = linear(hidden, weights["wte.weight"], transposed=True)
        else:
            scores = linear(hidden, weights["head.weight"])
        cap = config.logit_softcap
        return elementwise(lambda x: soft_cap(x, cap), scores) if cap else scores


def negative_log_likelihood(
    config: ModelConfig,
    weights: Weights,
    tokens: Tensor,
    targets: Tensor,
    drop: Dropout | None = None,
) -> Tensor:
    """Summed over the targets (B, T) that are not -1, in nats: shape ()."""
    hidden = hidden_states(config, weights, tokens, drop=drop)
    scores = logits(config, weights, hidden)
    with scope("loss"):
        return sum_over(token_losses(scores, targets))


def _positions(table: Tensor, length: int, cache: KVCache | None) -> Tensor:
    if cache is None:
        return rows(table, 0, length)
    assert cache.positions is not None
    return embedding(cache.positions, table)


def _norm(config: ModelConfig, weights: Weights, name: str, x: Tensor) -> Tensor:
    gain = weights[f"{name}.gain"]
    if config.norm == "rmsnorm":
        return rms_norm(x, gain, eps=config.norm_eps)
    return layer_norm(x, gain, weights.get(f"{name}.bias"), eps=config.norm_eps)


def _linear(config: ModelConfig, weights: Weights, name: str, x: Tensor) -> Tensor:
    y = linear(x, weights[f"{name}.weight"])
    return y + weights[f"{name}.bias"] if config.bias else y


def _attention(
    config: ModelConfig,
    weights: Weights,
    layer: int,
    x: Tensor,
    drop: Dropout | None,
    cache: KVCache | None,
) -> Tensor:
    """Self-attention with its output projection: x (B, T, C) to (B, T, C)."""
    name = f"blocks.{layer}.attn"
    heads, kv_heads = config.n_head, config.kv_heads
    keys = kv_heads * config.head_size
    qkv = _linear(config, weights, f"{name}.qkv", x)
    q, k, v = split(qkv, (config.n_embd, keys, keys))
    if config.qk_norm:
        eps = config.norm_eps
        q = rms_norm(q, weights[f"{name}.q_norm.gain"], eps=eps, groups=heads)
        k = rms_norm(k, weights[f"{name}.k_norm.gain"], eps=eps, groups=kv_heads)
    if config.position == "rotary":
        theta = config.rope_theta
        starts = cache.starts if cache else None
        q = rotary(q, heads=heads, theta=theta, starts=starts)
        k = rotary(k, heads=kv_heads, theta=theta, starts=starts)
    cap = config.attention_softcap
    if cache is not None:
        k, v = cache.extend(layer, k, v)
        y = attention_cached(
            q, k, v, cache.starts, heads=heads, kv_heads=kv_heads, softcap=cap
        )
    else:
        y = attention(
            q,
            k,
            v,
            heads=heads,
            kv_heads=kv_heads,
            softcap=cap,
            dropout=drop.probability if drop else 0.0,
            counter=drop.counter if drop else None,
            salt=1 + MASKS_PER_BLOCK * layer,
        )
    return _linear(config, weights, f"{name}.out", y)


def _mlp(config: ModelConfig, weights: Weights, name: str, x: Tensor) -> Tensor:
    """The feed-forward branch: x (B, T, C) to (B, T, C)."""
    activation = activations.get(config.activation)
    h = _linear(config, weights, f"{name}.in", x)
    if activation.gated:
        inner = h.shape[-1] // 2
        h = activation(*split(h, (inner, inner)))
    else:
        h = activation(h)
    return _linear(config, weights, f"{name}.out", h)
