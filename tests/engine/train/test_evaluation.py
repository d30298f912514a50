import math

import numpy as np
import pytest

from engine.backends import backends
from engine.config import ModelConfig, OptimConfig, TrainConfig
from engine.data import TokenStore, eval_batches
from engine.errors import CheckpointError, DataError
from engine.train.compile import compile_step
from engine.train.evaluation import Evaluation, Evaluator

MODEL = ModelConfig(vocab_size=11, block_size=8, n_layer=1, n_head=2, n_embd=8)


def test_it_gives_the_loss_that_the_training_step_gives() -> None:
    backend = backends.get("numpy")(1)
    step = compile_step(MODEL, OptimConfig(), TrainConfig(), 3, backend=backend)
    state = step.state()
    evaluator = Evaluator(MODEL, 3, backend)
    evaluator.load(
        {n.removeprefix("model."): a for n, a in state.items() if n[:6] == "model."}
    )
    store = TokenStore.of(np.arange(60) % 11)
    batches = list(eval_batches(store, 3, 8))
    found = evaluator.evaluate(batches)
    sums = [step.eval_loss(batch) for batch in batches]
    assert found.tokens == sum(count for _, count in sums) == 59
    assert found.loss == pytest.approx(sum(loss for loss, _ in sums) / 59)


def test_weights_that_do_not_fit_are_named() -> None:
    evaluator = Evaluator(MODEL, 1, backends.get("numpy")(1))
    with pytest.raises(CheckpointError, match=r"model\.wte\.weight"):
        evaluator.load({})


def test_a_text_without_targets_is_refused() -> None:
    evaluator = Evaluator(MODEL, 1, backends.get("numpy")(1))
    nothing = (np.zeros((1, 8), np.int32), np.full((1, 8), -1, np.int32))
    with pytest.raises(DataError, match="no token that counts"):
        evaluator.evaluate([nothing])


def test_a_loss_in_other_units() -> None:
    found = Evaluation(loss=math.log(8.0), tokens=100)
    assert found.perplexity == pytest.approx(8.0)
    assert found.bits_per_byte(targets=100, target_bytes=300) == pytest.approx(1.0)
    assert Evaluation(1e4, 1).perplexity == math.inf
