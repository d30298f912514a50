"""Attention on every backend: no look ahead, heads apart, large scores, the cache."""

from __future__ import annotations

import numpy as np
import pytest

import engine.graph as g
from engine.backends import Backend
from engine.graph import Tensor, input_tensor
from tests.engine.backends.harness import Array, assert_parity, compiled, run

#: (batch, length): one sequence or enough to share out by sequence; a single row, a
#: prime, and more rows than a block of queries holds.
SIZES = [(1, 1), (2, 7), (5, 13), (1, 67), (5, 130)]
OPTIONS = {
    "plain": {},
    "shared keys": {"kv_heads": 2},
    "one key head": {"kv_heads": 1, "softcap": 3.0},
    "soft-cap": {"softcap": 2.0},
}
HEADS, SIZE = 4, 6


def random_inputs(batch: int, length: int, kv_heads: int = HEADS) -> dict[str, Array]:
    random = np.random.default_rng(batch * 1000 + length)
    widths = {"q": HEADS, "k": kv_heads, "v": kv_heads, "seed": HEADS}
    return {
        name: random.standard_normal((batch, length, heads * SIZE)).astype(np.float32)
        for name, heads in widths.items()
    } | {"counter": np.array([7, -3, 11, 0], np.int32)}


def tensors(inputs: dict[str, Array]) -> dict[str, Tensor]:
    return {
        name: input_tensor(name, values.shape, values.dtype.name)
        for name, values in inputs.items()
    }


def forward_and_backward(t: dict[str, Tensor], **options: object) -> list[Tensor]:
    out = g.attention(t["q"], t["k"], t["v"], heads=HEADS, **options)  # type: ignore[arg-type]
    return [out, *g.gradients(out, [t["q"], t["k"], t["v"]], seed=t["seed"])]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("batch", "length"), SIZES)
def test_attention_and_its_gradients_agree_with_the_reference(
    backend: Backend, batch: int, length: int, options: dict[str, int]
) -> None:
    inputs = random_inputs(batch, length, options.get("kv_heads", HEADS))
    outputs = forward_and_backward(tensors(inputs), **options)
    assert_parity(backend, outputs, inputs)


@pytest.mark.parametrize(("batch", "length"), SIZES)
def test_dropped_weights_are_those_of_the_counter(
    backend: Backend, batch: int, length: int
) -> None:
    inputs = random_inputs(batch, length)
    t = tensors(inputs)
    outputs = forward_and_backward(t, dropout=0.3, counter=t["counter"], salt=5)
    assert_parity(backend, outputs, inputs)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("batch", "length"), [(2, 7), (5, 13), (2, 70)])
def test_no_row_depends_on_a_later_one(
    backend: Backend,
    batch: int,
    length: int,
    options: dict[str, int],
    dropout: float,
) -> None:
    """Bit for bit, for every place at which a token may change."""
    inputs = random_inputs(batch, length, options.get("kv_heads", HEADS))
    t = tensors(inputs)
    out = forward_and_backward(t, **options, dropout=dropout, counter=t["counter"])[0]
    program = compiled(backend, [out])
    before = run(program, inputs)[0]
    for place in {0, 1, length // 2, 64, length - 1} & set(range(length)):
        changed = {name: values.copy() for name, values in inputs.items()}
        for name in ("q", "k", "v"):
            changed[name][:, place] = 1e3
        after = run(program, changed)[0]
        np.testing.assert_array_equal(after[:, :place], before[:, :place])
        assert not np.array_equal(after[:, place:], before[:, place:])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_no_gradient_reaches_a_later_row(
    backend: Backend, options: dict[str, int]
) -> None:
    """An output row's gradient is zero in all keys, values and queries after it."""
    inputs = random_inputs(4, 9, options.get("kv_heads", HEADS))
    inputs["seed"][:, 5:] = 0.0
    outputs = forward_and_backward(tensors(inputs), **options)
    for grad in run(compiled(backend, outputs), inputs)[1:]:
        assert np.all(grad[:, 5:] == 0.0)
        assert np.all(grad[:, 1:5] != 0.0)


def test_sequences_do_not_see_each_other(backend: Backend) -> None:
    inputs = random_inputs(5, 8)
    program = compiled(backend, forward_and_backward(tensors(inputs)))
    before = run(program, inputs)
    for name in ("q", "k", "v", "seed"):
        inputs[name][2] *= -3.0
    after = run(program, inputs)
    others = [0, 1, 3, 4]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a[others], b[others])
        assert not np.array_equal(a[2], b[2])


