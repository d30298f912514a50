"""Recomputation: the same values, with nothing of a block kept but what enters it."""

from __future__ import annotations

import numpy as np
import pytest

import engine.graph as g
from engine.graph import Tensor, input_tensor, topological
from engine.graph.passes import recompute_blocks, simplify
from engine.graph.passes.remat import block_of
from tests.engine.graph.reference import evaluate
from tests.engine.graph.rules import Array

BATCH, LENGTH, WIDTH = 2, 3, 4


def traced(blocks: int) -> tuple[list[Tensor], dict[str, Array]]:
    """Loss and gradients of a stack of blocks with attention, dropout and a gate."""
    random = np.random.default_rng(blocks)
    values: dict[str, Array] = {"counter": np.array([1, 2, 3, 4], np.int32)}
    counter = input_tensor("counter", (4,), "int32")
    weights = []

    def given(*shape: int) -> Tensor:
        name = f"x{len(values)}"
        values[name] = random.standard_normal(shape)
        weights.append(input_tensor(name, shape))
        return weights[-1]

    with g.scope("embed"):
        x = g.tanh(given(BATCH, LENGTH, WIDTH))
    shared = given(WIDTH)
    for i in range(blocks):
        with g.scope(f"block.{i}"):
            with g.scope("attention"):
                h = g.layer_norm(x, shared)
                q, k, v = g.split(g.linear(h, given(WIDTH, 3 * WIDTH)), [WIDTH] * 3)
                y = g.attention(
                    q, k, v, heads=2, dropout=0.3, counter=counter, salt=2 * i
                )
                x = x + y
            h = g.elementwise(g.tanh, g.linear(x, given(WIDTH, WIDTH)))
            x = x + g.dropout(h, 0.3, counter, 2 * i + 1)
    with g.scope("head"):
        loss = g.mean(g.square(x))
    return [loss, *g.gradients(loss, weights)], values


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("first", ["as traced", "simplified"])
def test_values_are_the_same(blocks: int, first: str) -> None:
    outputs, values = traced(blocks)
    before = simplify(outputs) if first == "simplified" else outputs
    after = recompute_blocks(before)
    for old, new in zip(evaluate(before, values), evaluate(after, values), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("again", [False, True], ids=["as is", "simplified after"])
def test_the_backward_pass_reads_nothing_that_a_block_kept(again: bool) -> None:
    """But what another block, or its own recomputation, takes in."""
    outputs, values = traced(3)
    after = recompute_blocks(outputs)
    after = simplify(after) if again else after
    kept = {
        tensor
        for node in topological(after)
        for tensor in node.inputs
        if node.stage and block_of(tensor.node) and tensor.node.op.name != "constant"
    }
    assert len(kept) == 2  # what the second and the third block take in
    for tensor in kept:
        assert tensor.shape == (BATCH, LENGTH, WIDTH)
    for old, new in zip(
        evaluate(outputs, values), evaluate(after, values), strict=True
    ):
        np.testing.assert_allclose(new, old, rtol=1e-12)


def test_the_forward_pass_stays_as_it_is() -> None:
    outputs, _ = traced(2)
    assert recompute_blocks([outputs[0]]) == [outputs[0]]


def test_each_op_of_a_block_runs_at_most_once_more() -> None:
    outputs, _ = traced(3)

    def count(tensors: list[Tensor], name: str) -> int:
        return sum(node.op.name == name for node in topological(tensors))

    after = recompute_blocks(outputs)
    for name in ("attention", "layer_norm", "dropout_mask"):
        once = count(outputs, name)
        assert once < count(after, name) <= 2 * once
    assert count(after, "attention_grad") == count(outputs, "attention_grad")


def test_recomputation_belongs_to_the_backward_pass_and_to_its_block() -> None:
    outputs, _ = traced(2)
    before = {node.id for node in topological(outputs)}
    clones = [
        node
        for node in topological(recompute_blocks(outputs))
        if node.id not in before and node.attrs.get("again")
    ]
    assert clones
    assert all(node.stage == 1 for node in clones)
    assert {node.scope.split(".attention")[0] for node in clones} <= {
        "block.0",
        "block.1",
    }


@pytest.mark.parametrize(
    ("scope", "block"),
    [
        ("block.3", "block.3"),
        ("block.12.attention", "block.12"),
        ("head", ""),
        ("", ""),
        ("blocks.3", ""),
    ],
)
def test_blocks_are_told_by_their_scope(scope: str, block: str) -> None:
    with g.scope(scope):
        node = input_tensor("x", ()).node
    assert block_of(node) == block
