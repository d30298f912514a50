"""`alpha sample`: text from a trained model, after prompts.

The texts go to stdout as they come, or with --json all at once as the result. Knows
flags and the terminal. How text is made is in `engine.generate`.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TextIO

from engine.checkpoint import load_checkpoint
from engine.cli.console import console, printable
from engine.cli.evaluate import add_checkpoint_arguments, checkpoint_of, tokenizer_of
from engine.config import RunConfig, require
from engine.domains import domains
from engine.errors import InputError, TokenizerError
from engine.generate import (
    Completion,
    Decoder,
    Emitted,
    Limits,
    Sampling,
    Transcript,
    beam_search,
    end_of_text,
    generate,
)
from engine.session.ingredients import choose_backend
from engine.session.samples import prompt_ids
from engine.tokenizers import Tokenizer

HELP = "write text with a trained model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint, after what, how it is chosen and where it ends."""
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="what to go on from, may be given again (default: the domain's prompts)",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="take prompts as they are, special tokens spelled out, even where the "
        "model was made for chats",
    )
    parser.add_argument(
        "--count", type=int, default=1, metavar="N", help="texts a prompt (default: 1)"
    )
    add_choice_arguments(parser.add_argument_group("how tokens are chosen"))
    add_end_arguments(parser.add_argument_group("where a text ends"))
    parser.add_argument(
        "--stream",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show the text as it comes (default: yes)",
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="0: one a core"
    )


def add_choice_arguments(group: argparse._ArgumentGroup) -> None:
    """The fields of `Sampling`, and beams."""
    plain = Sampling()
    for flag, kind, default, text in (
        ("--temperature", float, 0.8, "0: always the best token"),
        ("--top-k", int, plain.top_k, "of the k best tokens only; 0: of all"),
        ("--top-p", float, plain.top_p, "of the best with this probability together"),
        ("--min-p", float, plain.min_p, "of those at least so probable as the best, x"),
        ("--repetition-penalty", float, 1.0, "divides scores of tokens seen"),
        ("--presence-penalty", float, 0.0, "lowers scores of tokens generated"),
        ("--frequency-penalty", float, 0.0, "the same for each time generated"),
        ("--seed", int, plain.seed, "the same seed gives the same text"),
        ("--beam", int, 0, "search with so many beams instead; 0: none"),
        ("--length-penalty", float, 0.6, "of the beams; 0 favours short texts"),
    ):
        shown = f"{text} (default: {default})"
        metavar = "N" if kind is int else "X"
        group.add_argument(
            flag, type=kind, default=default, metavar=metavar, help=shown
        )


def add_end_arguments(group: argparse._ArgumentGroup) -> None:
    """The fields of `Limits`, and stop strings."""
    group.add_argument(
        "--max-tokens", type=int, default=256, metavar="N", help="default: 256"
    )
    group.add_argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before this text, may be given again",
    )
    group.add_argument(
        "--ignore-end", action="store_true", help="go on after <|end_of_text|>"
    )
    group.add_argument(
        "--slide",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on past the context with its later half, or end there (default: yes)",
    )


@dataclass(frozen=True)
class Writer:
    """A model ready to write, and how it is asked to."""

    decoder: Decoder
    tokenizer: Tokenizer
    sampling: Sampling
    limits: Limits
    stops: Sequence[str]
    beams: int
    alpha: float

    def write(
        self, prompt: Sequence[int], draw: int, show: Callable[[str], None]
    ) -> Completion:
        """Continue `prompt`; `show` is told the text as it comes."""
        if self.beams:
            completion = self.search(prompt)
            show(completion.text)
            return completion
        transcript = Transcript(self.tokenizer, self.stops)
        for emitted in generate(
            self.decoder, [prompt], self.sampling, self.limits, draw=draw
        ):
            show(transcript.push(emitted))
            if transcript.finish:
                break
        return transcript.completion()

    def search(self, prompt: Sequence[int]) -> Completion:
        """The best that beam search finds; stop strings cut it."""
        best = beam_search(self.decoder, prompt, self.limits, alpha=self.alpha)[0]
        transcript = Transcript(self.tokenizer, self.stops)
        last = len(best.tokens) - 1
        for place, token in enumerate(best.tokens):
            transcript.push(Emitted(0, token, best.finish if place == last else ""))
            if transcript.finish:
                break
        return transcript.completion()


