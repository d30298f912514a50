"""Adafactor: second moments of a matrix kept as one row and one column.

Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory
Cost", ICML 2018 (arXiv 1804.04235), algorithms 4 and 5 with the proposed constants;
no first moment; the relative step size rho is the learning rate of the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.graph import Tensor, maximum, mean, reshape, rsqrt, sqrt, square
from engine.graph.node import Shape, as_tensor
from engine.optim.base import Group, Optimizer, Tensors, optimizers

#: Section 9: added to squared gradients; least scale of a parameter; largest RMS of
#: an update before the learning rate; exponent of the growth of beta2.
EPS_SQUARE = 1e-30
EPS_SCALE = 1e-3
THRESHOLD = 1.0
DECAY_EXPONENT = 0.8


@optimizers.register("adafactor")
class Adafactor(Optimizer):
    """rows, columns: means of the squared gradient; v: all of it, without two axes.

    The rate is relative to a parameter's own size: 0.01 to 0.03 where AdamW has 0.001.
    """

    elementwise = False

    def scalars(self, lr: float, update: int) -> dict[str, float]:
        """beta2 begins at 0, so that no bias needs correction (section 7.2)."""
        keep = 1.0 - update**-DECAY_EXPONENT
        return {
            "adafactor.rate": lr,
            "adafactor.beta2": keep,
            "adafactor.keep": 1.0 - lr * self.config.weight_decay,
        }

    def slots(self, group: Group) -> dict[str, Shape]:
        """A row and a column for a matrix; otherwise a number for every parameter."""
        if len(group.shape) == 2:
            return {"rows": group.shape[:1], "columns": group.shape[1:]}
        return {"v": group.shape}

    def update(
        self,
        group: Group,
        param: Tensor,
        grad: Tensor,
        slots: Mapping[str, Tensor],
        scalars: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensors]:
        """Algorithm 4 for matrices, 5 for vectors."""
        beta2 = scalars["adafactor.beta2"]
        squares = square(grad) + EPS_SQUARE
        new = {
            name: slots[name] * beta2 + part * (1.0 - beta2)
            for name, part in _parts(squares).items()
        }
        step = grad * _inverse_root(new, group.shape)
        step = step / maximum(as_tensor(1.0, step.dtype), _rms(step) / THRESHOLD)
        scale = maximum(as_tensor(EPS_SCALE, param.dtype), _rms(param))
        kept = param * scalars["adafactor.keep"] if group.decay else param
        return kept - step * (scale * scalars["adafactor.rate"]), new


def _parts(squares: Tensor) -> Tensors:
    """What of the squared gradients is kept: means of rows and columns, or all."""
    if len(squares.shape) != 2:
        return {"v": squares}
    return {"rows": mean(squares, [1]), "columns": mean(squares, [0])}


def _inverse_root(slots: Tensors, shape: Shape) -> Tensor:
    """1 / sqrt of the second moments; a matrix's are rows x columns / mean(rows)."""
    if "v" in slots:
        return rsqrt(slots["v"])
    rows = rsqrt(slots["rows"] / mean(slots["rows"]))
    columns = rsqrt(slots["columns"])
    return reshape(rows, (shape[0], 1)) * reshape(columns, (1, shape[1]))


def _rms(x: Tensor) -> Tensor:
    return sqrt(mean(square(x)))
