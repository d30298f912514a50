"""An argument parser that raises one line instead of printing a usage and exiting."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from engine.errors import InputError


class Parser(argparse.ArgumentParser):
    """argparse with InputError for errors, and with hints for mistyped names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise InputError(message.removeprefix("argument "))

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse all of `arguments`; InputError names the first one not known."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            name = unknown[0].partition("=")[0]
            raise InputError(
                f"unknown argument {name}{did_you_mean(name, flags(self))}"
            )
        return options


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every command has, and every subcommand again.

    They have no defaults here: a subcommand's would hide what the command was given.
    """
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print the result as one JSON object on stdout",
    )
    parser.add_argument(
        "--plugin",
        action="append",
        default=argparse.SUPPRESS,
        metavar="MODULE",
        help="import MODULE first: it may register optimizers, tokenizers, sinks, ...",
    )
    parser.add_argument(
        "--traceback",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show where an error came from",
    )


def flags(parser: argparse.ArgumentParser) -> list[str]:
    """Every flag of `parser` and of its subcommands."""
    found = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                found += flags(choice)
    return found


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`": did you mean X?"`, or nothing when no known name resembles `name`."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""
