"""A model with its optimizer, compiled for one batch shape: a `StepProgram`.

Four programs share one store of parameters, gradients and optimizer state:

    micro    loss of a micro-batch; its gradients, added to those before it
    norm     sum of the squares of all gradients
    update   parameters and optimizer state from the gradients
    eval     loss without dropout and without gradients

Between them the host decides: whether to clip, and whether to update at all. Knows no
data, schedule, checkpoint file or kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Assign, Backend, Program
from engine.config import ModelConfig, OptimConfig, TrainConfig, require
from engine.errors import CheckpointError, ConfigError
from engine.graph import Tensor, gradients, input_tensor, sum_squares
from engine.graph.passes import recompute_blocks
from engine.model import (
    Dropout,
    initial_values,
    negative_log_likelihood,
    parameter_layout,
    parameters,
)
from engine.model.layout import check_array
from engine.optim import GRAD_SCALE, make_optimizer, plan_updates
from engine.train.step import Batch, StepResult

Arrays = dict[str, NDArray[Any]]

MODEL, OPTIM = "model.", "optim."
#: Updates done, in the saved state: an optimizer's bias corrections go by it.
UPDATES = "optim.updates"
#: Added to the norm before it divides, as PyTorch's clip_grad_norm_ does.
NORM_EPS = 1e-6


class CompiledStep:
    """See `engine.train.step.StepProgram`. Made by `compile_step`."""

    def __init__(
        self,
        model: ModelConfig,
        optim: OptimConfig,
        train: TrainConfig,
        batch: int,
        backend: Backend,
    ) -> None:
        self.model, self.optim, self.train = model, optim, train
        self.batch_shape = (batch, model.block_size)
        self.backend = backend
        self.layout = parameter_layout(model)
        self._grad_buffers = {
            name: name.replace("params.", "grads.") for name in self.layout.buffers
        }
        self._grads = self.layout.moved(self._grad_buffers)
        self._optimizer = make_optimizer(optim)
        self._plan = plan_updates(self._optimizer, parameters(model), self.layout)
        self.store = backend.store(
            self.layout.buffers | self._grads.buffers | self._plan.slots.buffers
        )
        self.layout.write(self.store, initial_values(model, train.seed))
        self._updates = 0
        self._scalars: dict[str, NDArray[np.float32]] = {}
        self._counter = np.zeros(4, np.uint32)
        self.programs: dict[str, Program] = {
            "micro": self._micro(),
            "norm": self._norm(),
            "update": self._update(),
            "eval": self._eval(),
        }

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.size for parameter in parameters(self.model))

    def train_step(
        self,
        micro_batches: Sequence[Batch],
        *,
        lr: float,
        step: int,
        skip_above: float = math.inf,
    ) -> StepResult:
        """Run the micro-batches and, if loss and gradient are sound, one update.

        The gradient is that of the mean loss over all counted targets of the step, so
        that it does not matter how they are spread over the micro-batches.
        """
        counted = sum(int(np.count_nonzero(y >= 0)) for _, y in micro_batches)
        total = 0.0
        for index, (tokens, targets) in enumerate(micro_batches):
            inputs: Arrays = {
                "tokens": tokens,
                "targets": targets,
                "inverse_count": self._scalar("inverse_count", 1.0 / max(counted, 1)),
            }
            if self.model.dropout:
                micro_step = (step - 1) * len(micro_batches) + index
                inputs["counter"] = self._count(micro_step)
            result = self.programs["micro"].run(inputs, accumulate=index > 0)
            total += float(result["nll"])
        loss = total / max(counted, 1)
        squares = self.programs["norm"].run({})["squares"]
        norm = math.sqrt(squares) if squares >= 0.0 else math.nan
        applied = math.isfinite(loss) and math.isfinite(norm) and norm <= skip_above
        if applied:
            self._apply(lr, norm)
        return StepResult(loss, norm, applied)

    def eval_loss(self, batch: Batch) -> tuple[float, int]:
        """Summed negative log-likelihood and number of counted targets."""
        tokens, targets = batch
        result = self.programs["eval"].run({"tokens": tokens, "targets": targets})
        return float(result["nll"]), int(np.count_nonzero(targets >= 0))

    def state(self) -> Arrays:
        """Copies by name: "model.<parameter>", "optim.<slot>.<parameter>"."""
        model = self.layout.read(self.store)
        slots = self._plan.slots.read(self.store)
        return {
            **{MODEL + name: array for name, array in model.items()},
            **{OPTIM + name: array for name, array in slots.items()},
            UPDATES: np.array(self._updates, np.int64),
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `state` gave; CheckpointError, and no change, if it differs.

        The error names the array that is missing, unknown, or of another shape.
        """
        others = dict(arrays)
        model, slots = _take(others, MODEL), _take(others, OPTIM)
        updates = slots.pop(UPDATES.removeprefix(OPTIM), None)
        if updates is None:
            raise CheckpointError(f"array {UPDATES!r} is missing")
        check_array(UPDATES, updates, (), "int64")
        self.layout.check(model, MODEL)
        self._plan.slots.check(slots, OPTIM)
        for name in others:
            raise CheckpointError(f"array {name!r} is not of this model")
        self.layout.write(self.store, model)
        self._plan.slots.write(self.store, slots)
        self._updates = int(updates)

    def gradients(self) -> Arrays:
        """Copies of the last step's gradients, before clipping, by parameter."""
        return self._grads.read(self.store)

    def _apply(self, lr: float, norm: float) -> None:
        """One update, its gradients scaled so that their norm is at most the limit."""
        clip = self.optim.grad_clip
        scale = min(1.0, clip / (norm + NORM_EPS)) if clip else 1.0
        self._updates += 1
        values = self._optimizer.scalars(lr, self._updates) | {GRAD_SCALE: scale}
        self.programs["update"].run(
            {name: self._scalar(name, value) for name, value in values.items()}
        )

    def _scalar(self, name: str, value: float) -> NDArray[np.float32]:
        """A step input of shape () that holds `value`; made once for each name."""
        if name not in self._scalars:
            self._scalars[name] = np.empty((), np.float32)
        self._scalars[name][...] = value
        return self._scalars[name]

    def _count(self, micro_step: int) -> NDArray[np.int32]:
        """The dropout counter of a micro-step: what `engine.graph.dropout` says."""
        for index, word in enumerate((self.train.seed, micro_step)):
            self._counter[2 * index] = word & 0xFFFFFFFF
            self._counter[2 * index + 1] = word >> 32 & 0xFFFFFFFF
        return self._counter.view(np.int32)

    def _batch(self) -> tuple[Tensor, Tensor]:
        tokens = input_tensor("tokens", self.batch_shape, "int32")
        return tokens, input_tensor("targets", self.batch_shape, "int32")

    def _micro(self) -> Program:
        weights = self.layout.tensors()
        tokens, targets = self._batch()
        rate = self.model.dropout
        drop = Dropout(rate, input_tensor("counter", (4,), "int32")) if rate else None
        nll = negative_log_likelihood(self.model, weights, tokens, targets, drop)
        loss = nll * input_tensor("inverse_count", ())
        grads = gradients(loss, list(weights.values()))
        if self.train.remat == "block":
            nll, *grads = recompute_blocks([nll, *grads])
        assigns = [
            Assign(self._grads.pieces[name].tensor(), grad, accumulate=True)
            for name, grad in zip(weights, grads, strict=True)
        ]
        return self.backend.compile({"nll": nll}, assigns, store=self.store)

    def _norm(self) -> Program:
        total = None
        for tensor in self._grads.buffer_tensors():
            part = sum_squares(tensor)
            total = part if total is None else total + part
        assert total is not None
        return self.backend.compile({"squares": total}, store=self.store)

    def _update(self) -> Program:
        assigns = self._plan.assigns(
            self._grad_buffers, list(self._optimizer.scalars(self.optim.lr, 1))
        )
        return self.backend.compile({}, assigns, store=self.store)

    def _eval(self) -> Program:
        tokens, targets = self._batch()
        weights = self.layout.tensors()
        nll = negative_log_likelihood(self.model, weights, tokens, targets)
        return self.backend.compile({"nll": nll}, store=self.store)


def compile_step(
    model: ModelConfig,
    optim: OptimConfig,
    train: TrainConfig,
    batch: int,
    *,
    backend: Backend,
) -> CompiledStep:
    """Compile training for micro-batches of `batch` sequences of a whole block.

    Parameters begin with the first values that `train.seed` gives. Raises ConfigError
    for what the model, the optimizer or the backend cannot do.
    """
    require(batch >= 1, "batch", batch, "must be at least 1")
    if train.precision != "fp32":
        raise ConfigError(
            "precision",
            train.precision,
            f"the {backend.name} backend computes in fp32; fp16 and bf16 are for "
            "backend helios",
        )
    if train.remat == "auto":
        raise ConfigError("remat", "auto", "must be decided before compiling")
    return CompiledStep(model, optim, train, batch, backend)


def _take(arrays: Arrays, prefix: str) -> Arrays:
    """Move the arrays whose names begin with `prefix` out, without it."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}
