"""The plain meaning of the ops with kernels of their own: products to attention.

Attention builds the whole row of weights of every head with an explicit -inf mask;
gradients of norms and softmax multiply by the Jacobian itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, prod, sin

import numpy as np

from engine.random import Stream, philox
from tests.engine.graph.rules import Array, Attrs, rule


def probabilities(scores: Array) -> Array:
    """softmax of one row of numbers, some of which may be -inf."""
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@rule("softmax")
def _softmax(attrs: Attrs, x: Array) -> Array:
    out = np.empty_like(x)
    for place in np.ndindex(*x.shape[:-1]):
        out[place] = probabilities(x[place])
    return out


@rule("softmax_grad")
def _softmax_grad(attrs: Attrs, y: Array, dy: Array) -> Array:
    out = np.empty_like(y)
    for place in np.ndindex(*y.shape[:-1]):
        jacobian = np.diag(y[place]) - np.outer(y[place], y[place])
        out[place] = jacobian @ dy[place]
    return out


@rule("linear")
def _linear(attrs: Attrs, x: Array, w: Array) -> Array:
    return np.einsum("...k,nk->...n" if attrs["transposed"] else "...k,kn->...n", x, w)


@rule("weight_grad")
def _weight_grad(attrs: Attrs, x: Array, dy: Array) -> Array:
    out = np.zeros((x.shape[-1], dy.shape[-1]))
    for place in np.ndindex(*x.shape[:-1]):
        out += np.outer(x[place], dy[place])
    return out


@rule("matmul")
def _matmul(attrs: Attrs, a: Array, b: Array) -> Array:
    left = "...ki" if attrs["ta"] else "...ik"
    right = "...jk" if attrs["tb"] else "...kj"
    return np.einsum(f"{left},{right}->...ij", a, b)


@rule("embedding")
def _embedding(attrs: Attrs, ids: Array, table: Array) -> Array:
    out = np.empty((*ids.shape, table.shape[1]))
    for place in np.ndindex(*ids.shape):
        out[place] = table[ids[place]]
    return out


@rule("embedding_grad")
def _embedding_grad(attrs: Attrs, ids: Array, dy: Array) -> Array:
    out = np.zeros((attrs["rows"], dy.shape[-1]))
    for place in np.ndindex(*ids.shape):
        out[ids[place]] += dy[place]
    return out


@rule("cross_entropy")
def _cross_entropy(attrs: Attrs, logits: Array, targets: Array) -> tuple[Array, Array]:
    losses, probs = np.zeros(targets.shape), np.empty_like(logits)
    for place in np.ndindex(*targets.shape):
        row, target = logits[place], targets[place]
        probs[place] = probabilities(row)
        if target != -1:
            log_sum = row.max() + np.log(np.exp(row - row.max()).sum())
            losses[place] = log_sum - row[target]
    return losses, probs


@rule("cross_entropy_grad")
def _cross_entropy_grad(
    attrs: Attrs, probs: Array, targets: Array, dloss: Array
) -> Array:
    out = np.zeros_like(probs)
    for place in np.ndindex(*targets.shape):
        if targets[place] != -1:
            out[place] = probs[place]
            out[place][targets[place]] -= 1.0
            out[place] *= dloss[place]
    return out


def groups_of(x: Array, groups: int) -> Array:
    """The last axis cut into `groups` equal parts: (rows * groups, width)."""
    return x.reshape(-1, x.shape[-1] // groups)


def normalised(
    attrs: Attrs, x: Array, gain: Array, bias: Array | float, *, centred: bool
) -> tuple[Array, ...]:
    rows, deviations, results = [], [], []
    for part in groups_of(x, attrs["groups"]):
        part = part - part.mean() if centred else part
        deviation = (np.mean(part**2) + attrs["eps"]) ** -0.5
        rows.append(part * deviation)
        deviations.append(deviation)
        results.append(part * deviation * gain + bias)
    lead = (*x.shape[:-1], attrs["groups"])
    return (
        np.reshape(results, x.shape),
        np.reshape(rows, x.shape),
        np.reshape(deviations, lead),
    )


def normalised_grad(
    attrs: Attrs,
    dy: Array,
    gain: Array,
    rows: Array,
    deviations: Array,
    *,
    centred: bool,
) -> tuple[Array, ...]:
    """By the Jacobian of each part: r (I - n n^T / W [- 1 1^T / W])."""
    width = len(gain)
    dx, dgain, dbias = [], np.zeros(width), np.zeros(width)
    parts = zip(
        groups_of(dy, attrs["groups"]),
        groups_of(rows, attrs["groups"]),
        deviations.flat,
        strict=True,
    )
    for grad, row, deviation in parts:
        jacobian = np.eye(width) - np.outer(row, row) / width
        if centred:
            jacobian -= np.ones((width, width)) / width
        dx.append(deviation * jacobian @ (grad * gain))
        dgain += grad * row
        dbias += grad
    results = (np.reshape(dx, dy.shape), dgain)
    return (*results, dbias) if attrs["bias"] else results


@rule("layer_norm")
def _layer_norm(
    attrs: Attrs, x: Array, gain: Array, bias: Array | float = 0.0
) -> tuple[Array, ...]:
    return normalised(attrs, x, gain, bias, centred=True)


@rule("rms_norm")
def _rms_norm(attrs: Attrs, x: Array, gain: Array) -> tuple[Array, ...]:
    return normalised(attrs, x, gain, 0.0, centred=False)


@rule("layer_norm_grad")
def _layer_norm_grad(attrs: Attrs, *arrays: Array) -> tuple[Array, ...]:
    return normalised_grad(attrs, *arrays, centred=True)


@rule("rms_norm_grad")
def _rms_norm_grad(attrs: Attrs, *arrays: Array) -> tuple[Array, ...]:
    return normalised_grad(attrs, *arrays, centred=False)


@rule("rotary")
def _rotary(attrs: Attrs, x: Array, starts: Array | None = None) -> Array:
    out = np.empty_like(x)
    size = x.shape[-1] // attrs["heads"]
    half = size // 2
    for b, t, h, i in np.ndindex(*x.shape[:2], attrs["heads"], half):
        position = t + (0 if starts is None else int(starts[b]))
        angle = position * attrs["theta"] ** (-2 * i / size)
        if attrs["inverse"]:
            angle = -angle
        first, second = h * size + i, h * size + i + half
        turn = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
        out[b, t, [first, second]] = turn @ x[b, t, [first, second]]
    return out


@rule("dropout_mask")
def _dropout_mask(attrs: Attrs, counter: Array) -> Array:
    return kept(counter, prod(attrs["shape"]), attrs).reshape(attrs["shape"])


def kept(counter: Array, size: int, attrs: Attrs) -> Array:
    """1 for each of `size` elements that is kept, 0 for the others: uint8.

    Element i owns byte i % 4, lowest first, of word i // 4.
    """
    c = [int(word) % 2**32 for word in counter]
    seed, step = c[0] + c[1] * 2**32, c[2] + c[3] * 2**32
    words = philox(seed, Stream.DROPOUT, step, 0, size // 4 + 1, salt=attrs["salt"])
    element = np.arange(size)
    bytes_ = words.astype(np.int64)[element // 4] // 256 ** (element % 4) % 256
    return (bytes_ < attrs["keep"]).astype(np.uint8)


def heads_of(x: Array, heads: int) -> Array:
    """(B, T, heads * D) as (B, heads, T, D)."""
    return np.moveaxis(x.reshape(*x.shape[:2], heads, -1), 2, 1)


def rows_of(x: Array) -> Array:
    """(B, heads, T, D) as (B, T, heads * D)."""
    return np.moveaxis(x, 1, 2).reshape(x.shape[0], x.shape[2], -1)


def capped(attrs: Attrs, q: Array, k: Array) -> Array:
    """Scores of one head, soft-capped, before the mask: (T, S)."""
    scores = q @ k.T / q.shape[-1] ** 0.5
    cap = attrs["softcap"]
    return cap * np.tanh(scores / cap) if cap else scores


def weight_factors(attrs: Attrs, counter: Array | None, shape: Sequence[int]) -> Array:
    """What dropout multiplies the weights (B, H, T, T) by."""
    if counter is None:
        return np.ones(shape)
    return kept(counter, prod(shape), attrs).reshape(shape) * (256 / attrs["keep"])


@rule("attention")
def _attention(
    attrs: Attrs, q: Array, k: Array, v: Array, counter: Array | None = None
) -> tuple[Array, Array]:
    heads, kv_heads = attrs["heads"], attrs["kv_heads"]
    batch, length, _ = q.shape
    q, k, v = heads_of(q, heads), heads_of(k, kv_heads), heads_of(v, kv_heads)
    factors = weight_factors(attrs, counter, (batch, heads, length, length))
    out, log_sums = np.empty_like(q), np.empty((batch, length, heads))
    future = np.triu(np.full((length, length), -np.inf), 1)
    for b, h in np.ndindex(batch, heads):
        shared = h // (heads // kv_heads)
        scores = capped(attrs, q[b, h], k[b, shared]) + future
        for t in range(length):
            weights = probabilities(scores[t]) * factors[b, h, t]
            out[b, h, t] = weights @ v[b, shared]
            log_sums[b, t, h] = np.log(np.exp(scores[t]).sum())
    return rows_of(out), log_sums


@rule("attention_grad")
def _attention_grad(
    attrs: Attrs,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    log_sums: Array,
    dout: Array,
    counter: Array | None = None,
) -> tuple[Array, ...]:
    """By the chain rule from the inputs alone; `out` and `log_sums` are not read."""
    heads, kv_heads = attrs["heads"], attrs["kv_heads"]
    batch, length, _ = q.shape
    q, k, v = heads_of(q, heads), heads_of(k, kv_heads), heads_of(v, kv_heads)
    dout = heads_of(dout, heads)
    factors = weight_factors(attrs, counter, (batch, heads, length, length))
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    future = np.triu(np.full((length, length), -np.inf), 1)
    scale, cap = q.shape[-1] ** -0.5, attrs["softcap"]
    for b, h in np.ndindex(batch, heads):
        shared = h // (heads // kv_heads)
        scores = capped(attrs, q[b, h], k[b, shared])
        for t in range(length):
            weights = probabilities(scores[t] + future[t])
            dv[b, shared] += np.outer(weights * factors[b, h, t], dout[b, h, t])
            dweights = v[b, shared] @ dout[b, h, t] * factors[b, h, t]
            jacobian = np.diag(weights) - np.outer(weights, weights)
            dscores = jacobian @ dweights * scale
            if cap:
                dscores *= 1 - (scores[t] / cap) ** 2
            dq[b, h, t] = dscores @ k[b, shared]
            dk[b, shared] += np.outer(dscores, q[b, h, t])
    return rows_of(dq), rows_of(dk), rows_of(dv)


@rule("attention_cached")
def _attention_cached(
    attrs: Attrs, q: Array, keys: Array, values: Array, starts: Array
) -> Array:
    heads, kv_heads = attrs["heads"], attrs["kv_heads"]
    q = heads_of(q, heads)
    keys, values = heads_of(keys, kv_heads), heads_of(values, kv_heads)
    out = np.empty_like(q)
    for b, h, t in np.ndindex(*q.shape[:3]):
        shared, seen = h // (heads // kv_heads), int(starts[b]) + t + 1
        scores = capped(attrs, q[b, h, t : t + 1], keys[b, shared, :seen])[0]
        out[b, h, t] = probabilities(scores) @ values[b, shared, :seen]
    return rows_of(out)


@rule("cache_write")
def _cache_write(attrs: Attrs, cache: Array, new: Array, starts: Array) -> Array:
    out = cache.copy()
    for b, t in np.ndindex(*new.shape[:2]):
        out[b, starts[b] + t] = new[b, t]
    return out
