import dataclasses
import math

import numpy as np
import pytest

from engine.backends.numpy import NumpyBackend
from engine.config import OptimConfig, TrainConfig
from engine.errors import CheckpointError, ConfigError
from engine.graph import gradients, input_tensor, sign
from engine.model import initial_values, negative_log_likelihood, parameters
from engine.optim import Optimizer, optimizers
from engine.train.compile import compile_step
from tests.engine.graph.reference import evaluate
from tests.engine.model.options import OPTIONS, small

ROWS = 2
OPTIM = OptimConfig(lr=0.01)


@pytest.fixture(scope="module")
def backend():
    return NumpyBackend(1)


def compiled(backend, model=None, optim=OPTIM, train=None, rows=ROWS):
    return compile_step(
        model or small(), optim, train or TrainConfig(), rows, backend=backend
    )


def batch(index=0, rows=ROWS, model=None, ignored=0.0):
    model = model or small()
    random = np.random.default_rng(index)
    shape = (rows, model.block_size)
    tokens, targets = random.integers(0, model.vocab_size, (2, *shape)).astype(np.int32)
    targets[random.random(shape) < ignored] = -1
    return tokens, targets


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


def check_against_reference(backend, model, rows):
    """Loss, gradient and evaluation, with parameters far from the first ones."""
    step = compiled(backend, model, rows=rows)
    random = np.random.default_rng(5)
    values = {
        p.name: random.normal(len(p.shape) == 1, 0.3, p.shape).astype(np.float32)
        for p in parameters(model)
    }
    step.layout.write(step.store, values)
    tokens, targets = batch(1, rows, model, ignored=0.3)
    result = step.train_step([(tokens, targets)], lr=0.0, step=1)

    weights = {name: input_tensor(name, v.shape) for name, v in values.items()}
    ids = input_tensor("tokens", tokens.shape, "int32")
    wanted = input_tensor("targets", targets.shape, "int32")
    loss = negative_log_likelihood(model, weights, ids, wanted)
    count = (targets >= 0).sum()
    inputs = values | {"tokens": tokens, "targets": targets}
    outputs = [loss, *gradients(loss * (1 / count), list(weights.values()))]
    total, *grads = evaluate(outputs, inputs)
    assert result.loss == pytest.approx(total / count, rel=1e-5)
    assert step.eval_loss((tokens, targets))[0] == pytest.approx(total, rel=1e-5)
    norm = math.sqrt(sum(float((grad**2).sum()) for grad in grads))
    assert result.grad_norm == pytest.approx(norm, rel=1e-4)
    for key, expected in zip(weights, grads, strict=True):
        size = np.abs(expected).max()
        np.testing.assert_allclose(
            step.gradients()[key], expected, rtol=2e-4, atol=4e-5 * size, err_msg=key
        )


@pytest.mark.parametrize("name", OPTIONS)
def test_loss_and_gradient_are_the_references(backend, name):
    check_against_reference(backend, small(name), ROWS)


@pytest.mark.parametrize("name", ["gpt2", "modern", "modern, all"])
def test_many_rows_are_computed_like_few(backend, name):
    """Enough of them to be cut into several blocks in every loop of the backend."""
    model = small(name, n_layer=1, n_embd=64, block_size=32)
    check_against_reference(backend, model, 12)


@pytest.mark.parametrize("name", optimizers.names())
def test_every_optimizer_learns_one_batch_by_heart(backend, name):
    model = small("modern")
    lr = {"sgd": 0.3, "adafactor": 0.1}.get(name, 0.03)
    step = compiled(backend, model, dataclasses.replace(OPTIM, optimizer=name, lr=lr))
    losses = [
        step.train_step([batch(0)], lr=lr, step=number).loss for number in range(1, 61)
    ]
    assert losses[0] == pytest.approx(math.log(11), abs=0.05)
    assert losses[-1] < 0.8


@pytest.mark.parametrize("ignored", [0.0, 0.5])
def test_small_batches_add_up_to_the_big_one(backend, ignored):
    tokens, targets = batch(3, rows=6, ignored=ignored)
    big = compiled(backend, rows=6)
    expected = big.train_step([(tokens, targets)], lr=0.01, step=1)
    accumulated = compiled(backend, rows=2)
    parts = [(tokens[i : i + 2], targets[i : i + 2]) for i in (0, 2, 4)]
    if ignored:
        assert len({int((y >= 0).sum()) for _, y in parts}) > 1
    for _ in range(2):
        # The second step must not add to the first one's gradients.
        result = accumulated.train_step(parts, lr=0.0, step=1)
        assert result.loss == pytest.approx(expected.loss, rel=1e-6)
        assert result.grad_norm == pytest.approx(expected.grad_norm, rel=1e-5)
        for name, value in big.gradients().items():
            found = accumulated.gradients()[name]
            size = np.abs(value).max()
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5 * size)


