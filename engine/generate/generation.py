"""Sequences continued together, token by token; each may begin and end when it likes.

Knows a decoder, how to choose tokens, and when to stop. Knows no text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import require
from engine.errors import InputError
from engine.generate.decoder import Decoder
from engine.generate.sampling import Sampler, Sampling

#: Why a sequence ended: a stop token, enough tokens, or a full context.
STOP, LENGTH, CONTEXT = "stop", "length", "context"


@dataclass(frozen=True)
class Limits:
    """When a sequence ends.

    max_tokens  tokens to generate at most
    stop_ids    tokens after which it ends
    slide       what a full context does. True: the later half of it is prefilled
                again, alone, and the sequence goes on; that costs one prefill every
                half context. False: the sequence ends.
    """

    max_tokens: int = 128
    stop_ids: frozenset[int] = frozenset()
    slide: bool = True

    def __post_init__(self) -> None:
        require(
            self.max_tokens >= 1, "max_tokens", self.max_tokens, "must be at least 1"
        )


@dataclass(frozen=True)
class Emitted:
    """A token that row `row` chose; `finish` says why it was the last, if it was."""

    row: int
    token: int
    finish: str = ""


@dataclass
class _Sequence:
    """One row's sequence: its tokens so far, the last of them not yet fed."""

    tokens: list[int]
    sampler: Sampler
    limits: Limits
    generated: int = 0
    scores: NDArray[np.float32] | None = None


class Generation:
    """The sequences in the rows of a decoder."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._rows: dict[int, _Sequence] = {}
        self._fed = [0] * decoder.rows

    @property
    def active(self) -> list[int]:
        """Rows whose sequences have not ended."""
        return sorted(self._rows)

    @property
    def free(self) -> list[int]:
        """Rows in which a sequence can begin."""
        return [row for row in range(self.decoder.rows) if row not in self._rows]

    def start(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        limits: Limits,
        *,
        draw: int = 0,
    ) -> int:
        """Begin a sequence with `prompt`: its row, which is busy until it ends.

        `draw` tells sequences of one seed apart. Of a prompt longer than the context
        a sliding sequence sees the end. Raises InputError for an empty prompt, one
        that does not fit, a token outside the vocabulary, or when no row is free.
        """
        if not self.free:
            raise InputError(f"all {self.decoder.rows} rows are busy")
        row = self.free[0]
        tokens = [int(token) for token in prompt]
        seen = tokens[-self.decoder.model.block_size :] if limits.slide else tokens
        scores = self.decoder.prefill(row, seen)
        sampler = Sampler(sampling, self.decoder.model.vocab_size, tokens, draw)
        self._rows[row] = _Sequence(tokens, sampler, limits, scores=scores)
        return row

    def cancel(self, row: int) -> None:
        """End the sequence of `row`."""
        self._rows.pop(row, None)

    def step(self) -> list[Emitted]:
        """One more token of every active row."""
        self._feed()
        emitted = []
        for row, sequence in list(self._rows.items()):
            assert sequence.scores is not None
            token = sequence.sampler.choose(sequence.scores)
            sequence.scores = None
            sequence.tokens.append(token)
            sequence.generated += 1
            finish = self._finish(row, sequence, token)
            if finish:
                del self._rows[row]
            emitted.append(Emitted(row, token, finish))
        return emitted

    def _finish(self, row: int, sequence: _Sequence, token: int) -> str:
        limits = sequence.limits
        if token in limits.stop_ids:
            return STOP
        if sequence.generated >= limits.max_tokens:
            return LENGTH
        return CONTEXT if self._full(row) and not limits.slide else ""

    def _full(self, row: int) -> bool:
        return int(self.decoder.lengths[row]) >= self.decoder.model.block_size

    def _feed(self) -> None:
        """Give the decoder the tokens chosen last, so that every row has scores."""
        waiting = []
        for row, sequence in self._rows.items():
            if sequence.scores is not None:
                continue
            if self._full(row):
                keep = max(1, self.decoder.model.block_size // 2)
                sequence.scores = self.decoder.prefill(row, sequence.tokens[-keep:])
            else:
                self._fed[row] = sequence.tokens[-1]
                waiting.append(row)
        if waiting:
            everyone = len(waiting) == self.decoder.rows
            scores = self.decoder.decode(self._fed, None if everyone else waiting)
            for row in waiting:
                self._rows[row].scores = scores[row]


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limits: Limits | None = None,
    *,
    draw: int = 0,
) -> Iterator[Emitted]:
    """Continue `prompts`, as many at once as the decoder has rows; tokens as they come.

    `Emitted.row` is the prompt's number here. Prompt i draws its chance from
    (seed, draw + i).
    """
    limits = limits or Limits()
    generation = Generation(decoder)
    number: dict[int, int] = {}
    waiting = iter(enumerate(prompts))
    while True:
        while generation.free and (entry := next(waiting, None)) is not None:
            index, prompt = entry
            row = generation.start(prompt, sampling, limits, draw=draw + index)
            number[row] = index
        if not generation.active:
            return
        for token in generation.step():
            yield Emitted(number[token.row], token.token, token.finish)
