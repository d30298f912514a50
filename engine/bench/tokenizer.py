"""Byte-level BPE beside Hugging Face `tokenizers`: learning it, and encoding with it.

Knows both sides' calls and nothing of how either works. Ours runs on one thread. The
peer gets every advantage: the same text whole or in lines, in each round whichever was
faster; all threads to learn with, and one, as ours, to encode with; and all that it
remembers from the rounds before, where ours starts with a fresh tokenizer each time.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.bench.harness import Report, Row, benches, in_turn, median_ratio
from engine.data.source import texts
from engine.domains.corpus import open_corpus
from engine.errors import InputError
from engine.home import cache_dir
from engine.rundir.environment import cores, cpu_model
from engine.tokenizers import END_OF_TEXT, BpeBuilder, BpeTokenizer

SIZES = (2000, 8000)
PAIRS = 3
MEGABYTE = 1e6

Work = Callable[[], object]


@dataclass(frozen=True)
class Corpus:
    """A text whole and in lines, and its bytes in UTF-8."""

    text: str
    lines: list[str]
    size: int

    @classmethod
    def of(cls, text: str) -> Corpus:
        return cls(text, text.splitlines(keepends=True), len(text.encode()))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the corpus, the peer, the sizes of vocabulary and the number of pairs."""
    parser.add_argument(
        "--data", default="", metavar="FILE", help="(default: Python's own sources)"
    )
    parser.add_argument(
        "--against", choices=("hf",), default="hf", help="the peer (default: hf)"
    )
    parser.add_argument(
        "--vocab-size",
        type=int,
        action="append",
        metavar="N",
        help=f"may be repeated (default: {' and '.join(map(str, SIZES))})",
    )
    parser.add_argument(
        "--pairs",
        type=int,
        default=PAIRS,
        metavar="N",
        help=f"times each side is measured (default: {PAIRS})",
    )


@benches.register("tokenizer")
def bench_tokenizer(options: argparse.Namespace) -> Report:
    """BPE learning and encoding in MB/s, beside Hugging Face tokenizers."""
    if options.pairs < 1:
        raise InputError(f"--pairs {options.pairs}: at least one is measured")
    peer = Peer()
    source = open_corpus(options.data, "python", cache_dir())
    corpus = Corpus.of("".join(texts(source)))
    rows = []
    for size in options.vocab_size or SIZES:
        rows.append(train_row(corpus, size, peer, options.pairs))
        rows.append(encode_row(corpus, size, peer, options.pairs))
    return Report("tokenizer", f"{cpu_model()}, {cores()} cores", rows)


bench_tokenizer.add_arguments = add_arguments  # type: ignore[attr-defined]


class Peer:
    """Hugging Face `tokenizers`. InputError, with the line to run, where missing."""

    def __init__(self) -> None:
        try:
            self._library: Any = importlib.import_module("tokenizers")
        except ImportError:
            raise InputError(
                "the peer is not installed: run "
                "`.venv/bin/python -m pip install -e '.[bench]'`"
            ) from None
        self.name = f"tokenizers {self._library.__version__}"

    def learn(self, texts: list[str], size: int) -> Any:
        """Byte-level BPE of `size` ids learnt from `texts`."""
        library = self._library
        level = library.pre_tokenizers.ByteLevel
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = level(add_prefix_space=False)
        trainer = library.trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=level.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return tokenizer


@contextmanager
def parallel(allowed: bool) -> Iterator[None]:
    """Let the peer use all cores, or one, in the block."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "true" if allowed else "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def train_row(corpus: Corpus, size: int, peer: Peer, pairs: int) -> Row:
    """Learn a vocabulary of `size` from the text."""
    builder = BpeBuilder("bpe", size)
    ways: dict[str, Work] = {
        "whole": lambda: peer.learn([corpus.text], size),
        "lines": lambda: peer.learn(corpus.lines, size),
    }
    with parallel(True):
        pair = measure(lambda: builder.build([corpus.text]), ways, pairs)
    return row(f"train {size}", corpus, pair, f"{peer.name}, {cores()} threads")


def encode_row(corpus: Corpus, size: int, peer: Peer, pairs: int) -> Row:
    """Encode the text with a vocabulary of `size` learnt from it."""
    built = BpeBuilder("bpe", size).build([corpus.text])
    other = peer.learn(corpus.lines, size)

    def encode() -> object:
        fresh = BpeTokenizer(built.name, built.merges, list(built.special_tokens))
        return fresh.encode(corpus.text)

    ways: dict[str, Work] = {
        "whole": lambda: other.encode(corpus.text),
        "lines": lambda: other.encode_batch(corpus.lines),
        "lines without offsets": lambda: other.encode_batch_fast(corpus.lines),
    }
    with parallel(False):
        pair = measure(encode, ways, pairs)
        counted = {
            "tokens": len(built.encode(corpus.text)),
            "peer_tokens": len(other.encode(corpus.text).ids),
        }
    return row(f"encode {size}", corpus, pair, f"{peer.name}, 1 thread", counted)


@dataclass(frozen=True)
class Measured:
    """Seconds of either side, round by round, and what was fastest for the peer."""

    ours: list[float]
    theirs: list[float]
    way: str


def measure(ours: Work, ways: dict[str, Work], pairs: int) -> Measured:
    """Time our work and each way of the peer's in turn; its fastest counts."""
    mine, *others = in_turn([ours, *ways.values()], pairs, warmup=0)
    theirs = [min(times) for times in zip(*others, strict=True)]
    totals = dict(zip(ways, map(statistics.median, others), strict=True))
    return Measured(mine, theirs, min(totals, key=lambda way: totals[way]))


def row(
    name: str,
    corpus: Corpus,
    pair: Measured,
    peer: str,
    counted: dict[str, int] | None = None,
) -> Row:
    """The row of one measurement, from seconds to megabytes a second."""
    size = corpus.size / MEGABYTE
    return Row(
        name=name,
        ours=size / statistics.median(pair.ours),
        theirs=size / statistics.median(pair.theirs),
        unit="MB/s",
        peer=f"{peer}, {pair.way}",
        ratio=median_ratio(pair.theirs, pair.ours),
        extra={"megabytes": size, **(counted or {})},
    )
