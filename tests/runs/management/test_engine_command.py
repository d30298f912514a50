"""Django runs the engine's commands as its own."""

from __future__ import annotations

import io
import json
import sys
from argparse import ArgumentParser, Namespace
from types import ModuleType

import pytest
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError

from engine.cli import main as cli
from engine.errors import ConfigError
from runs.management.engine_command import EngineCommand


class Probe(EngineCommand):
    """The adapter of a command of the tests."""

    name = "probe"


@pytest.fixture
def probe(monkeypatch) -> Probe:
    """A command `probe` that returns its size and refuses a size of zero."""

    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("--size", type=int, default=1)

    def run(options: Namespace) -> dict[str, object]:
        if options.size == 0:
            raise ConfigError("n_layer", 0, "must be at least 1")
        return {"size": options.size}

    module = ModuleType("probe_command")
    vars(module).update(HELP="of the tests", add_arguments=add_arguments, run=run)
    monkeypatch.setitem(sys.modules, "probe_command", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", "probe_command")
    return Probe()


def test_every_command_of_the_engine_is_one_of_djangos():
    ours = {name for name, app in get_commands().items() if app == "runs"}
    assert ours == set(cli.COMMANDS)


def test_call_command_takes_words_and_keywords(probe: Probe):
    out = io.StringIO()
    call_command(probe, "--size", "3", "--json", stdout=out)
    call_command(probe, size=4, json=True, stdout=out)
    lines = out.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == [{"size": 3}, {"size": 4}]


def test_call_command_raises_djangos_error_with_the_status(probe: Probe):
    with pytest.raises(CommandError, match="--layers = 0") as caught:
        call_command(probe, size=0)
    assert caught.value.returncode == 2


def test_the_command_line_ends_with_the_engines_status(probe: Probe, capsys):
    with pytest.raises(SystemExit) as ended:
        probe.run_from_argv(["alpha", "probe", "--size", "0"])
    assert ended.value.code == 2
    line = "alpha: error: --layers = 0: must be at least 1\n"
    assert capsys.readouterr().err == line
