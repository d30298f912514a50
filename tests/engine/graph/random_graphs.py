"""Whole random programs: chains of every kind of op, their gradients, assignments.

What single ops cannot show shows here: ops that share a loop, views into one another,
values read by several, state that is read and written in one run. All steps keep
numbers of order one, so that rounding stays small and a wrong result stands out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import hypothesis.strategies as st
import numpy as np

import engine.graph as g
from engine.backends import Assign
from engine.graph import Tensor, apply, topological
from tests.engine.graph.maker import Draw, Maker, Shape

LARGEST = 4000


@dataclass(frozen=True)
class Program:
    """A graph with the values of its inputs and of its state."""

    outputs: list[Tensor]
    assigns: list[Assign]
    make: Maker


class Writer:
    """Draws a program step by step; `pool` holds the float32 tensors made so far."""

    def __init__(self, draw: Draw) -> None:
        self.make = make = Maker(draw)
        self.batch = make.among(1, 2, 4, 5)
        self.length = make.among(1, 2, 3, 7)
        self.width = make.among(2, 4, 6)
        b, t, c = self.batch, self.length, self.width
        self.states = [
            make.state(b, t, c, before=make.among(0, 16), after=3),
            make.state(c),
            make.state(c, c, before=7),
            make.state(),
        ]
        shapes: list[Shape] = [(b, t, c), (b, t, c), (t, c), (b, t, 1), (c,), ()]
        self.pool = [make.normal(*shape) for shape in shapes] + self.states
        self.steps = 0

    def write(self) -> Program:
        """Forward steps, perhaps gradients, perhaps more steps, perhaps assignments."""
        self._take_steps(self.make.draw(st.integers(1, 10)))
        if self.make.among(True, True, False):
            self._differentiate()
            self._take_steps(self.make.draw(st.integers(0, 3)))
        outputs = self.make.draw(
            st.lists(st.sampled_from(self.pool), min_size=1, max_size=4)
        )
        return Program([self.pool[-1], *outputs], self._assigns(), self.make)

    def pick(self, fits: Callable[[Tensor], bool] = lambda t: True) -> Tensor | None:
        """A tensor of the pool that fits, late ones more often; None if none does."""
        fitting = [tensor for tensor in self.pool if fits(tensor)]
        if not fitting:
            return None
        late = fitting[-3:]
        return self.make.draw(st.sampled_from(late) | st.sampled_from(fitting))

    def of(self, *shape: int) -> Tensor:
        """A tensor of this shape; there is always one."""
        found = self.pick(lambda tensor: tensor.shape == shape)
        return self.make.normal(*shape) if found is None else found

    def rows(self) -> Tensor:
        """A tensor of at least one axis."""
        found = self.pick(lambda tensor: len(tensor.shape) >= 1)
        assert found is not None
        return found

    def sequences(self) -> Tensor:
        return self.of(self.batch, self.length, self.width)

    def weight(self, wide: int, out: int) -> Tensor:
        values = self.make.random.standard_normal((wide, out)) * wide**-0.5
        tensor = self.make.given(values.astype(np.float32))
        self.make.floats.append(tensor)
        return tensor

    def _take_steps(self, count: int) -> None:
        for _ in range(count):
            step = self.make.draw(st.sampled_from(STEPS))
            for tensor in step(self):
                if tensor.size <= LARGEST:
                    self.pool.append(tensor)

    def _differentiate(self) -> None:
        """Gradients of the mean of some tensors, by every float they come from."""
        chosen = [self.pool[-1], self.rows()]
        parts = [t for t in chosen if all(map(differentiable, topological([t])))]
        if not parts:
            return
        loss = sum_of([g.mean(g.tanh(part)) for part in parts])
        leaves = [
            node.output()
            for node in topological([loss])
            if node.output() in self.make.floats or node.op.name == "state"
        ]
        if not leaves:
            return
        # A leaf that is reached by a step function alone depends on itself at least.
        loss = sum_of([loss, *[g.mean(leaf) * 0.5 for leaf in leaves]])
        self.pool += [loss, *g.gradients(loss, leaves)]

    def _assigns(self) -> list[Assign]:
        assigns = []
        for target in self.states:
            if not self.make.among(True, False):
                continue
            value = self.pick(lambda t, like=target: t.shape == like.shape)  # type: ignore[misc]
            assert value is not None
            if self.make.among(True, False):
                value = target * 0.5 - value * 0.25
            assigns.append(Assign(target, value, self.make.among(True, False)))
        return assigns


def sum_of(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def differentiable(node: g.Node) -> bool:
    """Whether a gradient may pass, or none is asked for."""
    without = ("input", "state", "constant", "dropout_mask")
    return node.op.vjp is not None or node.op.name in without


Step = Callable[[Writer], list[Tensor]]


def unary(w: Writer) -> list[Tensor]:
    f = w.make.among(g.tanh, g.sigmoid, g.sin, g.cos, g.relu, g.absolute, g.square)
    x = w.pick()
    assert x is not None
    return [f(g.tanh(x) if f is g.square else x)]


def binary(w: Writer) -> list[Tensor]:
    x = w.pick()
    assert x is not None
    y = w.pick(lambda t: broadcast(t.shape, x.shape))
    assert y is not None
    kind = w.make.among("add", "sub", "maximum", "minimum", "mul", "div")
    if kind == "mul":
        return [x * g.tanh(y)]
    if kind == "div":
        return [x / (1.0 + g.square(y))]
    return [apply(kind, x, y) * w.make.among(0.5, 0.7, 1.0)]


def broadcast(a: Shape, b: Shape) -> bool:
    try:
        return prod(np.broadcast_shapes(a, b)) <= LARGEST
    except ValueError:
        return False


def chain(w: Writer) -> list[Tensor]:
    """GELU's shape of code: several readers of one value."""
    x = w.pick()
    assert x is not None
    return [g.elementwise(lambda a: a * 0.5 * (1.0 + g.tanh(a + 0.04 * a * a * a)), x)]


