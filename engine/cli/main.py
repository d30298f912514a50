"""From a command line to a command, its result and an exit status.

Knows the table of commands and what every one of them shares: `--json`, `--plugin`,
`--traceback`, and errors of one line. Knows no command from inside, and no Django.

Exit status: 0 done, 2 bad input, 1 anything else that was foreseen, 130 interrupted.
Stdout carries the result only; progress and errors go to stderr.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, cast

import engine
from engine.cli.flags import in_flags
from engine.cli.parser import Parser, add_common_arguments, did_you_mean
from engine.cli.result import plain
from engine.errors import AlphaError, ConfigError, InputError
from engine.registry import load_plugins
from engine.storage import to_json

#: name -> module, in the order in which a newcomer meets them.
COMMANDS: dict[str, str] = {
    "train": "engine.cli.train",
    "sample": "engine.cli.sample",
    "evaluate": "engine.cli.evaluate",
    "plan": "engine.cli.plan",
    "tokenizer": "engine.cli.tokenizer",
    "datagen": "engine.cli.datagen",
    "bench": "engine.cli.bench",
}

FAILED = 1
INTERRUPTED = 130
BROKEN_PIPE = 141


class Command(Protocol):
    """What a command's module offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> dict[str, object]: ...


def load(name: str) -> Command:
    """The module of command `name`; InputError, with a guess, for no such command."""
    if name not in COMMANDS:
        raise InputError(unknown_command(name, COMMANDS))
    return cast(Command, importlib.import_module(COMMANDS[name]))


def unknown_command(name: str, known: Iterable[str]) -> str:
    """The line for a command that nobody has, with a guess or with where to look."""
    hint = did_you_mean(name, known) or ": `alpha help` lists them"
    return f"unknown command {name!r}{hint}"


def command_parser(name: str, prog: str = "alpha") -> Parser:
    """The whole parser of command `name`, with what all commands share."""
    command = load(name)
    parser = Parser(prog=f"{prog} {name}", description=command.HELP)
    add_common_arguments(parser)
    parser.set_defaults(json=False, plugin=[], traceback=False)
    command.add_arguments(parser)
    return parser


def import_plugins(arguments: Sequence[str]) -> None:
    """Import what `--plugin` names, before a parser lists what is registered.

    Modules beside the user are found too, as with `python -m`.
    """
    early = Parser(add_help=False)
    early.add_argument("--plugin", action="append", default=[])
    modules = early.parse_known_args(arguments)[0].plugin
    if modules:
        sys.path.insert(0, str(Path.cwd()))
    load_plugins(modules)


def listing() -> str:
    """Every command with what it says of itself, a line each."""
    return "\n".join(f"  {name:<10} {load(name).HELP}" for name in COMMANDS)


def overview(prog: str) -> str:
    """What there is, for someone who does not know yet."""
    return (
        f"usage: {prog} COMMAND [options]\n\ncommands:\n{listing()}\n\n"
        f"`{prog} COMMAND --help` lists a command's options.\n"
    )


def main(arguments: Sequence[str], prog: str = "alpha") -> int:
    """Run the command line `arguments` (without the program's name): exit status."""
    try:
        dispatch(arguments, prog)
        sys.stdout.flush()
    except BaseException as error:
        if "--traceback" in arguments:
            raise
        line, status = explain(error)
        if line:
            sys.stderr.write(f"alpha: {line}\n")
        return status
    return 0


def dispatch(arguments: Sequence[str], prog: str) -> None:
    """Run a command or print help; every error goes up to `main`."""
    if list(arguments) in (["version"], ["--version"]):
        sys.stdout.write(engine.__version__ + "\n")
        return
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview(prog))
        return
    name, rest = arguments[0], arguments[1:]
    import_plugins(rest)
    parser = command_parser(name, prog)
    options = parser.parse(rest)
    result = load(name).run(options)
    if options.json:
        sys.stdout.write(to_json(plain(result)).decode())


def explain(error: BaseException) -> tuple[str, int]:
    """The line to print for `error` and the exit status; raises it if unforeseen."""
    match error:
        case SystemExit():
            raise error
        case KeyboardInterrupt():
            return "interrupted", INTERRUPTED
        case ConfigError():
            return f"error: {in_flags(error)}", error.exit_status
        case AlphaError():
            return f"error: {error}", error.exit_status
        case BrokenPipeError():
            # Python flushes stdout once more on its way out; let that find a sink.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return "", BROKEN_PIPE
        case MemoryError():
            return "error: out of memory; a smaller --batch or model fits", FAILED
        case OSError() if error.errno == errno.ENOSPC:
            where = f" (writing {error.filename})" if error.filename else ""
            return f"error: the disk is full{where}; make room and try again", FAILED
        case FileNotFoundError() | IsADirectoryError() | NotADirectoryError():
            return f"error: {error.filename}: {error.strerror}", InputError.exit_status
        case OSError() if error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            return f"error: {where}{error.strerror}", FAILED
        case _:
            raise error
