"""What every op's shape rule gives, and how it refuses what does not fit."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

import engine.graph as g
from engine.errors import GraphError
from engine.graph import Tensor, apply, input_tensor
from engine.graph.node import Node, apply_node, topological
from engine.graph.table import node_flops, ops
from tests.engine.graph.cases import ROWS
from tests.engine.graph.maker import Maker


def x(*shape: int) -> Tensor:
    return input_tensor("x", shape)


def ids(*shape: int) -> Tensor:
    return input_tensor("ids", shape, "int32")


def wide(*shape: int) -> Tensor:
    return input_tensor("wide", shape, "float64")


ATTENTION = {"heads": 2, "kv_heads": 1, "softcap": 0.0, "keep": 200, "salt": 0}
COUNTER = ids(4)

REFUSED: list[tuple[str, Callable[[], object], str]] = [
    ("add", lambda: x(2, 3) + x(2), r"add: shapes \(2, 3\) and \(2,\) do not"),
    ("add", lambda: x(2) + wide(2), "mixed element types .*; cast first"),
    ("greater", lambda: g.greater(x(2), x(3)), "greater: shapes"),
    ("where", lambda: g.where(x(2), x(2), x(2)), "the condition is float32, not bool"),
    (
        "where",
        lambda: g.where(g.greater(x(3), x(3)), x(2), x(2)),
        r"where: shapes \(3,\) and \(2,\)",
    ),
    ("reshape", lambda: g.reshape(x(2, 3), (4,)), r"\(2, 3\) does not hold \(4,\)"),
    ("transpose", lambda: g.transpose(x(2, 3), (0, 0)), r"axes \(0, 0\) do not fit"),
    ("transpose", lambda: g.transpose(x(2, 3), (0,)), r"axes \(0,\) do not fit"),
    ("broadcast", lambda: g.broadcast_to(x(2), (3,)), "do not broadcast"),
    ("broadcast", lambda: g.broadcast_to(x(2, 3), (3,)), "does not broadcast to"),
    ("split", lambda: g.split(x(2, 5), [2, 2]), r"\(2, 2\) do not add up"),
    ("split", lambda: g.split(x(), [1]), r"do not add up to the last of \(\)"),
    ("concat", lambda: g.concat([x(2, 3), x(3, 3)]), "differ before their last axis"),
    ("concat", lambda: g.concat([x(2), wide(2)]), r"\(2,\) float32, \(2,\) float64"),
    ("concat", lambda: g.concat([x(), x()]), "differ before"),
    ("rows", lambda: g.rows(x(4), 2, 5), r"\[2, 5\) is not within \(4,\)"),
    ("rows", lambda: g.rows(x(4), 2, 2), r"\[2, 2\) is not within"),
    ("rows", lambda: g.rows(x(), 0, 1), r"\[0, 1\) is not within \(\)"),
    ("pad_rows", lambda: apply("pad_rows", x(3), start=2, total=4), "at 2 of 4 rows"),
    ("pad_rows", lambda: apply("pad_rows", x(), start=0, total=4), r"\(\) at 0 of 4"),
    ("sum", lambda: apply("sum", x(2, 3), axes=(2,)), r"axes \(2,\) do not fit"),
    ("sum", lambda: apply("sum", x(2, 3), axes=()), r"axes \(\) do not fit"),
    ("sum", lambda: apply("sum", x(2, 3), axes=(1, 1)), r"axes \(1, 1\) do not fit"),
    ("softmax", lambda: g.softmax(x()), "softmax: "),
    ("softmax_grad", lambda: apply("softmax_grad", x(2), x(3)), "softmax: "),
    ("count_targets", lambda: g.count_targets(x(3)), "targets are float32, not int32"),
    ("linear", lambda: g.linear(x(2, 3), x(4, 5)), r"\(2, 3\) .* times \(4, 5\)"),
    ("linear", lambda: g.linear(x(3), x(3, 4), transposed=True), "transposed"),
    ("linear", lambda: g.linear(x(2, 3), x(3)), r"times \(3,\)"),
    ("linear", lambda: g.linear(x(), x(3, 2)), r"\(\) float32 times"),
    ("linear", lambda: g.linear(x(3), wide(3, 2)), "float32 times .* float64"),
    ("weight_grad", lambda: g.weight_grad(x(2, 3), x(3, 3)), "rows of"),
    ("weight_grad", lambda: g.weight_grad(x(2, 3), wide(2, 3)), "float64"),
    ("weight_grad", lambda: g.weight_grad(x(), x()), "rows of"),
    ("matmul", lambda: g.matmul(x(2, 3), x(2, 3)), r"matmul: \(2, 3\)"),
    ("matmul", lambda: g.matmul(x(2, 2, 3), x(3, 3, 2)), r"matmul: \(2, 2, 3\)"),
    ("matmul", lambda: g.matmul(x(3), x(3)), r"matmul: \(3,\)"),
    ("matmul", lambda: g.matmul(x(2, 2), wide(2, 2)), "matmul: "),
    ("embedding", lambda: g.embedding(x(2), x(4, 3)), "ids float32"),
    ("embedding", lambda: g.embedding(ids(2), x(4)), r"table \(4,\)"),
    (
        "embedding_grad",
        lambda: apply("embedding_grad", ids(2), x(3, 4), rows=5),
        r"ids \(2,\), gradient \(3, 4\)",
    ),
    (
        "cross_entropy",
        lambda: g.token_losses(x(2, 3), ids(3)),
        r"logits \(2, 3\) with targets \(3,\)",
    ),
    ("cross_entropy", lambda: g.token_losses(x(2, 3), x(2)), "float32"),
    ("cross_entropy", lambda: g.token_losses(x(), ids()), "cross_entropy: "),
    ("layer_norm", lambda: g.layer_norm(x(2, 4), x(3)), r"gain of \(3,\)"),
    ("layer_norm", lambda: g.layer_norm(x(2, 4), x(4), x(2)), "norm: 1 groups"),
    ("layer_norm", lambda: g.layer_norm(x(2, 4), wide(4)), "float64"),
    ("rms_norm", lambda: g.rms_norm(x(2, 5), x(2), groups=2), "norm: 2 groups of"),
    ("rotary", lambda: g.rotary(x(2, 3, 6), heads=2), "2 heads of even size"),
    ("rotary", lambda: g.rotary(x(3, 4), heads=2), "2 heads of even size"),
    (
        "rotary",
        lambda: g.rotary(x(2, 3, 4), heads=1, starts=ids(3)),
        r"starts \(3,\) int32 for batch 2",
    ),
    (
        "rotary",
        lambda: g.rotary(x(2, 3, 4), heads=1, starts=x(2)),
        r"starts \(2,\) float32",
    ),
    ("dropout_mask", lambda: g.dropout(x(2), 0.5, ids(2), 0), r"counter \(2,\) int32"),
    ("dropout_mask", lambda: g.dropout(x(2), 0.5, x(4), 0), "float32"),
    ("dropout_mask", lambda: g.dropout(x(2), 1.0, COUNTER, 0), r"1.0 is not in \[0, 1"),
    ("dropout_mask", lambda: g.dropout(x(2), -0.1, COUNTER, 0), "-0.1 is not in"),
    (
        "attention",
        lambda: g.attention(x(4, 6), x(4, 6), x(4, 6), heads=2),
        r"q \(4, 6\) is not \(batch, length, width\)",
    ),
    (
        "attention",
        lambda: g.attention(x(1, 4, 6), x(1, 4, 6), x(1, 4, 6), heads=4),
        "with 4 heads",
    ),
    (
        "attention",
        lambda: g.attention(x(1, 4, 6), x(1, 4, 4), x(1, 4, 4), heads=3, kv_heads=2),
        "with 3 heads, k .* with 2",
    ),
    (
        "attention",
        lambda: g.attention(x(1, 4, 6), x(1, 5, 6), x(1, 5, 6), heads=2),
        r"k \(1, 5, 6\)",
    ),
    (
        "attention",
        lambda: g.attention(x(1, 4, 6), x(1, 4, 6), wide(1, 4, 6), heads=2),
        "float64",
    ),
    (
        "attention",
        lambda: g.attention(x(1, 2, 2), x(1, 2, 2), x(1, 2, 2), heads=1, dropout=0.5),
        "dropout needs the step's counter",
    ),
    (
        "attention",
        lambda: apply_node("attention", *[x(1, 2, 2)] * 3, ids(3), **ATTENTION),
        "attention: ",
    ),
    (
        "attention_cached",
        lambda: g.attention_cached(x(2, 1, 4), x(2, 8, 4), x(2, 8, 4), ids(3), heads=2),
        r"starts \(3,\)",
    ),
    (
        "attention_cached",
        lambda: g.attention_cached(x(2, 1, 4), x(2, 8, 4), x(2, 9, 4), ids(2), heads=2),
        "cache .* and",
    ),
    (
        "attention_cached",
        lambda: g.attention_cached(
            x(2, 1, 4), x(2, 8, 4), x(2, 8, 4), ids(2), heads=2, kv_heads=1
        ),
        "with 2 heads, cache .* with 1",
    ),
    (
        "attention_cached",
        lambda: g.attention_cached(x(2, 9, 4), x(2, 8, 4), x(2, 8, 4), ids(2), heads=2),
        "cache",
    ),
    (
        "cache_write",
        lambda: g.cache_write(x(2, 8, 4), x(2, 1, 3), ids(2)),
        "into a cache",
    ),
    (
        "cache_write",
        lambda: g.cache_write(x(2, 8, 4), x(2, 9, 4), ids(2)),
        "into a cache",
    ),
    (
        "cache_write",
        lambda: g.cache_write(x(2, 8, 4), x(2, 1, 4), x(2)),
        r"starts \(2,\) float32",
    ),
]


@pytest.mark.parametrize(
    ("build", "message"),
    [pytest.param(build, message, id=name) for name, build, message in REFUSED],
)
def test_a_shape_rule_refuses_what_does_not_fit(
    build: Callable[[], object], message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        build()


def test_every_op_that_can_be_misused_has_a_row_of_refusals() -> None:
    takes_anything = {"input", "state", "constant", "cast", "sum_squares", "chosen"}
    of_pointwise = {op for op in ops if ops.get(op).pointwise} - {"greater", "where"}
    made_by_gradients = {
        "attention_grad",
        "cross_entropy_grad",
        "layer_norm_grad",
        "rms_norm_grad",
    }
    silent = takes_anything | of_pointwise | made_by_gradients
    assert {name for name, _, _ in REFUSED} | silent == set(ops)


GIVEN: list[tuple[Callable[[], Tensor], tuple[int, ...]]] = [
    (lambda: x(2, 1, 4) + x(3, 1), (2, 3, 4)),
    (lambda: x() * x(1, 1), (1, 1)),
    (lambda: g.sum_over(x(2, 3, 4), [-1, 0]), (3,)),
    (lambda: g.sum_over(x(2, 3)), ()),
    (lambda: g.sum_over(x()), ()),
    (lambda: g.mean(x(2, 3), [0]), (3,)),
    (lambda: g.transpose(x(2, 3, 4), (2, 0, 1)), (4, 2, 3)),
    (lambda: g.split(x(2, 5), [1, 4])[1], (2, 4)),
    (lambda: g.concat([x(2, 1), x(2, 4)]), (2, 5)),
    (lambda: g.rows(x(5, 2), 1, 4), (3, 2)),
    (lambda: g.linear(x(2, 3, 4), x(4, 5)), (2, 3, 5)),
    (lambda: g.linear(x(4), x(5, 4), transposed=True), (5,)),
    (lambda: g.weight_grad(x(2, 3, 4), x(2, 3, 5)), (4, 5)),
    (lambda: g.matmul(x(7, 3, 2), x(7, 5, 3), ta=True, tb=True), (7, 2, 5)),
    (lambda: g.embedding(ids(2, 3), x(9, 4)), (2, 3, 4)),
    (lambda: g.cross_entropy(x(2, 3, 9), ids(2, 3)), ()),
    (lambda: g.token_losses(x(2, 3, 9), ids(2, 3)), (2, 3)),
    (lambda: g.sum_to(x(2, 3, 4), (3, 1)), (3, 1)),
    (lambda: g.sum_to(x(2, 3), (2, 3)), (2, 3)),
    (lambda: g.zeros((3, 2)), (3, 2)),
]


@pytest.mark.parametrize(("build", "shape"), GIVEN)
def test_a_shape_rule_gives_the_shape(
    build: Callable[[], Tensor], shape: tuple[int, ...]
) -> None:
    assert build().shape == shape


@pytest.mark.parametrize(
    "same",
    [
        lambda t: g.reshape(t, (2, 3)),
        lambda t: g.broadcast_to(t, (2, 3)),
        lambda t: g.sum_to(t, (2, 3)),
        lambda t: g.cast(t, "float32"),
    ],
)
def test_what_changes_nothing_makes_no_node(same: Callable[[Tensor], Tensor]) -> None:
    tensor = x(2, 3)
    assert same(tensor) is tensor


@pytest.mark.parametrize("name", ROWS)
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_rules_give_every_output_a_spec_and_flops_no_less_than_zero(
    name: str, data: st.DataObject
) -> None:
    for node in topological(ROWS[name].build(Maker(data.draw)).outputs):
        assert node.specs
        assert all(min(spec.shape, default=1) >= 1 for spec in node.specs)
        assert node_flops(node) >= 0


def flops_of(tensor: Tensor) -> int:
    return node_flops(tensor.node)


def test_flops_count_a_multiply_and_an_add_as_two() -> None:
    assert flops_of(g.linear(x(2, 3, 4), x(4, 5))) == 2 * 6 * 4 * 5
    assert flops_of(g.weight_grad(x(2, 3, 4), x(2, 3, 5))) == 2 * 6 * 4 * 5
    assert flops_of(g.matmul(x(7, 4, 2), x(7, 4, 5), ta=True)) == 2 * 7 * 2 * 4 * 5
    assert flops_of(x(2, 3) + x(3)) == 6


def test_flops_of_attention_skip_what_the_causal_mask_hides() -> None:
    q, k = x(2, 8, 12), x(2, 8, 4)
    out = g.attention(q, k, k, heads=3, kv_heads=1)
    pairs, heads, size = 8 * 9 // 2, 3, 4
    assert flops_of(out) == 2 * 2 * (2 * heads * size * pairs)
    grads: Node = g.gradients(out, [q], seed=q)[0].node
    assert node_flops(grads) == 5 * 2 * (2 * heads * size * pairs)


@pytest.mark.parametrize(
    ("probability", "keep"),
    [(0.0, 256), (0.001, 256), (0.1, 230), (0.5, 128), (0.9999, 1)],
)
def test_dropout_keeps_a_whole_number_of_256ths(probability: float, keep: int) -> None:
    dropped = g.dropout(x(3), probability, COUNTER, 0)
    masks = [n for n in topological([dropped]) if n.op.name == "dropout_mask"]
    assert [mask.attrs["keep"] for mask in masks] == [keep]