def choose(w: Writer) -> list[Tensor]:
    x = w.sequences()
    few = w.make.few(w.length, w.width)
    return [g.where(g.greater(few, few * -1.0), x, w.of(w.width))]


def wide(w: Writer) -> list[Tensor]:
    x = w.pick()
    assert x is not None
    return [g.cast(g.tanh(g.cast(x, "float64")), "float32")]


def linear(w: Writer) -> list[Tensor]:
    x, transposed = w.rows(), w.make.among(True, False)
    out = w.make.among(1, 3, w.width)
    if x.shape[-1] == w.width and w.make.among(True, False):
        return [g.linear(x, w.of(w.width, w.width) * w.width**-0.5)]
    weight = w.weight(x.shape[-1], out)
    if transposed:
        return [g.linear(x, g.transpose(weight, (1, 0)), transposed=True)]
    return [g.linear(x, weight)]


def outer(w: Writer) -> list[Tensor]:
    x = w.rows()
    y = w.pick(lambda t: t.shape[:-1] == x.shape[:-1] and t.shape != ())
    assert y is not None
    return [g.weight_grad(x, y) * prod(x.shape[:-1]) ** -0.5]


def product(w: Writer) -> list[Tensor]:
    a, b = w.sequences(), w.sequences()
    scores = g.matmul(a, b, tb=True) * w.width**-0.5
    return [scores, g.matmul(g.softmax(scores), a)]


def norm(w: Writer) -> list[Tensor]:
    x = w.rows()
    groups = w.make.among(*(n for n in (1, 2, 3) if x.shape[-1] % n == 0))
    width = x.shape[-1] // groups
    gain = w.of(width)
    if w.make.among(True, False):
        return [g.rms_norm(x, gain, eps=0.1, groups=groups)]
    bias = w.of(width) if w.make.among(True, False) else None
    return [g.layer_norm(x, gain, bias, eps=0.1, groups=groups)]


