"""Whole graphs on every backend: gradients, state, views, repetition, bad input."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import engine.graph as g
from engine.backends import Assign, Backend
from engine.errors import GraphError
from engine.graph import Spec, Tensor, apply, input_tensor, state_tensor
from tests.engine.backends.harness import (
    Array,
    assert_close,
    assert_parity,
    compiled,
    made,
    run,
    store_of,
)
from tests.engine.backends.models import Traced, like, perceptron, transformer
from tests.engine.graph.reference import evaluate

MODELS: dict[str, Callable[[], Traced]] = {
    "perceptron": perceptron,
    "perceptron of one row": lambda: perceptron(rows=1),
    "transformer": transformer,
    "transformer with dropout": lambda: transformer(dropout=0.2),
    "transformer of one sequence": lambda: transformer(batch=1, length=31),
    "transformer of one token": lambda: transformer(batch=7, length=1),
    "modern transformer": lambda: transformer(modern=True),
    "modern transformer with dropout": lambda: transformer(modern=True, dropout=0.2),
    "modern transformer of long sequences": lambda: transformer(
        batch=2, length=97, modern=True
    ),
}
models = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@models
def test_loss_and_gradients_agree_with_the_reference(
    backend: Backend, build: Callable[[], Traced]
) -> None:
    model = build()
    outputs = [model.loss, *model.gradients()]
    buffers = {"params": model.values}
    assert_parity(backend, outputs, model.inputs, buffers)


@models
def test_gradients_assigned_to_one_flat_buffer_equal_those_given_as_outputs(
    backend: Backend, build: Callable[[], Traced]
) -> None:
    model = build()
    buffers = {"params": model.values, "grads": random(len(model.values))}
    store = store_of(backend, buffers)
    program = backend.compile(
        {"loss": model.loss}, model.gradient_assigns(), store=store
    )
    program.run(model.inputs)
    once = store.read("grads")
    shown = compiled(backend, model.gradients(), {"params": model.values})
    expected = np.concatenate([v.reshape(-1) for v in run(shown, model.inputs)])
    np.testing.assert_allclose(once, expected, rtol=0, atol=1e-6)
    for times in (2, 3):
        program.run(model.inputs, accumulate=True)
        np.testing.assert_allclose(store.read("grads"), times * once, rtol=1e-5)
    program.run(model.inputs)
    np.testing.assert_array_equal(store.read("grads"), once)
    np.testing.assert_array_equal(store.read("params"), model.values)


def test_a_tensor_used_twice_adds_its_gradients_from_the_first_run_on(
    backend: Backend,
) -> None:
    """Sums into an accumulating target may be taken apart; none may be lost."""
    w = state_tensor("w", (3, 3))
    x = input_tensor("x", (5, 3))
    loss = g.sum_over(g.linear(g.tanh(g.linear(x, w)), w) + g.sum_over(w, [0]))
    (grad,) = g.gradients(loss, [w])
    inputs, buffers = {"x": random(5, 3)}, {"w": random(9, seed=1), "d": random(9)}
    (expected,) = evaluate([grad], inputs, buffers)
    store = store_of(backend, buffers)
    assign = Assign(state_tensor("d", (3, 3)), grad, accumulate=True)
    program = backend.compile({}, [assign], store=store)
    for times, accumulate in ((1, False), (2, True), (3, True), (1, False)):
        program.run(inputs, accumulate=accumulate)
        found = store.read("d").reshape(3, 3)
        assert_close(found, times * expected, 1.0, "gradient")


def test_training_steps_agree_with_the_reference(backend: Backend) -> None:
    """Momentum and update in one program: state that is read and then replaced."""
    model = perceptron()
    rate = input_tensor("rate", ())
    assigns = []
    for param, grad in zip(model.params, model.gradients(), strict=True):
        momentum = like(param, "momentum")
        step = momentum * 0.9 + grad
        assigns += [Assign(momentum, step), Assign(param, param - step * rate)]
    count = len(model.values)
    buffers = {"params": model.values, "momentum": np.zeros(count, np.float32)}
    store = store_of(backend, buffers)
    program = backend.compile({"loss": model.loss}, assigns, store=store)
    inputs = model.inputs | {"rate": np.array(0.5, np.float32)}
    losses = [float(program.run(inputs)["loss"]) for _ in range(5)]
    expected = {name: values.astype(np.float64) for name, values in buffers.items()}
    for loss in losses:
        values = evaluate([model.loss, *[a.value for a in assigns]], inputs, expected)
        assert loss == pytest.approx(float(values[0]), rel=1e-5)
        pairs = zip(values[1::2], values[2::2], strict=True)
        moved = [[v.reshape(-1) for v in pair] for pair in pairs]
        expected["momentum"] = np.concatenate([pair[0] for pair in moved])
        expected["params"] = np.concatenate([pair[1] for pair in moved])
    assert losses[-1] < losses[0]
    for name, values in expected.items():
        assert_close(store.read(name), values, 1.0, name)


@pytest.mark.parametrize(
    "shape", [(1, 1, 7), (3, 1, 1), (2, 5, 7), (13, 11, 3), (4, 64, 33)]
)
def test_pointwise_chains_of_awkward_broadcasting(
    backend: Backend, shape: tuple[int, int, int]
) -> None:
    """Row vector, column vector, scalar, and a matrix repeated for every sequence."""
    b, t, c = shape
    shapes: list[tuple[int, ...]] = [shape, (c,), (b, t, 1), (), (t, c), (1, 1, c)]
    shapes += [(1, t, c), (b, 1, c), (t, 1), (1, 1, 1)]
    inputs = {f"x{i}": random(*s, seed=i) for i, s in enumerate(shapes)}
    x, row, column, scalar, matrix, *others = (
        input_tensor(name, values.shape) for name, values in inputs.items()
    )
    y = g.tanh(x * row + column) * scalar + matrix
    z = g.where(g.greater(x, y), y * column, matrix - row)
    for other in others:
        z = g.sigmoid(z - other) + y * other
    tensors = [x, row, column, scalar, matrix, *others]
    outputs = [y, z, *g.gradients(g.sum_over(z * z), tensors)]
    assert_parity(backend, outputs, inputs)


@pytest.mark.parametrize("rows", [1, 2, 127, 1021])
def test_several_sums_of_one_tensor(backend: Backend, rows: int) -> None:
    x = input_tensor("x", (rows, 3, 5))
    y = g.exp(x * 0.5)
    outputs = [
        g.sum_over(y),
        g.sum_over(y, [0]),
        g.sum_over(y, [0, 1]),
        g.sum_over(y, [1]),
        g.sum_over(y, [2]),
        g.sum_over(y, [0, 2]),
        g.mean(g.square(y - g.reshape(g.mean(y, [2]), (rows, 3, 1)))),
        g.sum_squares(y),
        y,
    ]
    assert_parity(backend, outputs, {"x": random(rows, 3, 5)})


def test_outputs_may_be_inputs_constants_and_each_other(backend: Backend) -> None:
    x = input_tensor("x", (2, 3))
    first, second = g.split(x, [1, 2])
    outputs = [x, x, g.reshape(x, (6,)), first, second, g.rows(x, 1, 2)]
    outputs += [g.zeros((2, 2)), x * 1.0, g.concat([first, second]), g.exp(x)]
    inputs = {"x": random(2, 3)}
    assert_parity(backend, outputs, inputs)
    program = compiled(backend, outputs)
    run(program, {"x": random(2, 3, seed=9)})
    for found, expected in zip(
        run(program, inputs), evaluate(outputs, inputs), strict=True
    ):
        assert_close(found, expected, 1.0, "second run")


@pytest.mark.parametrize("repeated", ["constant", "input", "state", "computed"])
def test_one_element_repeated_is_read_by_every_op(
    backend: Backend, repeated: str
) -> None:
    """A broadcast number costs no memory; whoever reads it must know."""
    number = {
        "constant": apply("constant", value=0.5, dtype="float32"),
        "input": input_tensor("number", ()),
        "state": state_tensor("number", ()),
        "computed": g.tanh(g.sum_over(input_tensor("some", (3,)))),
    }[repeated]
    x = g.broadcast_to(number, (5, 4, 6))
    gain = g.broadcast_to(number, (6,))
    targets = input_tensor("targets", (5, 4), "int32")
    outputs = [
        g.sum_over(x, [2]),
        g.sum_over(x, [0, 1]),
        g.sum_over(x),
        g.sum_squares(x),
        g.softmax(x),
        g.layer_norm(x, gain, gain, eps=0.1),
        g.rms_norm(x, g.broadcast_to(number, (3,)), groups=2),
        g.linear(x, g.broadcast_to(number, (6, 3))),
        g.weight_grad(x, x),
        g.attention(x, x, x, heads=2),
        g.rotary(x, heads=3),
        g.token_losses(x, targets),
        g.embedding(targets, g.broadcast_to(number, (6, 2))),
        *g.split(x, [2, 4]),
        g.concat([x, x]),
        g.transpose(x, (2, 0, 1)),
        g.rows(x, 1, 3),
        g.exp(x) + x,
        x,
    ]
    inputs = {
        "number": np.array(0.75, np.float32),
        "some": random(3),
        "targets": np.arange(20, dtype=np.int32).reshape(5, 4) % 6,
    }
    assert_parity(backend, outputs, inputs, {"number": np.array([0.75], np.float32)})


def test_what_a_program_reads_of_its_state_is_what_was_there_before_the_run(
    backend: Backend,
) -> None:
    a, b = (
        state_tensor(n, (4,), buffer="s", offset=o) for n, o in (("a", 2), ("b", 6))
    )
    outputs = {"a": a, "half": g.rows(a, 1, 3), "sum": a + b}
    assigns = [Assign(a, g.reshape(b, (4,))), Assign(b, a * 2.0)]
    before = np.arange(12, dtype=np.float32)
    store = store_of(backend, {"s": before})
    program = backend.compile(outputs, assigns, store=store)
    found = program.run({})
    np.testing.assert_array_equal(found["a"], before[2:6])
    np.testing.assert_array_equal(found["half"], before[3:5])
    np.testing.assert_array_equal(found["sum"], before[2:6] + before[6:10])
    expected = before.copy()
    expected[2:6], expected[6:10] = before[6:10], before[2:6] * 2
    np.testing.assert_array_equal(store.read("s"), expected)


def test_two_programs_share_a_store(backend: Backend) -> None:
    w = state_tensor("w", (3,))
    store = store_of(backend, {"w": np.zeros(3, np.float32)})
    count_up = backend.compile({}, [Assign(w, w + 1.0)], store=store)
    show = backend.compile({"w": w * 1.0, "sum": g.sum_over(w)}, store=store)
    for times in (1, 2, 3):
        count_up.run({})
        assert show.run({})["sum"] == 3.0 * times
    store.write("w", np.array([1.0, 2.0, 3.0]))
    assert show.run({})["sum"] == 6.0


def test_a_cache_is_written_in_place_and_read_in_the_same_run(
    backend: Backend,
) -> None:
    """Row by row through a cache, against attention over all rows at once."""
    batch, length, width = 3, 6, 8
    q, k, v = (input_tensor(name, (batch, 1, width)) for name in "qkv")
    starts = input_tensor("starts", (batch,), "int32")
    caches = [state_tensor(name, (batch, 9, width)) for name in ("keys", "values")]
    keys, values = (
        g.cache_write(cache, new, starts)
        for cache, new in zip(caches, (k, v), strict=True)
    )
    out = g.attention_cached(q, keys, values, starts, heads=2)
    size = batch * 9 * width
    store = backend.store({name: Spec((size,)) for name in ("keys", "values")})
    for name in ("keys", "values"):
        store.write(name, np.full(size, np.nan, np.float32))
    assigns = [Assign(caches[0], keys), Assign(caches[1], values)]
    program = backend.compile({"out": out}, assigns, store=store)
    rows = {name: random(batch, length, width, seed=ord(name)) for name in "qkv"}
    found = []
    for step in range(length):
        inputs = {name: x[:, step : step + 1] for name, x in rows.items()}
        inputs["starts"] = np.full(batch, step, np.int32)
        found.append(np.array(program.run(inputs)["out"]))
    whole = [input_tensor(name, (batch, length, width)) for name in "qkv"]
    (expected,) = evaluate([g.attention(*whole, heads=2)], rows)
    assert_close(np.concatenate(found, axis=1), expected, 1.0, "cache")
    kept = store.read("keys").reshape(batch, 9, width)
    np.testing.assert_array_equal(kept[:, :length], rows["k"])
    assert np.all(np.isnan(kept[:, length:]))


NOT_A_NUMBER: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": g.relu,
    "maximum": lambda x: g.maximum(x, x * 0.0),
    "minimum": lambda x: g.minimum(x * 0.0, x),
    "sum": g.sum_over,
    "sum of squares": g.sum_squares,
    "softmax": g.softmax,
    "layer norm": lambda x: g.layer_norm(x, g.zeros((8,)) + 1.0),
    "rms norm": lambda x: g.rms_norm(x, g.zeros((8,)) + 1.0),
    "attention": lambda x: g.attention(*[g.reshape(x, (1, 5, 8))] * 3, heads=2),
    "loss": lambda x: g.cross_entropy(x, g.cast(g.zeros((5,)), "int32")),
    "soft cap": lambda x: g.soft_cap(x, 3.0),
    "weight gradient": lambda x: g.weight_grad(x, x),
}


@pytest.mark.parametrize("op", NOT_A_NUMBER)
def test_what_is_not_a_number_is_not_swallowed(backend: Backend, op: str) -> None:
    """The guards of training look for it in the loss and in the gradient's norm."""
    program = compiled(backend, [NOT_A_NUMBER[op](input_tensor("x", (5, 8)))])
    values = random(5, 8)
    assert np.all(np.isfinite(run(program, {"x": values})[0]))
    values[2, 3] = np.nan
    assert np.any(np.isnan(run(program, {"x": values})[0]))
    values[2, 3] = 0.5
    assert np.all(np.isfinite(run(program, {"x": values})[0]))


