"""`alpha tokenizer build|info|encode|decode`: vocabularies by hand.

Knows flags, files and the terminal. How texts are read is in `engine.data`, what a
tokenizer does in `engine.tokenizers`.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.cli.console import console
from engine.data.source import Source, texts
from engine.domains.corpus import open_corpus
from engine.errors import InputError
from engine.home import cache_dir
from engine.tokenizers import Tokenizer, load_tokenizer, specials_for, tokenizers

HELP = "build a tokenizer, look into it, encode and decode with it"

Result = dict[str, object]

#: Tokens that `info` shows.
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the four actions."""
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", title="actions", required=True
    )
    add_build_arguments(action(actions, "build", "build a tokenizer from a text"))
    information = action(actions, "info", "what a tokenizer.json holds")
    add_file_argument(information)
    encode = action(actions, "encode", "text to ids")
    add_file_argument(encode)
    given = encode.add_mutually_exclusive_group()
    given.add_argument("--text", help="the text (default: standard input)")
    given.add_argument("--input", type=Path, metavar="FILE", help="a file of text")
    encode.add_argument(
        "--special", action="store_true", help="special tokens in the text are ids"
    )
    decode = action(actions, "decode", "ids to text")
    add_file_argument(decode)
    decode.add_argument(
        "ids", nargs="*", metavar="ID", help="(default: from standard input)"
    )


def action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, line: str
) -> argparse.ArgumentParser:
    """The parser of one action, which takes the flags that all commands share too."""
    parser = actions.add_parser(name, help=line, description=line)
    for flag in ("--json", "--traceback"):
        parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS)
    parser.add_argument("--plugin", action="append", default=argparse.SUPPRESS)
    return parser


def add_file_argument(parser: argparse.ArgumentParser) -> None:
    """Add the tokenizer's file."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a tokenizer.json")


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the text is, what to build and where to put it."""
    parser.add_argument("--data", default="", metavar="FILE", help="the text")
    parser.add_argument(
        "--domain", default="", metavar="NAME", help="a domain that brings a text"
    )
    parser.add_argument(
        "--tokenizer",
        default="bpe",
        metavar="NAME",
        help=f"{', '.join(tokenizers)} (default: bpe)",
    )
    parser.add_argument(
        "--vocab-size", type=int, default=0, metavar="N", help="(default: by name)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="where to write it"
    )


def run(options: argparse.Namespace) -> Result:
    """Do one action."""
    actions: dict[str, Callable[[argparse.Namespace], Result]] = {
        "build": build,
        "info": info,
        "encode": encode,
        "decode": decode,
    }
    return actions[options.action](options)


def build(options: argparse.Namespace) -> Result:
    """Build a tokenizer and save it: what it is, and how well it fits its text."""
    builder = tokenizers.get(options.tokenizer)
    if not options.out.parent.is_dir():
        raise InputError(f"--out {options.out}: no folder {options.out.parent}")
    source = open_corpus(options.data, options.domain, cache_dir())
    say(f"{options.tokenizer} from {source.name}, {source.size:,} bytes")
    start = time.perf_counter()
    specials = specials_for(source.kind)
    tokenizer = builder.build(texts(source), options.vocab_size, specials=specials)
    seconds = time.perf_counter() - start
    tokenizer.save(options.out)
    tokens, size = measure(tokenizer, source)
    say(
        f"{tokenizer.vocab_size:,} ids in {seconds:.1f} s, {size / tokens:.2f} bytes a "
        f"token: {options.out}"
    )
    return {
        "path": options.out,
        **about(tokenizer),
        "source": source.name,
        "bytes": size,
        "tokens": tokens,
        "bytes_per_token": size / tokens,
        "seconds": seconds,
    }


def measure(tokenizer: Tokenizer, source: Source) -> tuple[int, int]:
    """How many tokens the source's text has, and how many bytes."""
    tokens = size = 0
    for text in texts(source):
        tokens += len(tokenizer.encode(text))
        size += len(text.encode())
    return tokens, size


def about(tokenizer: Tokenizer) -> Result:
    """What a tokenizer is, without its vocabulary."""
    return {
        "name": tokenizer.name,
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "special_tokens": tokenizer.special_tokens,
        "fingerprint": tokenizer.fingerprint,
    }


def info(options: argparse.Namespace) -> Result:
    """What a tokenizer.json holds, with its longest tokens."""
    tokenizer = load_tokenizer(options.file)
    ordinary = range(tokenizer.vocab_size - len(tokenizer.special_tokens))
    longest = sorted(ordinary, key=lambda token: -len(tokenizer.token_bytes(token)))
    shown = {token: tokenizer.decode([token]) for token in longest[:SHOWN]}
    record = about(tokenizer)
    for name, value in record.items():
        say(f"{name:<15} {value}")
    say(f"{'longest tokens':<15} {', '.join(map(repr, shown.values()))}")
    return {"path": options.file, **record, "longest_tokens": shown}


def encode(options: argparse.Namespace) -> Result:
    """The ids of a text; without --json they go to stdout with spaces between."""
    tokenizer = load_tokenizer(options.file)
    ids = tokenizer.encode(text_of(options), special=options.special).tolist()
    if not options.json:
        sys.stdout.write(" ".join(map(str, ids)) + "\n")
    return {"tokens": len(ids), "ids": ids}


def text_of(options: argparse.Namespace) -> str | bytes:
    """The text to encode: as given, of a file, or from standard input."""
    if options.text is not None:
        return str(options.text)
    if options.input is None:
        return sys.stdin.buffer.read()
    try:
        return bytes(options.input.read_bytes())
    except OSError as error:
        raise InputError(f"{options.input}: {error.strerror}") from None


def decode(options: argparse.Namespace) -> Result:
    """The text of ids; without --json its bytes go to stdout unchanged."""
    tokenizer = load_tokenizer(options.file)
    data = tokenizer.decode_bytes(read_ids(options.ids or [sys.stdin.read()]))
    if not options.json:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return {"bytes": len(data), "text": data.decode("utf-8", errors="replace")}


def read_ids(parts: list[str]) -> list[int]:
    """Whole numbers with spaces or commas between, as a JSON list too."""
    found = re.findall(r"[^\s,\[\]]+", " ".join(parts))
    for word in found:
        if not re.fullmatch(r"-?[0-9]{1,18}", word):
            raise InputError(f"{word!r} is not an id: ids are whole numbers")
    return [int(word) for word in found]


def say(line: str) -> None:
    """A line for people."""
    console().print(line, markup=False)
