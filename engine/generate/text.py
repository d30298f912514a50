"""Generated tokens as text while they come, ended by stop strings.

Knows a tokenizer and generations. Knows no prompt's meaning and no terminal.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from engine.generate.decoder import Decoder
from engine.generate.generation import STOP, Emitted, Limits, generate
from engine.generate.sampling import Sampling
from engine.generate.stop import StopFinder
from engine.tokenizers import END_OF_TEXT, StreamDecoder, Tokenizer


@dataclass(frozen=True)
class Completion:
    """What followed a prompt.

    text    without the stop string or stop token that ended it
    tokens  all that were generated, those included
    finish  "stop", "length" or "context"
    """

    text: str
    tokens: tuple[int, ...]
    finish: str


class Transcript:
    """The text of one sequence, as far as it may be shown."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._decoder = StreamDecoder(tokenizer)
        self._finder = StopFinder(stops)
        self._shown: list[str] = []
        self._tokens: list[int] = []
        self.finish = ""

    def push(self, emitted: Emitted) -> str:
        """The text that this token completes. `finish` is set when it is the last."""
        self._tokens.append(emitted.token)
        self.finish = emitted.finish
        text = ""
        if emitted.finish != STOP:
            text = self._finder.push(self._decoder.push(emitted.token))
        if emitted.finish and not self._finder.found:
            text += self._finder.push(self._decoder.flush())
            text += self._finder.flush()
        if self._finder.found:
            self.finish = STOP
        self._shown.append(text)
        return text

    def completion(self) -> Completion:
        """All of it."""
        return Completion("".join(self._shown), tuple(self._tokens), self.finish)


def stream_text(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    sampling: Sampling,
    limits: Limits | None = None,
    stops: Sequence[str] = (),
    *,
    draw: int = 0,
) -> Generator[str, None, Completion]:
    """Continue `prompt`: pieces of text as they come; returns the completion.

    `draw` tells continuations of one seed apart. Raises InputError for a prompt that
    the model cannot take.
    """
    transcript = Transcript(tokenizer, stops)
    tokens = generate(decoder, [prompt], sampling, limits, draw=draw)
    for emitted in tokens:
        text = transcript.push(emitted)
        if text:
            yield text
        if transcript.finish:
            break
    return transcript.completion()


def complete(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    sampling: Sampling,
    limits: Limits | None = None,
    stops: Sequence[str] = (),
    *,
    draw: int = 0,
) -> Completion:
    """Continue `prompt` to its end. Raises InputError as `stream_text` does."""
    stream = stream_text(decoder, tokenizer, prompt, sampling, limits, stops, draw=draw)
    while True:
        try:
            next(stream)
        except StopIteration as ended:
            completion: Completion = ended.value
            return completion


def end_of_text(tokenizer: Tokenizer) -> frozenset[int]:
    """The id after which a text of this tokenizer is over, if it has one."""
    ids = tokenizer.special_tokens
    return frozenset({ids[END_OF_TEXT]} if END_OF_TEXT in ids else ())
