"""GPT models as graphs: their parameters, their layout in memory, their forward pass.

Knows shapes and names. Knows nothing about data, optimizers, training or devices.
"""

from engine.model.activations import Activation, activations
from engine.model.gpt import (
    Dropout,
    KVCache,
    hidden_states,
    logits,
    negative_log_likelihood,
)
from engine.model.layout import Layout, Piece, pack
from engine.model.parameters import (
    Kind,
    Parameter,
    initial_values,
    parameter_layout,
    parameters,
)

__all__ = [
    "Activation",
    "Dropout",
    "KVCache",
    "Kind",
    "Layout",
    "Parameter",
    "Piece",
    "activations",
    "hidden_states",
    "initial_values",
    "logits",
    "negative_log_likelihood",
    "pack",
    "parameter_layout",
    "parameters",
]
