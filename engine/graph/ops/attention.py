"""Scaled dot-product attention over heads, causal, with its own gradient op.

Queries, keys and values come as rows (B, T, heads * D), side by side as the linear
layer left them; no transposed copy is made. Fewer key/value heads than query heads
means groups of queries share one (GQA). The scores of all heads at once never exist.
Sources: Vaswani et al. 2017; Dao 2023 (arXiv 2307.08691); Ainslie et al. 2023
(arXiv 2305.13245); soft-cap: Gemma 2 technical report (2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import GraphError
from engine.graph.node import Node, Spec, Tensor, apply, apply_node
from engine.graph.ops.dropout import COUNTER, keep_levels
from engine.graph.table import define


def _attention(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    q, k, v = inputs[:3]
    heads, kv_heads = attrs["heads"], attrs["kv_heads"]
    if len(q.shape) != 3:
        raise GraphError(f"attention: q {q.shape} is not (batch, length, width)")
    size = q.shape[-1] // heads
    right = (*q.shape[:2], kv_heads * size)
    if size * heads != q.shape[-1] or heads % kv_heads or k.shape != right:
        raise GraphError(
            f"attention: q {q.shape} with {heads} heads, k {k.shape} with {kv_heads}"
        )
    if v.shape != k.shape or len({q.dtype, k.dtype, v.dtype}) != 1:
        raise GraphError(f"attention: k {k.shape} {k.dtype}, v {v.shape} {v.dtype}")
    if any(tensor.spec != COUNTER for tensor in inputs[3:]):
        raise GraphError(f"attention: counter {inputs[3].shape} {inputs[3].dtype}")
    return [q.spec, Spec((*q.shape[:2], heads), q.dtype)]


def _attention_grad(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    return [inputs[0].spec, inputs[1].spec, inputs[2].spec]


def _vjp(node: Node, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    dout = grads[0]
    if dout is None or grads[1] is not None:
        raise GraphError("attention: only its first output has a gradient")
    q, k, v = node.inputs[:3]
    rest = node.inputs[3:]
    out, lse = node.outputs()
    grad = apply_node(
        "attention_grad", q, k, v, out, lse, dout, *rest, **dict(node.attrs)
    )
    return [*grad.outputs(), *[None] * len(rest)]


def _flops(node: Node) -> int:
    q = node.inputs[0]
    products = 2 if node.op.name == "attention" else 5
    return products * q.size * (q.shape[1] + 1)


def _decode(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    q, keys, values, starts = inputs
    heads, kv_heads = attrs["heads"], attrs["kv_heads"]
    if len(q.shape) != 3 or len(keys.shape) != 3 or keys.spec != values.spec:
        raise GraphError(
            f"attention_cached: q {q.shape}, cache {keys.shape} and {values.shape}"
        )
    batch, length, width = q.shape
    fits = keys.shape[0] == batch and keys.shape[1] >= length
    even = width % heads == 0 and heads % kv_heads == 0
    if not fits or not even or keys.shape[2] * heads != width * kv_heads:
        raise GraphError(
            f"attention_cached: q {q.shape} with {heads} heads, cache {keys.shape} "
            f"with {kv_heads}"
        )
    if starts.spec != Spec((batch,), "int32"):
        raise GraphError(f"attention_cached: starts {starts.shape} {starts.dtype}")
    return [q.spec]


def _cache_write(inputs: Sequence[Tensor], attrs: Mapping[str, Any]) -> list[Spec]:
    cache, new, starts = inputs
    fits = len(cache.shape) == 3 and new.shape[1] <= cache.shape[1]
    like = (cache.shape[0], cache.shape[2]) == (new.shape[0], new.shape[-1])
    if not fits or not like or new.dtype != cache.dtype:
        raise GraphError(f"cache_write: rows {new.shape} into a cache {cache.shape}")
    if starts.shape != cache.shape[:1] or starts.dtype != "int32":
        raise GraphError(f"cache_write: starts {starts.shape} {starts.dtype}")
    return [cache.spec]


define("attention", _attention, _vjp, flops=_flops)
define("attention_grad", _attention_grad, flops=_flops)
define("attention_cached", _decode)
define("cache_write", _cache_write)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    heads: int,
    kv_heads: int = 0,
    softcap: float = 0.0,
    dropout: float = 0.0,
    counter: Tensor | None = None,
    salt: int = 0,
) -> Tensor:
    """softmax(q k^T / sqrt(D), causal) v, per head: q's shape.

    q (B, T, heads * D), k and v (B, T, kv_heads * D). `softcap` bounds the scores;
    `dropout` drops attention weights, by `counter` and `salt` as in `dropout`.
    """
    attrs = {
        "heads": heads,
        "kv_heads": kv_heads or heads,
        "softcap": softcap,
        "keep": keep_levels(dropout),
        "salt": salt,
    }
    if dropout and counter is None:
        raise GraphError("attention: dropout needs the step's counter")
    inputs = (q, k, v) if counter is None or not dropout else (q, k, v, counter)
    return apply_node("attention", *inputs, **attrs).output()


def attention_cached(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Tensor,
    *,
    heads: int,
    kv_heads: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """Attention of q (B, T, heads * D) over a cache that holds its own rows: q's shape.

    keys and values (B, S, kv_heads * D); row t of sequence b is at starts[b] + t and
    sees the cache's rows up to its own.
    """
    return apply(
        "attention_cached",
        q,
        keys,
        values,
        starts,
        heads=heads,
        kv_heads=kv_heads or heads,
        softcap=softcap,
    )


def cache_write(cache: Tensor, new: Tensor, starts: Tensor) -> Tensor:
    """The cache with rows replaced, from row starts[b] of sequence b on: its shape.

    cache (B, S, W), new (B, T, W), starts (B,) int32 with starts[b] + T <= S. Where
    `cache` is state to which the result is assigned and which nothing else reads
    after, a backend writes the rows in place and copies nothing.
    """
    return apply("cache_write", cache, new, starts)
