"""The console script `alpha`, which `python manage.py` is too: Django's command line.

Knows how commands are listed. The commands themselves belong to the apps, and those
of the engine run without any of this as `python -m engine`.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility, get_commands
from django.core.management.base import BaseCommand

import engine
from engine.cli.main import COMMANDS, listing, unknown_command

BAD_INPUT = 2


class CommandLine(ManagementUtility):
    """Django's command line with Alpha's commands first and errors of one line."""

    def main_help_text(self, commands_only: bool = False) -> str:
        """All commands: the engine's with a word on each, Django's by name."""
        if commands_only:
            return "\n".join(sorted(get_commands()))
        return "\n".join(
            [
                f"usage: {self.prog_name} COMMAND [options]",
                "",
                "commands:",
                listing(),
                "",
                "Django's own:",
                *(f"  {app:<10} {names}" for app, names in django_commands().items()),
                "",
                f"`{self.prog_name} COMMAND --help` lists a command's options.",
            ]
        )

    def fetch_command(self, subcommand: str) -> BaseCommand:
        """The command's object; for a name that nobody has, one line and status 2."""
        if self.settings_exception:
            raise ImproperlyConfigured(str(self.settings_exception))
        known = get_commands()
        if subcommand not in known:
            sys.stderr.write(f"alpha: error: {unknown_command(subcommand, known)}\n")
            raise SystemExit(BAD_INPUT)
        return super().fetch_command(subcommand)


def django_commands() -> dict[str, str]:
    """app -> its commands in one line, for the commands that are not Alpha's."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, app in sorted(get_commands().items()):
        if name not in COMMANDS:
            found[str(app).rpartition(".")[2]].append(name)
    return {app: ", ".join(names) for app, names in sorted(found.items())}


def main() -> None:
    """Entry point of `alpha` and of manage.py."""
    if sys.argv[1:] in (["version"], ["--version"]):
        sys.stdout.write(engine.__version__ + "\n")
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alpha_site.settings")
    command_line = CommandLine(sys.argv)
    command_line.prog_name = Path(sys.argv[0]).name
    try:
        command_line.execute()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"alpha: error: {error}\n")
        raise SystemExit(BAD_INPUT) from None
