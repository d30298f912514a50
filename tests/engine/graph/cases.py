"""A small random graph for every op of the table.

The gradient checks and the suite of the backends run through `ROWS`: whoever adds an
op adds a row here, and its meaning to `rules` or `layers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import hypothesis.strategies as st

import engine.graph as g
from engine.graph import Tensor, apply
from engine.graph.node import apply_node
from tests.engine.graph.maker import Case, Maker

Build = Callable[[Maker], Case]


@dataclass(frozen=True)
class Row:
    """How to build a case of one op.

    twice   its gradient is made of ops that have gradient rules themselves
    floor   rounding is measured against at least this magnitude: 0 where every
            element is found to its own precision; 1 where terms of order one are
            summed, whose rounding stays when they cancel
    """

    build: Build
    twice: bool = True
    floor: float = 0.0


ROWS: dict[str, Row] = {}


def row(
    name: str, *, twice: bool = True, floor: float = 0.0
) -> Callable[[Build], Build]:
    """Decorator: this function builds the case of op `name`."""

    def add(build: Build) -> Build:
        ROWS[name] = Row(build, twice, floor)
        return build

    return add


def only(tensor: Tensor) -> Case:
    return Case([tensor], tensor)


def by_gradient(of: str, name: str) -> None:
    """The row of gradient op `name`: what differentiating the row of op `of` gives."""

    def build(make: Maker) -> Case:
        result = ROWS[of].build(make).result
        assert result is not None
        wrt = list(make.floats)
        return Case(g.gradients(result, wrt, seed=make.normal(*result.shape)))

    ROWS[name] = Row(build, floor=1.0)


# Leaves.


@row("input")
def _input(make: Maker) -> Case:
    x = make.normal(*make.shape())
    return Case([x, x, x * 2.0], x)


@row("state")
def _state(make: Maker) -> Case:
    x = make.state(*make.shape(), before=make.among(0, 1, 16), after=make.extent())
    return Case([x, x * 2.0])


@row("constant")
def _constant(make: Maker) -> Case:
    return Case([apply("constant", value=0.1, dtype="float32"), g.zeros((2, 3))])


# Pointwise: the kinds of values of the inputs, by op.

POINTWISE: dict[str, tuple[str, ...]] = {
    "add": ("normal", "normal"),
    "sub": ("normal", "normal"),
    "mul": ("normal", "normal"),
    "div": ("normal", "away"),
    "maximum": ("normal", "normal"),
    "minimum": ("normal", "normal"),
    "greater": ("few", "few"),
    "neg": ("normal",),
    "exp": ("normal",),
    "log": ("positive",),
    "tanh": ("normal",),
    "sigmoid": ("normal",),
    "sqrt": ("positive",),
    "rsqrt": ("positive",),
    "reciprocal": ("away",),
    "square": ("normal",),
    "abs": ("away",),
    "sign": ("few",),
    "sin": ("normal",),
    "cos": ("normal",),
    "relu": ("away",),
}


def pointwise(name: str, kinds: tuple[str, ...]) -> Build:
    def build(make: Maker) -> Case:
        shapes, _ = make.broadcastable(len(kinds))
        values = [getattr(make, k)(*s) for k, s in zip(kinds, shapes, strict=True)]
        result = apply(name, *values)
        return Case([result]) if "few" in kinds else only(result)

    return build


for _name, _kinds in POINTWISE.items():
    row(_name, floor=1.0 if _name == "log" else 0.0)(pointwise(_name, _kinds))


@row("where")
def _where(make: Maker) -> Case:
    (a, b, c), _ = make.broadcastable(3)
    condition = g.greater(make.few(*a), make.few(*a))
    return only(g.where(condition, make.normal(*b), make.normal(*c)))


@row("cast")
def _cast(make: Maker) -> Case:
    shape = make.shape()
    wide = g.square(g.cast(make.normal(*shape), "float64"))
    flags = g.greater(make.few(*shape), make.few(*shape))
    whole = g.cast(make.integers(-5, 5, *shape), "float32")
    narrow = g.cast(wide, "float32")
    return Case([wide, narrow, whole, g.cast(flags, "float32")], narrow)


@row("chosen")
def _chosen(make: Maker) -> Case:
    shape = make.shape()
    gated = g.elementwise(
        lambda a, b: g.sigmoid(a) * a * b, make.normal(*shape), make.normal(*shape)
    )
    return only(gated)


# Shape.


@row("reshape")
def _reshape(make: Maker) -> Case:
    x = make.normal(*make.shape())
    return only(apply("reshape", x, shape=make.reshaped(x.size)))


@row("transpose")
def _transpose(make: Maker) -> Case:
    x = make.normal(*make.shape(1, 4))
    return only(g.transpose(x, make.draw(st.permutations(range(len(x.shape))))))


@row("broadcast")
def _broadcast(make: Maker) -> Case:
    shapes, whole = make.broadcastable(2)
    return only(apply("broadcast", make.normal(*shapes[0]), shape=whole))


@row("split")
def _split(make: Maker) -> Case:
    sizes = make.shape(1, 4)
    parts = g.split(make.normal(*make.shape(0, 2), sum(sizes)), sizes)
    result = g.concat(parts[::-1]) if make.draw(st.booleans()) else parts[-1]
    return Case([*parts, result], result)


@row("concat")
def _concat(make: Maker) -> Case:
    lead = make.shape(0, 2)
    return only(g.concat([make.normal(*lead, size) for size in make.shape(1, 4)]))


@row("rows")
def _rows(make: Maker) -> Case:
    start, count, rest = make.extent() - 1, make.extent(), make.extent() - 1
    x = make.normal(start + count + rest, *make.shape(0, 2))
    return only(g.rows(x, start, start + count))


@row("pad_rows")
def _pad_rows(make: Maker) -> Case:
    x = make.normal(*make.shape(1, 3))
    start = make.extent() - 1
    total = start + x.shape[0] + make.extent() - 1
    return only(apply("pad_rows", x, start=start, total=total))


# Sums.


@row("sum", floor=1.0)
def _sum(make: Maker) -> Case:
    x = make.normal(*make.shape(1, 4))
    axes = make.draw(st.sets(st.integers(0, len(x.shape) - 1), min_size=1))
    return only(g.sum_over(x, sorted(axes)))


@row("softmax")
def _softmax(make: Maker) -> Case:
    return only(g.softmax(make.normal(*make.shape(1))))


@row("softmax_grad", floor=1.0)
def _softmax_grad(make: Maker) -> Case:
    shape = make.shape(1)
    return only(apply("softmax_grad", make.normal(*shape), make.normal(*shape)))


@row("sum_squares")
def _sum_squares(make: Maker) -> Case:
    return Case([g.sum_squares(make.normal(*make.shape()))])


@row("count_targets")
def _count_targets(make: Maker) -> Case:
    return Case([g.count_targets(make.integers(-1, make.extent(), *make.shape()))])


# Products.


@row("linear", floor=1.0)
def _linear(make: Maker) -> Case:
    wide, out, transposed = make.extent(), make.extent(), make.among(False, True)
    x = make.normal(*make.shape(0, 2), wide)
    w = make.normal(out, wide) if transposed else make.normal(wide, out)
    return only(g.linear(x, w, transposed=transposed))


@row("weight_grad", floor=1.0)
def _weight_grad(make: Maker) -> Case:
    lead = make.shape(0, 2)
    x, dy = make.normal(*lead, make.extent()), make.normal(*lead, make.extent())
    return only(g.weight_grad(x, dy))


@row("matmul", floor=1.0)
def _matmul(make: Maker) -> Case:
    lead, m, k, n = make.shape(0, 2), make.extent(), make.extent(), make.extent()
    ta, tb = make.among(False, True), make.among(False, True)
    a = make.normal(*lead, *((k, m) if ta else (m, k)))
    b = make.normal(*lead, *((n, k) if tb else (k, n)))
    return only(g.matmul(a, b, ta=ta, tb=tb))


# Tables and losses.


@row("embedding")
def _embedding(make: Maker) -> Case:
    rows = make.extent()
    ids = make.integers(0, rows, *make.shape())
    return only(g.embedding(ids, make.normal(rows, make.extent())))


@row("embedding_grad", floor=1.0)
def _embedding_grad(make: Maker) -> Case:
    rows = make.extent()
    ids = make.integers(0, rows, *make.shape())
    dy = make.normal(*ids.shape, make.extent())
    return only(apply("embedding_grad", ids, dy, rows=rows))


@row("cross_entropy", twice=False, floor=1.0)
def _cross_entropy(make: Maker) -> Case:
    logits = make.normal(*make.shape(1))
    targets = make.integers(-1, logits.shape[-1], *logits.shape[:-1])
    node = apply_node("cross_entropy", logits, targets)
    return Case(node.outputs(), node.output())


by_gradient("cross_entropy", "cross_entropy_grad")


# Norms.


def norm(name: str, *, biased: bool) -> Build:
    def build(make: Maker) -> Case:
        groups, width = make.among(1, 2, 3), make.extent()
        inputs = [make.spread(*make.shape(0, 2), groups * width), make.normal(width)]
        if biased and make.among(False, True):
            inputs.append(make.normal(width))
        eps = make.among(1e-5, 1e-2)
        node = apply_node(name, *inputs, eps=eps, groups=groups)
        return Case(node.outputs(), node.output())

    return build


row("layer_norm", twice=False, floor=1.0)(norm("layer_norm", biased=True))
row("rms_norm", twice=False)(norm("rms_norm", biased=False))
by_gradient("layer_norm", "layer_norm_grad")
by_gradient("rms_norm", "rms_norm_grad")


# Positions, masks, attention.


@row("rotary", floor=1.0)
def _rotary(make: Maker) -> Case:
    heads, half = make.among(1, 2, 3), make.extent()
    batch, length = make.extent(), make.extent()
    x = make.normal(batch, length, heads * 2 * half)
    starts = make.integers(0, 5000, batch) if make.among(False, True) else None
    theta = make.among(10000.0, 100.0)
    return only(g.rotary(x, heads=heads, theta=theta, starts=starts))


@row("dropout_mask")
def _dropout_mask(make: Maker) -> Case:
    x, counter = make.normal(*make.shape()), make.counter()
    probability, salt = make.among(0.0, 0.1, 0.5, 0.99), make.among(0, 1, 70_000)
    keep = make.among(1, 200, 256)
    mask = apply("dropout_mask", counter, shape=x.shape, keep=keep, salt=salt)
    result = g.dropout(x, probability, counter, salt)
    return Case([mask, result], result)


@row("attention", twice=False, floor=1.0)
def _attention(make: Maker) -> Case:
    batch, length = make.among(1, 2, 5), make.extent()
    shared, kv_heads, size = make.among(1, 2, 3), make.among(1, 2), make.extent()
    heads = shared * kv_heads
    out = g.attention(
        make.normal(batch, length, heads * size),
        make.normal(batch, length, kv_heads * size),
        make.normal(batch, length, kv_heads * size),
        heads=heads,
        kv_heads=kv_heads,
        softcap=make.among(0.0, 2.0),
        dropout=make.among(0.0, 0.25),
        counter=make.counter(),
        salt=make.among(0, 3),
    )
    return Case(out.node.outputs(), out)


by_gradient("attention", "attention_grad")


@row("attention_cached", floor=1.0)
def _attention_cached(make: Maker) -> Case:
    batch, length, room = make.among(1, 2, 3), make.extent(), make.extent()
    shared, kv_heads, size = make.among(1, 2, 3), make.among(1, 2), make.extent()
    out = g.attention_cached(
        make.normal(batch, length, shared * kv_heads * size),
        make.normal(batch, length + room, kv_heads * size),
        make.normal(batch, length + room, kv_heads * size),
        make.integers(0, room + 1, batch),
        heads=shared * kv_heads,
        kv_heads=kv_heads,
        softcap=make.among(0.0, 2.0),
    )
    return Case([out])


@row("cache_write")
def _cache_write(make: Maker) -> Case:
    batch, length, room, width = (make.extent() for _ in range(4))
    cache = make.normal(batch, length + room, width)
    new = make.normal(batch, length, width)
    return Case([g.cache_write(cache, new, make.integers(0, room + 1, batch))])
