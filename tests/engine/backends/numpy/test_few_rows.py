"""One row, and few: what decoding runs is other code, and means the same."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import engine.graph as g
from engine.backends import Assign
from engine.backends.numpy.kernels import onerow
from engine.backends.numpy.kernels.products import LONG_ROW, ONE_BY_ONE, TURNED
from engine.graph import Spec, Tensor, input_tensor, state_tensor
from tests.engine.backends.harness import Array, assert_parity, compiled, made

BACKEND = made("numpy")
FEW = (1, 2, ONE_BY_ONE, ONE_BY_ONE + 1, TURNED, TURNED + 1, 2 * TURNED + 1)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("width", [1, 5, LONG_ROW - 1, LONG_ROW, LONG_ROW + 3])
@pytest.mark.parametrize("rows", FEW)
def test_a_product_is_the_same_whichever_call_computes_it(
    rows: int, width: int, transposed: bool
) -> None:
    x, w = random(rows, width), random(width, 7, seed=1)
    weight = w.T.copy() if transposed else w
    tensors = input_tensor("x", x.shape), input_tensor("w", weight.shape)
    y = g.linear(*tensors, transposed=transposed)
    assert_parity(BACKEND, [y], {"x": x, "w": weight})


class Line:
    """Inputs of one row `width` wide, and what can be done to such a row."""

    def __init__(self, width: int) -> None:
        self.inputs: dict[str, Array] = {"ids": np.array([2], np.int32)}
        self.width = width
        self.x = self.tensor("x", 1, width)
        self.gain, self.bias = self.tensor("gain", width), self.tensor("bias", width)
        self.scale, self.column = self.tensor("scale"), self.tensor("column", 1, 1)
        self.wide = self.tensor("wide", width, 2 * width)
        self.square = self.tensor("square", width, width)
        self.table = self.tensor("table", 3, width)
        self.ids = input_tensor("ids", (1,), "int32")
        self.steps: list[Callable[[Tensor], Tensor]] = [
            lambda x: x + self.x,
            lambda x: x * self.scale - 0.5,
            lambda x: g.tanh(x) * self.column,
            lambda x: g.where(g.greater(x, self.x), x, self.bias),
            lambda x: g.linear(x, self.square),
            lambda x: g.linear(x, self.square, transposed=True),
            lambda x: g.split(g.linear(x, self.wide), (width, width))[1],
            lambda x: g.linear(g.concat([x, g.tanh(x)]), self.wide, transposed=True),
            lambda x: g.layer_norm(x, self.gain, self.bias),
            lambda x: g.layer_norm(x, self.gain, eps=0.1),
            lambda x: g.rms_norm(x, self.gain),
            lambda x: g.rms_norm(x, self.tensor("one", 1), groups=width),
            lambda x: x * g.embedding(self.ids, self.table),
            lambda x: g.linear(g.embedding(self.ids, self.table), self.square) - x,
            lambda x: g.reshape(g.sigmoid(g.reshape(x, (1, 1, width))), (1, width)),
        ]

    def tensor(self, name: str, *shape: int) -> Tensor:
        self.inputs[name] = np.asarray(random(*shape, seed=len(name) + sum(shape)))
        return input_tensor(name, shape)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_row_through_any_ops_agrees_with_the_reference(data: st.DataObject) -> None:
    line = Line(data.draw(st.sampled_from([1, 2, 3, 17])))
    made_so_far = [line.x]
    for step in data.draw(st.lists(st.sampled_from(line.steps), min_size=1)):
        made_so_far.append(step(data.draw(st.sampled_from(made_so_far[-3:]))))
    shown = data.draw(st.lists(st.sampled_from(made_so_far), max_size=2))
    used = [made_so_far[-1], *shown]
    names = {n.attrs["name"] for n in g.topological(used) if n.op.name == "input"}
    inputs = {name: line.inputs[name] for name in names}
    # Norms of rows of one or two numbers divide by next to nothing.
    assert_parity(BACKEND, used, inputs, floors=100.0)


def test_a_row_can_be_assigned_to_state() -> None:
    x, w = random(1, 6), random(6, 6, seed=1)
    state = state_tensor("s", (1, 6))
    y = g.linear(g.tanh(input_tensor("x", (1, 6)) + state), input_tensor("w", (6, 6)))
    store = BACKEND.store({"s": Spec((6,))})
    program = BACKEND.compile({"y": y}, [Assign(state, y + state)], store=store)
    expected = np.zeros((1, 6), np.float32)
    for _ in range(3):
        found = program.run({"x": x, "w": w})["y"]
        value = np.tanh(x + expected) @ w
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5)
        expected = value + expected
        np.testing.assert_allclose(store.read("s"), expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("square", [0.0, np.nan, np.inf])
def test_a_norm_of_nothing_is_as_numpy_has_it(square: float) -> None:
    x = np.full(4, np.sqrt(square), np.float32)
    y, xhat, rstd = np.empty_like(x), np.empty_like(x), np.empty((), np.float32)
    with np.errstate(all="ignore"):
        onerow.rms_norm(x, np.ones(4, np.float32), y, xhat, rstd, 0.0)
        np.testing.assert_array_equal(rstd, 1 / np.sqrt(np.float32(square)))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("size", [1e-3, 1.0, 60.0, 3e3])
@pytest.mark.parametrize("cap", [0.0, 200.0])
def test_one_new_row_attends_whatever_the_size_of_its_scores(
    rows: int, size: float, cap: float
) -> None:
    q = size * random(rows, 1, 8)
    keys, values = random(rows, 5, 4, seed=1), random(rows, 5, 4, seed=2)
    starts = np.arange(rows, dtype=np.int32) + 2
    tensors = [
        input_tensor(n, a.shape) for n, a in zip("qkv", (q, keys, values), strict=True)
    ]
    out = g.attention_cached(
        *tensors,
        input_tensor("starts", (rows,), "int32"),
        heads=4,
        kv_heads=2,
        softcap=cap,
    )
    inputs = {"q": q, "k": keys, "v": values, "starts": starts}
    assert_parity(BACKEND, [out], inputs)


@pytest.mark.parametrize("length", [1, 4])
def test_rotation_goes_on_from_any_position(length: int) -> None:
    x, starts = random(3, length, 12), np.array([0, 700, 5], np.int32)
    tensors = input_tensor("x", x.shape), input_tensor("starts", (3,), "int32")
    y = g.rotary(tensors[0], heads=2, starts=tensors[1])
    for first in (starts, starts + 1000, starts):
        assert_parity(BACKEND, [y], {"x": x, "starts": first})


def test_programs_over_a_private_store_start_no_workers() -> None:
    """However much work they are: private memory is not seen by workers."""
    store = BACKEND.store({"s": Spec((512 * 512,))}, private=True)
    state = state_tensor("s", (512, 512))
    store.write("s", np.ones(512 * 512, np.float32))
    y = g.matmul(g.matmul(state, state), state)
    program = BACKEND.compile({"y": y}, [Assign(state, y)], store=store)
    assert program.plan.state == 4 * 512 * 512
    program.run({})
    np.testing.assert_array_equal(store.read("s"), 512.0**2)


def test_rows_of_one_program_may_be_few_or_many() -> None:
    """A region's ranges may end in one that is shorter than the others."""
    x, w = random(101, 300), random(6, 300, seed=1)
    tensors = input_tensor("x", x.shape), input_tensor("w", w.shape)
    y = g.tanh(g.linear(*tensors, transposed=True))
    program = compiled(BACKEND, [y])
    found = program.run({"x": x, "w": w})["0"]
    np.testing.assert_allclose(found, np.tanh(x @ w.T), rtol=1e-4, atol=1e-5)
