"""Samples while a model trains: what it writes after the domain's prompts.

Knows the generation programs and a tokenizer. Knows no trainer: it is handed weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from engine.backends import Backend
from engine.config import ModelConfig, TrainConfig
from engine.data import TokenStore
from engine.errors import TokenizerError
from engine.generate import Decoder, Limits, Sampling, complete, end_of_text
from engine.random import Stream, integers
from engine.tokenizers import USER, Tokenizer, render_chat

Weights = Mapping[str, NDArray[Any]]

#: Tokens of the validation text that are a prompt where no domain brings one.
PROMPT_TOKENS = 16


class PromptSampler:
    """Continues prompts with the weights of the moment.

    `weights` gives the model's parameters by name; it is called once a step that
    samples. The same seed, step and prompt give the same text.
    """

    def __init__(
        self,
        model: ModelConfig,
        train: TrainConfig,
        tokenizer: Tokenizer,
        backend: Backend,
        weights: Callable[[], Weights],
    ) -> None:
        self._model, self._train, self._backend = model, train, backend
        self._tokenizer, self._weights = tokenizer, weights
        self._decoder: Decoder | None = None
        self._step = -1

    def __call__(self, prompt: str, step: int, index: int) -> str:
        """What follows `prompt`, the run's prompt number `index`, at `step`."""
        if self._decoder is None:
            self._decoder = Decoder(self._model, self._backend)
        if step != self._step:
            self._decoder.load(self._weights())
            self._step = step
        drawn = integers(self._train.seed, Stream.SAMPLE, step, index + 1, 1 << 48)
        sampling = Sampling(self._train.sample_temperature, seed=int(drawn[index]))
        limits = Limits(self._train.sample_tokens, end_of_text(self._tokenizer))
        ids = prompt_ids(self._tokenizer, prompt)
        return complete(self._decoder, self._tokenizer, ids, sampling, limits).text


def prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """A prompt's tokens; a tokenizer made for chats takes it as a user's message."""
    if USER in tokenizer.special_tokens:
        message = {"role": "user", "content": prompt}
        ids, _ = render_chat(tokenizer, [message], reply=True)
    else:
        ids = tokenizer.encode(prompt)
    return [int(token) for token in ids]


def usable_prompts(
    prompts: Sequence[str], tokenizer: Tokenizer, validation: TokenStore
) -> tuple[list[str], list[str]]:
    """The prompts that can be encoded, and those that cannot.

    Where none is left, the first tokens of the validation text are the prompt.
    """
    usable: list[str] = []
    refused: list[str] = []
    for prompt in prompts:
        try:
            known = bool(prompt_ids(tokenizer, prompt))
        except TokenizerError:
            known = False
        (usable if known else refused).append(prompt)
    if not usable:
        count = min(PROMPT_TOKENS, len(validation))
        usable = [tokenizer.decode(validation.tokens(0, count))]
    return usable, refused
