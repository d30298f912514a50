"""From scores to the next token: temperature, cuts, penalties, and replayable chance.

The chance is Philox's: token number i of a sequence is drawn with number i of the
sequence named by (seed, row). So the same seed gives the same text, and a text that is
given back as a prompt goes on as it would have. Knows scores and counts of tokens;
knows no model and no text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import check_finite, require
from engine.random import Stream, uniform

Floats = NDArray[np.float64]

#: Random numbers made at once: Philox in NumPy costs as much for one as for hundreds.
DRAWN_AHEAD = 256


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen from its scores, in this order.

    repetition_penalty   scores of tokens seen, prompt included, are divided by it
                         (multiplied where negative); 1: none (Keskar et al. 2019,
                         arXiv 1909.05858, section 4.1)
    presence_penalty     subtracted from the scores of tokens generated before
    frequency_penalty    subtracted once for each time that a token was generated
    temperature          scores are divided by it; 0: take the best, and no chance
    top_k                only tokens no worse than the k-th best; 0: all
    top_p                only the best tokens that together have this probability
                         (Holtzman et al. 2020, arXiv 1904.09751); 1: all
    min_p                only tokens at least so probable, relative to the best
                         (Nguyen et al. 2024, arXiv 2407.01082); 0: all
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_finite(self)
        require(self.temperature >= 0, "temperature", self.temperature, "must be >= 0")
        require(self.top_k >= 0, "top_k", self.top_k, "must be >= 0")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "must lie in (0, 1]")
        require(0 <= self.min_p <= 1, "min_p", self.min_p, "must lie in [0, 1]")
        penalty = self.repetition_penalty
        require(penalty > 0, "repetition_penalty", penalty, "must be positive")
        require(0 <= self.seed < 1 << 64, "seed", self.seed, "must be in [0, 2**64)")

    @property
    def penalised(self) -> bool:
        """Whether tokens seen before weigh less."""
        plain = (self.repetition_penalty, self.presence_penalty, self.frequency_penalty)
        return plain != (1.0, 0.0, 0.0)


GREEDY = Sampling(temperature=0.0)


class Sampler:
    """Chooses the tokens of one sequence, the `row`-th of those with its seed."""

    def __init__(
        self, sampling: Sampling, vocab: int, prompt: Iterable[int] = (), row: int = 0
    ) -> None:
        self.sampling, self.row = sampling, row
        self._ahead = np.empty(0, np.float32)
        self._first = 0
        self._seen = np.zeros(vocab, bool)
        self._generated = np.zeros(vocab, np.int64)
        self._position = 0
        for token in prompt:
            self._seen[token] = True
            self._position += 1

    def choose(self, scores: NDArray[np.float32]) -> int:
        """The next token, given its scores (V,), which are left as they are."""
        if self.sampling.penalised:
            scores = self._penalise(scores)
        if self.sampling.temperature == 0.0:
            token = int(scores.argmax())
        else:
            chance = self._chance(self._position)
            tokens, probabilities = distribution(scores, self.sampling)
            token = pick(probabilities, chance)
            if tokens is not None:
                token = int(tokens[token])
        self._position += 1
        if self.sampling.penalised:
            self._seen[token] = True
            self._generated[token] += 1
        return token

    def _penalise(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        sampling = self.sampling
        factor = np.where(
            scores > 0, 1.0 / sampling.repetition_penalty, sampling.repetition_penalty
        )
        lowered = np.where(self._seen, scores * factor, scores)
        lowered -= sampling.presence_penalty * (self._generated > 0)
        lowered -= sampling.frequency_penalty * self._generated
        return lowered.astype(np.float32)

    def _chance(self, position: int) -> float:
        """Number `position` of this sequence's random numbers, in [0, 1)."""
        offset = position - self._first
        if not 0 <= offset < len(self._ahead):
            self._first, offset = position, 0
            self._ahead = uniform(
                self.sampling.seed, Stream.SAMPLE, self.row, DRAWN_AHEAD, position
            )
        return float(self._ahead[offset])


def distribution(
    scores: NDArray[np.float32], sampling: Sampling
) -> tuple[NDArray[np.intp] | None, Floats]:
    """Tokens that may come, None for all, and their probabilities up to a factor.

    scores (V,). With top_p the tokens come the most probable first; the lower id goes
    first where two are equal.
    """
    tokens = None
    if 0 < sampling.top_k < len(scores):
        least = np.partition(scores, -sampling.top_k)[-sampling.top_k]
        tokens = np.flatnonzero(scores >= least)
        scores = scores[tokens]
    weights = np.exp((scores - scores.max()) / np.float64(sampling.temperature))
    if sampling.top_p < 1.0:
        kept = nucleus(weights, sampling.top_p)
        tokens = kept if tokens is None else tokens[kept]
        weights = weights[kept]
    if sampling.min_p > 0.0:
        kept = np.flatnonzero(weights >= sampling.min_p * weights.max())
        tokens = kept if tokens is None else tokens[kept]
        weights = weights[kept]
    return tokens, weights


def nucleus(weights: Floats, top_p: float) -> NDArray[np.intp]:
    """Places of the fewest weights that make up a share `top_p`, the largest first.

    A weight below its even part of the rest can never belong to them: all such
    together are less than the rest. They are left out before the sort.
    """
    total = weights.sum()
    large = np.flatnonzero(weights >= (1.0 - top_p) * total / len(weights))
    order = large[np.argsort(-weights[large], kind="stable")]
    before = np.cumsum(weights[order]) - weights[order]
    kept: NDArray[np.intp] = order[before < top_p * total]
    return kept


def pick(weights: Floats, chance: float) -> int:
    """The place at which the running sum of `weights` passes a share `chance`."""
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, chance * sums[-1], side="right"))
