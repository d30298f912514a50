"""`alpha bench NAME`: measure this engine beside a peer, and show the table.

Knows where the benches are and how a report looks. What is measured, and how, is in
the modules of `engine.bench`; a plugin may register benches of its own.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from typing import Any

from rich.table import Table
from rich.text import Text

import engine.bench
from engine.bench.harness import Report, benches
from engine.cli.console import console
from engine.cli.parser import add_common_arguments

HELP = "measure this engine beside its peers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand for each bench, with its own flags.

    The modules of `engine.bench` register theirs, and import peers only when run.
    """
    for module in pkgutil.iter_modules(engine.bench.__path__, "engine.bench."):
        if not module.ispkg:
            importlib.import_module(module.name)
    commands = parser.add_subparsers(dest="bench", metavar="NAME", title="benches")
    for name in benches:
        line = summary(name)
        bench = commands.add_parser(name, help=line, description=line)
        add_common_arguments(bench)
        add: Any = getattr(benches.get(name), "add_arguments", None)
        if add is not None:
            add(bench)


def summary(name: str) -> str:
    """The first line of what a bench's module says of itself."""
    module = sys.modules[benches.get(name).__module__]
    return (module.__doc__ or name).splitlines()[0]


def run(options: argparse.Namespace) -> dict[str, object]:
    """Run one bench and show its table on stderr; without a name, list them all."""
    if options.bench is None:
        known = {name: summary(name) for name in benches}
        for name, line in known.items():
            console().print(f"{name:<10} {line}", markup=False)
        return {"benches": known}
    report = benches.get(options.bench)(options)
    console().print(table(report))
    return report.to_dict()


def table(report: Report) -> Table:
    """A report as a table: one row a measurement, the further keys as columns."""
    records = [row.to_dict() for row in report.rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    title = Text(f"{report.bench} on {report.device}")
    shown = Table(title=title, title_justify="left")
    for name in names:
        words = any(isinstance(record.get(name), str) for record in records)
        shown.add_column(Text(name), justify="left" if words else "right")
    for record in records:
        shown.add_row(*(cell(record.get(name)) for name in names))
    return shown


def cell(value: object) -> Text:
    """A value as it stands in a table: numbers with four digits that count."""
    if value is None:
        return Text()
    if isinstance(value, float):
        return Text(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}")
    return Text(str(value))