def test_heads_do_not_see_each_other(backend: Backend) -> None:
    inputs = random_inputs(4, 8)
    program = compiled(backend, forward_and_backward(tensors(inputs)))
    before = run(program, inputs)
    for name in ("q", "k", "v", "seed"):
        inputs[name][..., SIZE : 2 * SIZE] *= -3.0
    after = run(program, inputs)
    for a, b in zip(before, after, strict=True):
        same = np.all(a == b, axis=(0, 1)).reshape(HEADS, SIZE)
        assert same.all(axis=1).tolist() == [True, False, True, True]


def test_shared_keys_equal_keys_repeated_for_each_of_their_heads(
    backend: Backend,
) -> None:
    inputs = random_inputs(4, 8, kv_heads=2)
    t = tensors(inputs)

    def repeated(x: Tensor) -> Tensor:
        first, second = g.split(x, [SIZE, SIZE])
        return g.concat([first, first, second, second])

    shared = g.attention(t["q"], t["k"], t["v"], heads=HEADS, kv_heads=2)
    plain = g.attention(t["q"], repeated(t["k"]), repeated(t["v"]), heads=HEADS)
    wrt = [t["q"], t["k"], t["v"]]
    outputs = [
        shared,
        *g.gradients(shared, wrt, seed=t["seed"]),
        plain,
        *g.gradients(plain, wrt, seed=t["seed"]),
    ]
    found = run(compiled(backend, outputs), inputs)
    for a, b in zip(found[:4], found[4:], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"kv_heads": 2}], ids=["plain", "shared"])
@pytest.mark.parametrize("scale", [30.0, 1000.0])
def test_scores_too_large_to_exponentiate_are_no_trouble(
    backend: Backend, scale: float, options: dict[str, int]
) -> None:
    """Scores reach +-1e3 and +-1e6, far beyond what exp takes in float32.

    They are rounded to 1e-7 of their size, which the softmax passes on: the bound is
    as much wider. Rows of small and of huge scores stand side by side.
    """
    inputs = random_inputs(4, 70, options.get("kv_heads", HEADS))
    inputs["q"][:, ::3] *= scale
    outputs = forward_and_backward(tensors(inputs), **options)
    found = run(compiled(backend, outputs), inputs)
    assert all(np.all(np.isfinite(values)) for values in found)
    # Where one key wins by far, its value is the result.
    for values in found[:1]:
        assert np.abs(values).max() < 6.0


def test_equal_scores_of_any_size_share_the_weight(backend: Backend) -> None:
    """q k is the same for all keys: each row is the mean of the values so far."""
    inputs = random_inputs(4, 70)
    inputs["k"][:] = inputs["k"][:, :1]
    inputs["q"] *= 400.0
    t = tensors(inputs)
    out = g.attention(t["q"], t["k"], t["v"], heads=HEADS)
    (found,) = run(compiled(backend, [out]), inputs)
    sums = np.cumsum(inputs["v"].astype(np.float64), axis=1)
    means = sums / np.arange(1, 71)[:, None]
    np.testing.assert_allclose(found, means, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("batch", [1, 5])
def test_attention_over_a_cache_equals_the_rows_of_attention(
    backend: Backend, batch: int, options: dict[str, int]
) -> None:
    """Rows 4 to 8 of nine, from a cache whose later rows hold rubbish."""
    kv_heads = options.get("kv_heads", HEADS)
    inputs = random_inputs(batch, 9, kv_heads)
    t = tensors(inputs)
    whole = g.attention(t["q"], t["k"], t["v"], heads=HEADS, **options)  # type: ignore[arg-type]
    (expected,) = run(compiled(backend, [whole]), inputs)

    cache = {name: np.full((batch, 16, kv_heads * SIZE), np.nan) for name in "kv"}
    for name, values in cache.items():
        values[:, :9] = inputs[name]
    late = {
        "q": inputs["q"][:, 4:],
        "k": cache["k"].astype(np.float32),
        "v": cache["v"].astype(np.float32),
        "starts": np.full(batch, 4, np.int32),
    }
    c = tensors(late)
    rows = g.attention_cached(
        c["q"],
        c["k"],
        c["v"],
        c["starts"],
        heads=HEADS,
        **options,  # type: ignore[arg-type]
    )
    (found,) = run(compiled(backend, [rows]), late)
    np.testing.assert_allclose(found, expected[:, 4:], rtol=0, atol=1e-5)