def run(options: argparse.Namespace) -> dict[str, object]:
    """Write; the texts and how fast they came. Raises InputError."""
    require(options.count >= 1, "count", options.count, "must be at least 1")
    require(options.beam >= 0, "beam", options.beam, "must be >= 0")
    path = options.checkpoint or checkpoint_of(options.run, options.step)
    checkpoint = load_checkpoint(path, optimizer=False)
    about = checkpoint.manifest.about
    config = RunConfig.from_dict(about["config"])
    tokenizer = tokenizer_of(checkpoint)
    texts = options.prompt or default_prompts(config, tokenizer)
    prompts = [(text, ids_of(text, tokenizer, options.raw)) for text in texts]
    train = dataclasses.replace(config.train, threads=options.threads)
    decoder = Decoder(config.model, choose_backend(train), options.beam or 1)
    decoder.load(
        {name.removeprefix("model."): a for name, a in checkpoint.arrays.items()}
    )
    writer = writer_of(options, decoder, tokenizer)
    out = sys.stderr if options.json else sys.stdout
    start = time.perf_counter()
    samples = [
        write(writer, text, ids, draw, out if options.stream else None)
        for text, ids in prompts
        for draw in range(options.count)
    ]
    took = time.perf_counter() - start
    tokens = sum(sample["tokens"] for sample in samples)
    if not options.stream and not options.json:
        for sample in samples:
            shown(out, f"{sample['prompt']}{sample['text']}\n\n")
    console().print(f"{tokens} tokens, {tokens / took:,.0f} a second", markup=False)
    return {
        "run": about["run"],
        "checkpoint": checkpoint.path,
        "step": checkpoint.manifest.step,
        "seed": options.seed,
        "samples": samples,
        "tokens": tokens,
        "tokens_per_sec": tokens / took,
    }


def write(
    writer: Writer, text: str, ids: Sequence[int], draw: int, out: TextIO | None
) -> dict[str, Any]:
    """Write one text, and show it on `out` as it comes; its part of the result."""

    def show(piece: str) -> None:
        if out is not None:
            shown(out, piece)

    show(text)
    completion = writer.write(ids, draw, show)
    show("\n\n")
    return {
        "prompt": text,
        "draw": draw,
        "text": completion.text,
        "tokens": len(completion.tokens),
        "finish": completion.finish,
    }


def shown(out: TextIO, text: str) -> None:
    """Put `text` on `out` now; a terminal gets nothing that it would obey."""
    out.write(printable(text) if out.isatty() else text)
    out.flush()


def writer_of(
    options: argparse.Namespace, decoder: Decoder, tokenizer: Tokenizer
) -> Writer:
    """A writer as the flags say. Raises ConfigError."""
    sampling = Sampling(
        **{item.name: getattr(options, item.name) for item in fields(Sampling)}
    )
    ends = frozenset[int]() if options.ignore_end else end_of_text(tokenizer)
    limits = Limits(options.max_tokens, ends, options.slide)
    beams, alpha = options.beam, options.length_penalty
    return Writer(decoder, tokenizer, sampling, limits, options.stop, beams, alpha)


def ids_of(text: str, tokenizer: Tokenizer, raw: bool) -> list[int]:
    """A prompt's ids; see `--raw`. Raises TokenizerError."""
    if not raw:
        return prompt_ids(tokenizer, text)
    return [int(token) for token in tokenizer.encode(text, special=True)]


def default_prompts(config: RunConfig, tokenizer: Tokenizer) -> list[str]:
    """The prompts of the run's domain, else an empty line. Raises InputError."""
    name = config.data.domain
    found = [*domains.get(name).prompts] if name in domains else ["\n"]
    usable = [text for text in found if encodable(text, tokenizer)]
    if not usable:
        raise InputError("--prompt is needed: this tokenizer knows no default prompt")
    return usable


def encodable(text: str, tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer knows all of `text`."""
    try:
        return bool(prompt_ids(tokenizer, text))
    except TokenizerError:
        return False
