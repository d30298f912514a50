"""Recomputing a block's activations: less memory, and the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends import NumpyBackend
from engine.config import ModelConfig, OptimConfig, TrainConfig
from engine.errors import ConfigError
from engine.train.compile import CompiledStep, compile_step
from engine.train.memory import fit_remat, step_memory

OPTIM = OptimConfig()
MODERN = {
    "position": "rotary",
    "norm": "rmsnorm",
    "activation": "swiglu",
    "qk_norm": True,
    "bias": False,
}


def model(**options: object) -> ModelConfig:
    sizes = {"vocab_size": 31, "block_size": 16, "n_layer": 3, "n_head": 2}
    return ModelConfig(**{**sizes, "n_embd": 32, **options})  # type: ignore[arg-type]


def trained(config: ModelConfig, remat: str) -> CompiledStep:
    """Three steps of two micro-batches on random tokens."""
    step = compile_step(
        config, OPTIM, TrainConfig(remat=remat), 4, backend=NumpyBackend(2)
    )
    rng = np.random.default_rng(5)
    for count in range(1, 4):
        tokens = rng.integers(31, size=(4, 4, 16), dtype=np.int32)
        step.train_step(
            [(tokens[0], tokens[1]), (tokens[2], tokens[3])], lr=1e-2, step=count
        )
    return step


@pytest.mark.parametrize(
    "options",
    [{}, {"dropout": 0.2}, {"attention_softcap": 5.0, "logit_softcap": 9.0}, MODERN],
    ids=["gpt2", "dropout", "softcap", "modern"],
)
def test_parameters_are_bit_for_bit_those_of_kept_activations(
    options: dict[str, object],
) -> None:
    kept = trained(model(**options), "none").state()
    again = trained(model(**options), "block").state()
    for name, array in kept.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_memory_no_longer_grows_with_every_activation_of_every_block() -> None:
    config = model(n_layer=12, n_embd=64, block_size=256)
    arena = {
        remat: compile_step(
            config, OPTIM, TrainConfig(remat=remat), 16, backend=NumpyBackend(1)
        )
        .programs["micro"]
        .plan.arena
        for remat in ("none", "block")
    }
    assert arena["block"] < 0.6 * arena["none"]


def test_auto_recomputes_only_where_activations_do_not_fit() -> None:
    config = model(n_layer=12, n_embd=64, block_size=256)
    backend = NumpyBackend(1)
    train = TrainConfig(remat="auto")
    whole = step_memory(
        compile_step(config, OPTIM, TrainConfig(), 16, backend=backend)
    ).total
    roomy = fit_remat(config, OPTIM, train, 16, backend, whole)
    tight = fit_remat(config, OPTIM, train, 16, backend, whole - 1)
    assert roomy.train.remat == "none"
    assert tight.train.remat == "block"
    assert step_memory(tight).total < whole


def test_compiling_wants_a_decision() -> None:
    with pytest.raises(ConfigError, match="remat = 'auto'"):
        compile_step(
            model(), OPTIM, TrainConfig(remat="auto"), 1, backend=NumpyBackend(1)
        )