def test_the_same_seed_gives_the_same_bits(backend):
    model = small("modern", dropout=0.2)
    one, other = (compiled(backend, model) for _ in range(2))
    for number in range(1, 4):
        results = [
            s.train_step([batch(number)], lr=0.01, step=number) for s in (one, other)
        ]
        assert results[0] == results[1]
    assert same(one.state(), other.state())
    third = compiled(backend, model, train=TrainConfig(seed=2))
    assert not same(third.state(), compiled(backend, model).state())


def test_a_step_depends_on_its_number_through_dropout_alone(backend):
    for dropout, alike in ((0.0, True), (0.2, False)):
        step = compiled(backend, small(dropout=dropout))
        losses = {
            step.train_step([batch()], lr=0.0, step=n).loss for n in (1, 2, 2**40)
        }
        assert (len(losses) == 1) == alike
        again = {step.train_step([batch()], lr=0.0, step=n).loss for n in (2**40, 1, 2)}
        assert again == losses


def test_micro_batches_of_a_step_have_masks_of_their_own(backend):
    step = compiled(backend, small(dropout=0.5))
    twice = step.train_step([batch(), batch()], lr=0.0, step=1)
    losses = [step.train_step([batch()], lr=0.0, step=n).loss for n in (1, 2)]
    assert losses[0] != losses[1]
    assert twice.loss == pytest.approx(sum(losses) / 2, rel=1e-6)


def test_training_goes_on_exactly_from_a_saved_state(backend):
    model = small(dropout=0.1)
    optim = dataclasses.replace(OPTIM, optimizer="muon")
    step = compiled(backend, model, optim)
    for number in range(1, 4):
        step.train_step([batch(number)], lr=0.01, step=number)
    saved = step.state()
    expected = [step.train_step([batch(n)], lr=0.01, step=n) for n in (4, 5)]
    other = compiled(backend, model, optim)
    other.load_state(saved)
    assert same(other.state(), saved)
    assert [other.train_step([batch(n)], lr=0.01, step=n) for n in (4, 5)] == expected
    assert same(other.state(), step.state())


