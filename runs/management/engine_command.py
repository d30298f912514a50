"""The engine's commands as Django's: same arguments, same output, same errors.

`alpha train ...` hands its words to `engine.cli.main` untouched, so that it and
`python -m engine train ...` cannot differ. `call_command("train", ...)` works as for
any command of Django's and raises CommandError.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.cli.main import command_parser, explain, load, main
from engine.cli.result import plain
from engine.errors import AlphaError
from engine.registry import load_plugins
from engine.storage import to_json


class EngineCommand(BaseCommand):
    """Django's view of the engine command called `name`."""

    name: str
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """The command line's way in: never returns."""
        sys.exit(main(argv[1:], prog=Path(argv[0]).name))

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """`alpha help train`: what `alpha train --help` prints."""
        command_parser(subcommand, prog_name).print_help()

    def add_arguments(self, parser: CommandParser) -> None:
        """The engine's own arguments, for `call_command`."""
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--plugin", action="append", default=[])
        load(self.name).add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        """`call_command`'s way in: the result as JSON where `json` is set."""
        try:
            load_plugins(options["plugin"])
            result = load(self.name).run(Namespace(**options))
        except AlphaError as error:
            line, status = explain(error)
            raise CommandError(line, returncode=status) from error
        return to_json(plain(result)).decode() if options["json"] else ""
