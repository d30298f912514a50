import numpy as np
import pytest

from engine.errors import ConfigError
from engine.graph import elementwise, gradients, input_tensor, sum_over, tanh
from engine.model import Activation, activations
from tests.engine.graph.reference import evaluate
from tests.engine.model import naive
from tests.engine.model.options import small
from tests.engine.model.test_gpt import graph_logits, rough_weights

GRID = np.linspace(-6, 6, 49)


def value_and_slope(name, *arrays):
    """The activation and its derivative by each input, as the model uses it."""
    inputs = [input_tensor(str(i), a.shape, "float64") for i, a in enumerate(arrays)]
    value = elementwise(activations.get(name).function, *inputs)
    slopes = gradients(sum_over(value), inputs)
    return evaluate([value, *slopes], {str(i): a for i, a in enumerate(arrays)})


def slope(function, *at, which=0, step=1e-6):
    moved = list(at)
    moved[which] += step
    up = function(*moved)
    moved[which] -= 2 * step
    return (up - function(*moved)) / (2 * step)


@pytest.mark.parametrize("name", naive.PLAIN)
def test_plain_activation(name):
    function = naive.PLAIN[name]
    value, derivative = value_and_slope(name, GRID)
    np.testing.assert_allclose(value, [function(x) for x in GRID], atol=1e-12)
    smooth = GRID != 0
    expected = [slope(function, x) for x in GRID[smooth]]
    np.testing.assert_allclose(derivative[smooth], expected, atol=1e-7)


@pytest.mark.parametrize("name", naive.GATED)
def test_gated_activation(name):
    function = naive.GATED[name]
    gate, up = GRID, GRID[::-1] * 0.3 + 0.1
    value, by_gate, by_up = value_and_slope(name, gate, up)
    pairs = list(zip(gate, up, strict=True))
    np.testing.assert_allclose(value, [function(*pair) for pair in pairs], atol=1e-12)
    for derivative, which in ((by_gate, 0), (by_up, 1)):
        expected = [slope(function, *pair, which=which) for pair in pairs]
        np.testing.assert_allclose(derivative, expected, atol=1e-7)


def test_gelu_is_near_the_exact_one():
    value, _ = value_and_slope("gelu", GRID)
    exact = [naive.exact_gelu(x) for x in GRID]
    np.testing.assert_allclose(value, exact, atol=5e-4)


def test_every_activation_is_tested():
    assert set(activations) == set(naive.PLAIN) | set(naive.GATED)


def test_a_third_party_adds_an_activation(monkeypatch):
    activations.register("tanh")(Activation(tanh))
    try:
        monkeypatch.setitem(naive.PLAIN, "tanh", np.tanh)
        config = small(activation="tanh")
        weights = rough_weights(config)
        np.testing.assert_allclose(
            graph_logits(config, weights, [[1, 2, 3]])[0],
            naive.logits(config, weights, [1, 2, 3]),
        )
    finally:
        activations.unregister("tanh")


def test_an_activation_has_one_name():
    with pytest.raises(ConfigError, match="already registered"):
        activations.register("gelu")(Activation(tanh))