def total(w: Writer) -> list[Tensor]:
    x = w.rows()
    ranks = st.integers(0, len(x.shape) - 1)
    axes = w.make.draw(st.sets(ranks, min_size=1))
    return [g.mean(x, sorted(axes))]


def softmax(w: Writer) -> list[Tensor]:
    return [g.softmax(w.rows())]


def parts(w: Writer) -> list[Tensor]:
    x = w.pick(lambda t: t.shape[-1:] > (1,))
    assert x is not None
    first = w.make.draw(st.integers(1, x.shape[-1] - 1))
    return g.split(x, [first, x.shape[-1] - first])


def beside(w: Writer) -> list[Tensor]:
    x = w.rows()
    y = w.pick(lambda t: t.shape[:-1] == x.shape[:-1] and t.shape != ())
    assert y is not None
    return [g.concat([x, y] if w.make.among(True, False) else [y, x, y])]


def reshape(w: Writer) -> list[Tensor]:
    x = w.pick()
    assert x is not None
    if x.size % w.width == 0 and w.make.among(True, False):
        return [g.reshape(x, (x.size // w.width, w.width))]
    return [g.reshape(x, w.make.reshaped(x.size))]


def turn(w: Writer) -> list[Tensor]:
    x = w.rows()
    return [g.transpose(x, w.make.draw(st.permutations(range(len(x.shape)))))]


def cut(w: Writer) -> list[Tensor]:
    x = w.rows()
    start = w.make.draw(st.integers(0, x.shape[0] - 1))
    stop = w.make.draw(st.integers(start + 1, x.shape[0]))
    piece = g.rows(x, start, stop)
    return [piece, apply("pad_rows", piece, start=start, total=x.shape[0])]


def repeat(w: Writer) -> list[Tensor]:
    x = w.pick()
    assert x is not None
    return [g.broadcast_to(x, (w.make.among(1, 2, 3), *x.shape))]


def look_up(w: Writer) -> list[Tensor]:
    table = w.pick(lambda t: len(t.shape) == 2)
    assert table is not None
    shape = w.make.among((w.batch, w.length), (w.length,), ())
    return [g.embedding(w.make.integers(0, table.shape[0], *shape), table)]


def losses(w: Writer) -> list[Tensor]:
    logits = w.rows()
    targets = w.make.integers(-1, logits.shape[-1], *logits.shape[:-1])
    return [g.token_losses(logits, targets), g.cross_entropy(logits, targets)]


def attend(w: Writer) -> list[Tensor]:
    q, k, v = w.sequences(), w.sequences(), w.sequences()
    return [
        g.attention(
            q,
            k,
            v,
            heads=w.make.among(1, 2),
            softcap=w.make.among(0.0, 2.0),
            dropout=w.make.among(0.0, 0.25),
            counter=w.make.counter(),
        )
    ]


def turn_by_position(w: Writer) -> list[Tensor]:
    starts = w.make.integers(0, 50, w.batch) if w.make.among(True, False) else None
    return [g.rotary(w.sequences(), heads=1, theta=100.0, starts=starts)]


def drop(w: Writer) -> list[Tensor]:
    x = w.pick()
    assert x is not None
    return [g.dropout(x, 0.25, w.make.counter(), w.make.among(0, 1))]


def squares(w: Writer) -> list[Tensor]:
    x = w.pick()
    assert x is not None
    return [g.sqrt(g.cast(g.sum_squares(x), "float32") * (1.0 / x.size))]


STEPS: list[Step] = [
    unary,
    binary,
    binary,
    binary,
    chain,
    choose,
    wide,
    linear,
    linear,
    outer,
    product,
    norm,
    norm,
    total,
    total,
    softmax,
    parts,
    parts,
    beside,
    beside,
    reshape,
    reshape,
    turn,
    cut,
    repeat,
    look_up,
    losses,
    attend,
    turn_by_position,
    drop,
    squares,
]
