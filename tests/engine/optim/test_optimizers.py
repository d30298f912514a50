"""Every optimizer against its paper, over several updates of a whole model."""

import numpy as np
import pytest

from engine.config import OptimConfig
from engine.errors import ConfigError
from engine.graph import input_tensor
from engine.model import parameter_layout, parameters
from engine.optim import GRAD_SCALE, make_optimizer, optimizers, plan_updates
from engine.optim.muon import orthogonalise
from tests.engine.graph.reference import evaluate
from tests.engine.model.options import small
from tests.engine.optim.naive import NAIVE

GRADIENTS = {"params.decay": "grads.decay", "params.plain": "grads.plain"}


class Updates:
    """The engine's update of a model's parameters, computed in float64."""

    def __init__(self, model, config):
        self.optimizer = make_optimizer(config)
        self.layout = parameter_layout(model)
        self.plan = plan_updates(self.optimizer, parameters(model), self.layout)
        names = list(self.optimizer.scalars(config.lr, 1))
        self.assigns = self.plan.assigns(GRADIENTS, names)
        buffers = self.layout.buffers | self.plan.slots.buffers
        self.state = {name: np.zeros(spec.shape) for name, spec in buffers.items()}

    def put(self, arrays, buffers=None):
        """Fill the parameters' buffers, or those that `buffers` maps them to."""
        for name, piece in self.layout.pieces.items():
            buffer = (buffers or {}).get(piece.buffer, piece.buffer)
            size = self.layout.buffers[piece.buffer].size
            flat = self.state.setdefault(buffer, np.zeros(size))
            piece.within(flat)[...] = arrays[name]

    def step(self, grads, lr, update, scale=1.0):
        self.put(grads, GRADIENTS)
        scalars = self.optimizer.scalars(lr, update) | {GRAD_SCALE: scale}
        inputs = {name: np.array(value) for name, value in scalars.items()}
        values = evaluate([a.value for a in self.assigns], inputs, self.state)
        for assign, value in zip(self.assigns, values, strict=True):
            start = assign.target.node.attrs["offset"]
            flat = self.state[assign.target.node.attrs["buffer"]]
            flat[start : start + value.size] = value.ravel()

    def parameters(self):
        return {
            name: piece.within(self.state[piece.buffer])
            for name, piece in self.layout.pieces.items()
        }

    def slots(self):
        return {
            name: piece.within(self.state[piece.buffer])
            for name, piece in self.plan.slots.pieces.items()
        }


def gradients_of(model, random):
    return {p.name: random.normal(0, 0.1, p.shape) for p in parameters(model)}


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize("option", ["gpt2", "modern, all"])
def test_updates_are_the_papers(name, option):
    model = small(option, n_layer=1)
    config = OptimConfig(optimizer=name, lr=0.02, weight_decay=0.3, eps=1e-3)
    random = np.random.default_rng(7)
    first = {p.name: random.normal(0, 0.2, p.shape) for p in parameters(model)}
    ours = Updates(model, config)
    ours.put(first)
    theirs = {p.name: NAIVE[name](config, p, first[p.name]) for p in parameters(model)}
    for update, lr in enumerate((0.02, 0.01, 0.03, 0.005), start=1):
        grads = gradients_of(model, random)
        ours.step(grads, lr, update)
        for key, value in ours.parameters().items():
            theirs[key].step(grads[key], lr)
            np.testing.assert_allclose(
                value, theirs[key].value, rtol=1e-6, atol=1e-9, err_msg=key
            )


@pytest.mark.parametrize("name", NAIVE)
def test_gradients_are_scaled_before_anything_else(name):
    model = small(n_layer=1)
    config = OptimConfig(optimizer=name, lr=0.02, eps=1e-3)
    random = np.random.default_rng(3)
    first, grads = gradients_of(model, random), gradients_of(model, random)
    clipped, smaller = Updates(model, config), Updates(model, config)
    for updates in (clipped, smaller):
        updates.put(first)
    clipped.step(grads, 0.02, 1, scale=0.25)
    smaller.step({key: 0.25 * grad for key, grad in grads.items()}, 0.02, 1)
    for key, value in clipped.parameters().items():
        np.testing.assert_allclose(value, smaller.parameters()[key], rtol=1e-12)


@pytest.mark.parametrize("name", NAIVE)
def test_only_matrices_decay(name):
    """With no gradient, decay alone moves a parameter."""
    model = small(n_layer=1)
    config = OptimConfig(optimizer=name, lr=0.02, muon_lr=0.02, weight_decay=0.5)
    updates = Updates(model, config)
    ones = {p.name: np.ones(p.shape) for p in parameters(model)}
    updates.put(ones)
    updates.step({key: 0 * value for key, value in ones.items()}, 0.02, 1)
    for parameter in parameters(model):
        value = updates.parameters()[parameter.name]
        expected = 0.99 if len(parameter.shape) == 2 else 1.0
        np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "per_matrix", "per_vector"),
    [
        ("adamw", {"m", "v"}, {"m", "v"}),
        ("lion", {"m"}, {"m"}),
        ("sgd", {"velocity"}, {"velocity"}),
        ("adafactor", {"rows", "columns"}, {"v"}),
        ("muon", {"momentum"}, {"m", "v"}),
    ],
)
def test_state_is_named_for_slot_and_parameter(name, per_matrix, per_vector):
    updates = Updates(small(), OptimConfig(optimizer=name))
    found = {}
    for key in updates.slots():
        slot, _, parameter = key.partition(".")
        found.setdefault(parameter, set()).add(slot)
    assert found.keys() == updates.layout.pieces.keys()
    assert found["blocks.1.attn.qkv.weight"] == per_matrix
    assert found["blocks.1.attn.qkv.bias"] == per_vector


def test_adafactor_keeps_a_row_and_a_column_of_a_matrix():
    updates = Updates(small(), OptimConfig(optimizer="adafactor"))
    slots = updates.slots()
    assert slots["rows.blocks.0.mlp.in.weight"].shape == (8,)
    assert slots["columns.blocks.0.mlp.in.weight"].shape == (32,)


def test_sgd_without_momentum_keeps_nothing():
    updates = Updates(small(), OptimConfig(optimizer="sgd", momentum=0.0))
    assert updates.slots() == {}


@pytest.mark.parametrize("shape", [(4, 4), (3, 9), (10, 2), (1, 5)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    x = np.random.default_rng(0).normal(size=shape)
    (y,) = evaluate([orthogonalise(input_tensor("x", shape, "float64"))], {"x": x})
    u, _, v = np.linalg.svd(x, full_matrices=False)
    turned = u.T @ y @ v.T
    values = np.diag(turned)
    np.testing.assert_allclose(turned, np.diag(values), atol=1e-9)
    assert ((values > 0.6) & (values < 1.3)).all()


def test_orthogonalising_nothing_gives_nothing():
    (y,) = evaluate(
        [orthogonalise(input_tensor("x", (3, 4), "float64"))], {"x": np.zeros((3, 4))}
    )
    assert (y == 0).all()


def test_every_optimizer_is_tested():
    assert set(optimizers) == set(NAIVE)


def test_an_unknown_optimizer_is_named():
    with pytest.raises(ConfigError, match=r"optimizer = 'adm'.*adafactor"):
        make_optimizer(OptimConfig(optimizer="adm"))
