"""Floating-point operations of a model, counted from its shape.

A multiplication and an addition count as two. Only matrix products count: the rest
is less than a percent of them for any model worth training.
"""

from __future__ import annotations

from engine.config import ModelConfig
from engine.model import Kind, parameters


def forward_flops_per_token(model: ModelConfig) -> int:
    """Operations of the forward pass for one token of a full block.

    2 for each number in a matrix, the head's included, and for attention 2 * dim a
    layer and pair of positions for the scores and as many for the values, of which
    the causal mask leaves (block + 1) / 2 pairs a token.
    """
    matrices = sum(p.size for p in parameters(model) if p.kind is Kind.MATRIX)
    head = model.vocab_size * model.n_embd
    pairs = (model.block_size + 1) / 2
    attention = 4 * model.n_layer * model.n_embd * pairs
    return round(2 * (matrices + head) + attention)


def training_flops_per_token(model: ModelConfig) -> int:
    """Operations of a training step for one token: the backward pass costs twice

    the forward pass (Kaplan et al., "Scaling Laws for Neural Language Models", 2020,
    section 2.1).
    """
    return 3 * forward_flops_per_token(model)
