"""Beam search: the continuations of highest probability, with a length penalty.

Source: Wu et al., "Google's Neural Machine Translation System", 2016 (arXiv
1609.08144), section 7, equation 14, without its coverage term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import require
from engine.generate.decoder import Decoder
from engine.generate.generation import CONTEXT, LENGTH, STOP, Limits


@dataclass(frozen=True)
class Hypothesis:
    """A continuation: its tokens (a stop token included), log-probability and score.

    score   log-probability over the length penalty: higher is better
    finish  why it ended: "stop", "length" or "context"
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    finish: str


@dataclass(frozen=True)
class _Beam:
    tokens: tuple[int, ...]
    log_probability: float


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^alpha: 1 for one token; alpha 0 favours short texts."""
    return float(((5.0 + length) / 6.0) ** alpha)


def beam_search(
    decoder: Decoder,
    prompt: Sequence[int],
    limits: Limits,
    *,
    alpha: float = 0.6,
) -> list[Hypothesis]:
    """The best continuations, at most one for each row of `decoder`, the best first.

    Every row is a beam. A beam that ends gives up its place, so that one row is greedy
    search. A full context ends the search; it never slides. Raises InputError for a
    prompt that is empty or does not fit.
    """
    require(alpha >= 0, "length_penalty", alpha, "must be >= 0")
    scores = decoder.prefill(0, list(prompt))[np.newaxis]
    done: list[Hypothesis] = []
    beams = [_Beam((), 0.0)]
    room = decoder.model.block_size - len(prompt) + 1
    longest = min(limits.max_tokens, room)
    for length in range(1, longest + 1):
        chosen = _best(beams, scores, decoder.rows - len(done))
        alive: list[tuple[int, _Beam]] = []
        for parent, token, total in chosen:
            beam = _Beam((*beams[parent].tokens, token), total)
            if token in limits.stop_ids:
                done.append(_ended(beam, alpha, STOP))
            else:
                alive.append((parent, beam))
        beams = [beam for _, beam in alive]
        if not beams or length == longest:
            break
        _keep_rows(decoder, [parent for parent, _ in alive])
        fed = [beam.tokens[-1] for beam in beams]
        fed += [0] * (decoder.rows - len(fed))
        scores = decoder.decode(fed)[: len(beams)]
    finish = LENGTH if limits.max_tokens <= room else CONTEXT
    done += [_ended(beam, alpha, finish) for beam in beams]
    return sorted(done, key=lambda hypothesis: -hypothesis.score)


def _best(
    beams: Sequence[_Beam], scores: NDArray[np.float32], count: int
) -> list[tuple[int, int, float]]:
    """The `count` likeliest next steps: (beam, token, log-probability of all).

    Where two are equal the earlier beam, then the lower token, goes first.
    """
    rows = scores.astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    rows += np.array([[beam.log_probability] for beam in beams])
    flat = rows.ravel()
    count = min(count, flat.size)
    least = np.partition(flat, -count)[-count]
    candidates = np.flatnonzero(flat >= least)
    order = candidates[np.argsort(-flat[candidates], kind="stable")][:count]
    width = rows.shape[1]
    return [(int(i) // width, int(i) % width, float(flat[i])) for i in order]


def _keep_rows(decoder: Decoder, parents: list[int]) -> None:
    """Give each beam its parent's cache; rows without a beam take any."""
    parents = parents + [parents[0]] * (decoder.rows - len(parents))
    if parents != list(range(decoder.rows)):
        decoder.reorder(parents)


def _ended(beam: _Beam, alpha: float, finish: str) -> Hypothesis:
    score = beam.log_probability / length_penalty(len(beam.tokens), alpha)
    return Hypothesis(beam.tokens, beam.log_probability, score, finish)