# The same bits.


def large() -> Traced:
    """Enough work for several threads, with sums whose order could show."""
    return transformer(batch=8, length=70, size=16, vocabulary=301, dropout=0.1)


def trained(backend: Backend, model: Traced, runs: int = 2) -> list[Array]:
    """Loss and gradients after `runs` runs of the same inputs."""
    buffers = {"params": model.values, "grads": np.zeros_like(model.values)}
    store = store_of(backend, buffers)
    program = backend.compile(
        {"loss": model.loss}, model.gradient_assigns(), store=store
    )
    for _ in range(runs):
        loss = np.array(program.run(model.inputs)["loss"])
    return [loss, store.read("grads")]


def test_the_number_of_threads_changes_no_bit(backend: Backend) -> None:
    model = large()
    one, two, three = (trained(made(backend.name, n), model) for n in (1, 2, 3))
    for a, b, c in zip(one, two, three, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_a_run_repeated_gives_the_same_bits(backend: Backend) -> None:
    model = large()
    for a, b in zip(
        trained(backend, model, 1), trained(backend, model, 4), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_replayed_run_allocates_next_to_nothing(backend: Backend) -> None:
    model = large()
    buffers = {"params": model.values, "grads": np.zeros_like(model.values)}
    program = backend.compile(
        {"loss": model.loss},
        model.gradient_assigns(),
        store=store_of(backend, buffers),
    )
    peaks = []
    tracemalloc.start()
    try:
        for _ in range(6):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            program.run(model.inputs)
            _, peak = tracemalloc.get_traced_memory()
            peaks.append(peak - before)
    finally:
        tracemalloc.stop()
    # A thread allocates what it keeps at its first task of a kind: not in every run.
    assert min(peaks) < 64 * 1024


# Bad input.


def test_a_run_without_an_input_names_it(backend: Backend) -> None:
    program = compiled(backend, [input_tensor("x", (2,)) * 2.0])
    with pytest.raises(GraphError, match="input 'x': missing"):
        program.run({})


def test_an_input_of_another_shape_is_refused(backend: Backend) -> None:
    program = compiled(backend, [input_tensor("x", (2,)) * 2.0])
    with pytest.raises(GraphError, match=r"input 'x': shape \(3,\), not \(2,\)"):
        program.run({"x": np.zeros(3)})


X, IDS = input_tensor("x", (2, 4, 6)), input_tensor("ids", (2,), "int32")
INDEXED: dict[str, tuple[Tensor, int, int]] = {
    "a table": (g.embedding(IDS, g.rows(g.reshape(X, (8, 6)), 0, 3)), 0, 2),
    "a table, through views": (
        g.embedding(g.rows(g.reshape(IDS, (2, 1)), 1, 2), g.reshape(X, (8, 6))),
        0,
        7,
    ),
    "two tables": (
        g.embedding(IDS, g.reshape(X, (8, 6))) * g.embedding(IDS, g.zeros((5, 6))),
        0,
        4,
    ),
    "classes": (g.token_losses(g.reshape(X, (2, 24)), IDS), -1, 23),
    "a cache": (g.cache_write(X, g.zeros((2, 3, 6)), IDS), 0, 1),
    "rows of a cache": (g.attention_cached(X, X, X, IDS, heads=2), 0, 0),
}


@pytest.mark.parametrize("of", INDEXED)
def test_an_index_out_of_bounds_is_refused_by_its_input(
    backend: Backend, of: str
) -> None:
    result, low, high = INDEXED[of]
    program = compiled(backend, [result])
    for fine in (low, high):
        program.run({"x": random(2, 4, 6), "ids": np.array([fine, low])})
    for wrong in (low - 1, high + 1):
        with pytest.raises(GraphError, match=f"'ids': .* within {low} to {high}"):
            program.run({"x": random(2, 4, 6), "ids": np.array([low, wrong])})


def test_one_name_for_inputs_of_two_shapes_is_refused(backend: Backend) -> None:
    with pytest.raises(GraphError, match="input 'x'"):
        compiled(backend, [input_tensor("x", (2,)), input_tensor("x", (3,))])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (state_tensor("v", (2,)), "'v'"),
        (state_tensor("w", (9,)), "'w'"),
        (state_tensor("w", (2,), offset=7), "'w'"),
        (state_tensor("w", (2,), "float64"), "'w'.*float64"),
    ],
    ids=["unknown", "too long", "past the end", "another type"],
)
def test_state_that_the_store_does_not_hold_is_refused(
    backend: Backend, state: Tensor, message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        compiled(backend, [state * 2.0], {"w": np.zeros(8, np.float32)})
    with pytest.raises(GraphError, match=r"'[vw]'"):
        backend.compile({}, [Assign(state, state)])


def test_an_assignment_of_another_shape_is_refused(backend: Backend) -> None:
    w = state_tensor("w", (2,))
    with pytest.raises(GraphError, match=r"assign: \(3,\) to .*w?.*another shape"):
        compiled(
            backend,
            [],
            {"w": np.zeros(2, np.float32)},
            [Assign(w, input_tensor("x", (3,)))],
        )


def test_a_store_starts_with_zeros_and_gives_copies(backend: Backend) -> None:
    store = backend.store({"w": Spec((3,)), "n": Spec((2,), "int32")})
    assert store.read("w").tolist() == [0.0, 0.0, 0.0]
    assert store.read("n").dtype == np.int32
    copy = store.read("w")
    copy[:] = 7.0
    assert store.read("w").tolist() == [0.0, 0.0, 0.0]


def test_a_store_refuses_a_wrong_size_or_name(backend: Backend) -> None:
    store = backend.store({"w": Spec((3,))})
    with pytest.raises(GraphError, match="'w': 4 values for 3"):
        store.write("w", np.zeros(4))
    with pytest.raises(GraphError, match="'v'"):
        store.read("v")


def test_a_backend_says_what_it_is_made_of(backend: Backend) -> None:
    facts = backend.describe()
    assert facts["backend"] == backend.name
    assert facts["threads"] == 2
    assert all(isinstance(name, str) for name in facts)
