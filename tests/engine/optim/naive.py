"""The optimizers as their papers have them: one parameter at a time, float64.

Shares no code with the engine. Each class holds the state of one parameter; `step`
takes its gradient and moves it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from engine.config import OptimConfig
from engine.model import Kind, Parameter

Array = NDArray[np.float64]


class Naive(ABC):
    """State of one parameter; `value` is the parameter itself."""

    def __init__(self, config: OptimConfig, parameter: Parameter, value: Array) -> None:
        self.config, self.parameter = config, parameter
        self.value = value.copy()
        self.t = 0
        self.decay = config.weight_decay if value.ndim == 2 else 0.0

    def step(self, grad: Array, lr: float) -> None:
        self.t += 1
        self.move(grad, lr)

    @abstractmethod
    def move(self, grad: Array, lr: float) -> None:
        """Move `value` by one update."""


class AdamW(Naive):
    m = v = 0.0

    def move(self, grad: Array, lr: float) -> None:
        b1, b2 = self.config.beta1, self.config.beta2
        self.m = b1 * self.m + (1 - b1) * grad
        self.v = b2 * self.v + (1 - b2) * grad**2
        m_hat = self.m / (1 - b1**self.t)
        v_hat = self.v / (1 - b2**self.t)
        self.value = self.value - lr * (
            m_hat / (v_hat**0.5 + self.config.eps) + self.decay * self.value
        )


class Lion(Naive):
    m = 0.0

    def move(self, grad: Array, lr: float) -> None:
        b1, b2 = self.config.beta1, self.config.beta2
        direction = np.sign(b1 * self.m + (1 - b1) * grad)
        self.value = self.value - lr * (direction + self.decay * self.value)
        self.m = b2 * self.m + (1 - b2) * grad


class SGD(Naive):
    velocity = 0.0

    def move(self, grad: Array, lr: float) -> None:
        self.velocity = self.config.momentum * self.velocity + grad
        self.value = self.value - lr * (self.velocity + self.decay * self.value)


class Adafactor(Naive):
    """Algorithms 4 and 5; sums where the paper has sums."""

    rows = columns = v = 0.0

    def move(self, grad: Array, lr: float) -> None:
        beta2 = 1 - self.t**-0.8
        squares = grad**2 + 1e-30
        if grad.ndim == 2:
            self.rows = beta2 * self.rows + (1 - beta2) * squares.sum(axis=1)
            self.columns = beta2 * self.columns + (1 - beta2) * squares.sum(axis=0)
            v_hat = np.outer(self.rows, self.columns) / self.rows.sum()
        else:
            v_hat = self.v = beta2 * self.v + (1 - beta2) * squares
        u = grad / np.sqrt(v_hat)
        u = u / max(1.0, np.sqrt((u**2).mean()))
        size = max(1e-3, float(np.sqrt((self.value**2).mean())))
        self.value = self.value - lr * (size * u + self.decay * self.value)


class Muon(Naive):
    """Nesterov momentum, then five quintic iterations on each part by itself."""

    momentum = 0.0

    def move(self, grad: Array, lr: float) -> None:
        rate = self.config.muon_lr * lr / self.config.lr
        self.momentum = self.config.momentum * self.momentum + grad
        ahead = grad + self.config.momentum * self.momentum
        ends = np.cumsum(self.parameter.parts)[:-1]
        moves = [self.orthogonal(part) for part in np.split(ahead, ends, axis=1)]
        self.value = self.value * (1 - rate * self.decay)
        self.value = self.value - rate * np.concatenate(moves, axis=1)

    @staticmethod
    def orthogonal(part: Array) -> Array:
        """By the singular values: the quintic keeps the singular vectors."""
        u, s, v = np.linalg.svd(part, full_matrices=False)
        s = s / np.sqrt((s**2).sum())
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        inputs, outputs = part.shape
        return (u * s) @ v * max(1.0, outputs / inputs) ** 0.5


def naive_muon(config: OptimConfig, parameter: Parameter, value: Array) -> Naive:
    """Muon for hidden matrices, AdamW for the rest."""
    cls = Muon if parameter.kind is Kind.MATRIX else AdamW
    return cls(config, parameter, value)


NAIVE = {
    "adamw": AdamW,
    "lion": Lion,
    "sgd": SGD,
    "adafactor": Adafactor,
    "muon": naive_muon,
}
