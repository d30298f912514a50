import pytest

from engine.backends import backends
from engine.config import ModelConfig, OptimConfig, TrainConfig
from engine.errors import ConfigError
from engine.train.compile import compile_step
from engine.train.memory import available_memory, fit_batch, step_memory

MODEL = ModelConfig(vocab_size=64, block_size=16, n_layer=1, n_head=2, n_embd=16)
OPTIM, TRAIN = OptimConfig(), TrainConfig(batch="auto")


def taken(batch: int) -> int:
    backend = backends.get("numpy")(1)
    return step_memory(compile_step(MODEL, OPTIM, TRAIN, batch, backend=backend)).total


def test_a_step_takes_parameters_gradients_optimizer_state_and_activations() -> None:
    backend = backends.get("numpy")(1)
    step = compile_step(MODEL, OPTIM, TRAIN, 2, backend=backend)
    memory = step_memory(step)
    assert memory.parameters >= 4 * step.parameter_count
    assert memory.gradients == memory.parameters
    assert memory.optimizer == 2 * memory.parameters
    assert memory.activations > 0
    assert memory.total == (4 * memory.parameters + memory.activations + memory.scratch)


@pytest.mark.parametrize("wanted", [1, 2, 7, 40])
def test_the_largest_batch_that_fits_is_found(wanted: int) -> None:
    limit = taken(wanted)
    step = fit_batch(MODEL, OPTIM, TRAIN, backends.get("numpy")(1), limit)
    assert step.batch_shape == (wanted, 16)


def test_a_model_of_which_not_one_sequence_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch = 'auto': one sequence takes"):
        fit_batch(MODEL, OPTIM, TRAIN, backends.get("numpy")(1), taken(1) - 1)


def test_this_machine_has_memory() -> None:
    assert 1 << 24 < available_memory() < 1 << 50