def test_state_has_every_parameter_and_slot_by_name(backend):
    step = compiled(backend)
    state = step.state()
    names = [p.name for p in parameters(small())]
    assert state.keys() == {
        *(f"model.{name}" for name in names),
        *(f"optim.{slot}.{name}" for slot in "mv" for name in names),
        "optim.updates",
    }
    first = initial_values(small(), TrainConfig().seed)
    assert all(np.array_equal(state[f"model.{n}"], v) for n, v in first.items())
    assert step.parameter_count == sum(p.size for p in parameters(small()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("model.wte.weight"), r"array 'model\.wte\.weight' is missing"),
        (lambda s: s.pop("optim.m.wpe.weight"), r"'optim\.m\.wpe\.weight' is missing"),
        (lambda s: s.pop("optim.updates"), r"'optim\.updates' is missing"),
        (
            lambda s: s.update({"model.more": s["model.norm.gain"]}),
            r"array 'model\.more' is not of this model",
        ),
        (
            lambda s: s.update({"scale.loss": s["optim.updates"]}),
            r"array 'scale\.loss' is not of this model",
        ),
        (
            lambda s: s.update({"model.wte.weight": s["model.wpe.weight"]}),
            r"'model\.wte\.weight' is \(8, 8\) float32.*\(11, 8\) float32",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(backend, change, message):
    step = compiled(backend)
    step.train_step([batch()], lr=0.01, step=1)
    before = step.state()
    wrong = {name: array * 0 for name, array in before.items()}
    change(wrong)
    with pytest.raises(CheckpointError, match=message):
        step.load_state(wrong)
    assert same(step.state(), before)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_step_that_is_not_finite_touches_nothing(backend, poison):
    step = compiled(backend)
    step.train_step([batch()], lr=0.01, step=1)
    good = step.state()
    bad = {name: array.copy() for name, array in good.items()}
    bad["model.blocks.0.attn.qkv.weight"][0, 0] = poison
    step.load_state(bad)
    with np.errstate(all="ignore"):
        result = step.train_step([batch()], lr=0.01, step=2)
    assert not result.applied
    assert not (math.isfinite(result.loss) and math.isfinite(result.grad_norm))
    after = step.state()
    assert all(np.array_equal(after[n], bad[n], equal_nan=n[0] == "m") for n in bad)
    step.load_state(good)
    assert step.train_step([batch()], lr=0.01, step=3).applied


def test_a_spike_is_skipped_and_leaves_no_trace(backend):
    """Not even in the bias corrections: they go by the updates that were done."""
    steady, spiked = compiled(backend), compiled(backend)
    result = spiked.train_step([batch(9)], lr=0.01, step=1, skip_above=1e-6)
    assert not result.applied
    assert same(spiked.state(), steady.state())
    for number in (1, 2):
        steady.train_step([batch(number)], lr=0.01, step=number)
        spiked.train_step([batch(number)], lr=0.01, step=number + 1, skip_above=1e6)
    assert same(spiked.state(), steady.state())


def test_clipping_shortens_the_gradient_and_keeps_its_direction(backend):
    def moved(clip):
        optim = OptimConfig(
            optimizer="sgd", momentum=0.0, weight_decay=0.0, grad_clip=clip
        )
        step = compiled(backend, optim=optim)
        before = step.state()
        result = step.train_step([batch()], lr=1.0, step=1)
        after = step.state()
        change = {n: after[n] - before[n] for n in before if n.startswith("model.")}
        length = math.sqrt(
            sum(float((c.astype(float) ** 2).sum()) for c in change.values())
        )
        return change, length, result.grad_norm

    free, length, norm = moved(0.0)
    assert length == pytest.approx(norm, rel=1e-4)
    clipped, shorter, reported = moved(norm / 4)
    assert reported == norm
    assert shorter == pytest.approx(norm / 4, rel=1e-4)
    for name, change in free.items():
        np.testing.assert_allclose(clipped[name], change / 4, rtol=1e-2, atol=1e-6)
    assert moved(norm * 2)[1] == pytest.approx(length)


def test_evaluation_sums_over_counted_targets_without_dropout(backend):
    step = compiled(backend, small(dropout=0.5))
    plain = compiled(backend, small())
    tokens, targets = batch(2, ignored=0.4)
    total, counted = step.eval_loss((tokens, targets))
    assert counted == (targets >= 0).sum()
    result = plain.train_step([(tokens, targets)], lr=0.0, step=1)
    assert total / counted == pytest.approx(result.loss, rel=1e-6)
    assert step.eval_loss((tokens, targets)) == (total, counted)
    assert step.eval_loss((tokens, np.full_like(targets, -1))) == (0.0, 0)


def test_a_step_without_targets_has_no_gradient(backend):
    step = compiled(backend)
    tokens, targets = batch()
    result = step.train_step([(tokens, np.full_like(targets, -1))], lr=0.01, step=1)
    assert (result.loss, result.grad_norm) == (0.0, 0.0)


class SignSGD(Optimizer):
    """A third party's: Bernstein et al. 2018, arXiv 1802.04434."""

    def scalars(self, lr, update):
        return {"signsgd.rate": lr}

    def slots(self, group):
        return {"steps": group.shape}

    def update(self, group, param, grad, slots, scalars):
        return param - sign(grad) * scalars["signsgd.rate"], {
            "steps": slots["steps"] + 1.0
        }


def test_a_third_party_brings_its_optimizer(backend):
    optimizers.register("signsgd")(SignSGD)
    try:
        optim = dataclasses.replace(OPTIM, optimizer="signsgd")
        step = compiled(backend, optim=optim)
        before = step.state()
        step.train_step([batch()], lr=0.5, step=1)
        after, grads = step.state(), step.gradients()
    finally:
        optimizers.unregister("signsgd")
    for name, grad in grads.items():
        expected = before[f"model.{name}"] - 0.5 * np.sign(grad)
        np.testing.assert_allclose(after[f"model.{name}"], expected, rtol=1e-6)
        assert (after[f"optim.steps.{name}"] == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": TrainConfig(precision="fp16")}, "precision = 'fp16'.*helios"),
        ({"model": small(vocab_size=0)}, "vocab_size = 0"),
        ({"model": small(activation="gulu")}, "activation = 'gulu'"),
        ({"optim": OptimConfig(optimizer="adm")}, "optimizer = 'adm'"),
        ({"rows": 0}, "batch = 0"),
    ],
)
def test_what_cannot_be_compiled_is_named(backend, change, message):
    with pytest.raises(ConfigError, match=message):
        compiled(backend, **change)
