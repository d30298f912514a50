import numpy as np
import pytest

from engine.errors import GraphError
from engine.graph import input_tensor, topological
from engine.model import (
    Dropout,
    Kind,
    hidden_states,
    initial_values,
    logits,
    negative_log_likelihood,
    parameters,
)
from tests.engine.graph.reference import evaluate
from tests.engine.model import naive
from tests.engine.model.options import OPTIONS, small


def rough_weights(config, seed=0):
    """Weights far from the first ones, so that no term is too small to see."""
    random = np.random.default_rng(seed)
    return {
        p.name: random.normal(p.kind is Kind.GAIN, 0.5, p.shape)
        for p in parameters(config)
    }


def model_inputs(config, rows, length):
    weights = {
        p.name: input_tensor(p.name, p.shape, "float64") for p in parameters(config)
    }
    return weights, input_tensor("tokens", (rows, length), "int32")


def graph_logits(config, weights, tokens):
    """The engine's definition, computed in float64: (B, T, V)."""
    tensors, ids = model_inputs(config, *np.shape(tokens))
    scores = logits(config, tensors, hidden_states(config, tensors, ids))
    return evaluate([scores], weights | {"tokens": np.array(tokens, np.int32)})[0]


@pytest.mark.parametrize("name", OPTIONS)
def test_forward_pass_is_the_papers(name):
    config = small(name)
    weights = rough_weights(config)
    tokens = [[3, 1, 4, 1, 5], [9, 2, 6, 10, 0]]
    scores = graph_logits(config, weights, tokens)
    for row, ids in enumerate(tokens):
        expected = naive.logits(config, weights, ids)
        np.testing.assert_allclose(scores[row], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_token_changes_no_score_before_it(name):
    config = small(name)
    weights = rough_weights(config)
    tokens = [3, 1, 4, 1, 5, 9]
    before = graph_logits(config, weights, [tokens])[0]
    for place in range(len(tokens)):
        changed = [*tokens[:place], 7, *tokens[place + 1 :]]
        after = graph_logits(config, weights, [changed])[0]
        assert np.array_equal(before[:place], after[:place])
        assert not np.allclose(before[place:], after[place:])


@pytest.mark.parametrize("name", OPTIONS)
def test_first_guess_is_nearly_even(name):
    config = small(name, logit_softcap=0.0)
    weights = {n: w.astype(np.float64) for n, w in initial_values(config, 5).items()}
    tensors, ids = model_inputs(config, 1, 8)
    targets = input_tensor("targets", (1, 8), "int32")
    total = negative_log_likelihood(config, tensors, ids, targets)
    random = np.random.default_rng(1)
    tokens = {
        "tokens": random.integers(0, 11, (1, 8)).astype(np.int32),
        "targets": random.integers(0, 11, (1, 8)).astype(np.int32),
    }
    assert evaluate([total], weights | tokens)[0] / 8 == pytest.approx(
        np.log(11), abs=0.05
    )


def test_targets_of_minus_one_count_for_nothing():
    config = small()
    weights = rough_weights(config)
    tokens = np.array([[1, 2, 3, 4]], np.int32)
    targets = np.array([[2, -1, 4, -1]], np.int32)
    tensors, ids = model_inputs(config, 1, 4)
    total = negative_log_likelihood(
        config, tensors, ids, input_tensor("targets", (1, 4), "int32")
    )
    value = evaluate([total], weights | {"tokens": tokens, "targets": targets})[0]
    scores = naive.logits(config, weights, tokens[0].tolist())
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert value == pytest.approx(-np.log(chances[0, 2]) - np.log(chances[2, 4]))


@pytest.mark.parametrize("name", ["gpt2", "modern"])
def test_every_dropout_mask_is_another(name):
    """Embedding, attention weights and both residual branches, as in GPT-2."""
    config = small(name, dropout=0.25)
    tensors, ids = model_inputs(config, 1, 4)
    counter = input_tensor("counter", (4,), "int32")
    hidden = hidden_states(config, tensors, ids, drop=Dropout(0.25, counter))
    salts = [
        node.attrs["salt"]
        for node in topological([hidden])
        if node.op.name in ("dropout_mask", "attention")
    ]
    assert sorted(salts) == list(range(1 + 3 * config.n_layer))


def test_nothing_is_dropped_without_dropout():
    config = small(dropout=0.25)
    tensors, ids = model_inputs(config, 1, 4)
    nodes = topological([hidden_states(config, tensors, ids)])
    assert "dropout_mask" not in {node.op.name for node in nodes}
    assert all(len(n.inputs) == 3 for n in nodes if n.op.name == "attention")


def test_nodes_say_which_block_they_belong_to():
    config = small()
    tensors, ids = model_inputs(config, 1, 4)
    scores = logits(config, tensors, hidden_states(config, tensors, ids))
    scopes = {node.scope for node in topological([scores]) if node.inputs}
    blocks = {f"block.{i}.{part}" for i in (0, 1) for part in ("attention", "mlp")}
    assert scopes == {"embed", "head"} | blocks


def test_tokens_beyond_the_learned_positions_are_refused():
    config = small()
    tensors, ids = model_inputs(config, 1, 9)
    with pytest.raises(GraphError, match="rows"):
        hidden_states(config, tensors, ids)
