"""Decoders of small models whose weights make for lively texts, and their truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.backends.numpy import NumpyBackend
from engine.config import ModelConfig
from engine.generate import Decoder
from engine.model import Kind, parameters
from tests.engine.model import naive

BACKEND = NumpyBackend(1)

Weights = dict[str, NDArray[np.float32]]


def weights_of(config: ModelConfig, seed: int = 1) -> Weights:
    random = np.random.default_rng(seed)
    return {
        p.name: random.normal(p.kind is Kind.GAIN, 0.6, p.shape).astype(np.float32)
        for p in parameters(config)
    }


def decoder_of(config: ModelConfig, rows: int = 1, seed: int = 1) -> Decoder:
    decoder = Decoder(config, BACKEND, rows)
    decoder.load(weights_of(config, seed))
    return decoder


class Truth:
    """Scores without a cache, from the naive model in float64."""

    def __init__(self, config: ModelConfig, seed: int = 1) -> None:
        self.config = config
        self.weights = {
            name: value.astype(np.float64)
            for name, value in weights_of(config, seed).items()
        }

    def scores(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        """Of the token after `tokens`: (V,)."""
        return naive.logits(self.config, self.weights, list(tokens))[-1]

    def chances(self, tokens: Sequence[int]) -> NDArray[np.float64]:
        weights = np.exp(self.scores(tokens) - self.scores(tokens).max())
        return np.asarray(weights / weights.sum())

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(self.scores(tokens).argmax()))
        return tokens[len(prompt) :]
