"""`alpha` is Django's command line, with the engine's commands in front."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import engine
from engine.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def alpha(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py`, which is the console script, in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_help_lists_the_engines_commands_first(arguments: list[str]):
    done = alpha(*arguments)
    assert done.returncode == 0, done.stderr
    places = [done.stdout.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert places[-1] < done.stdout.index("Django's own")
    assert "runserver" in done.stdout


def test_a_mistyped_command_is_one_line_with_a_guess():
    done = alpha("trian")
    assert done.returncode == 2
    assert done.stderr == "alpha: error: unknown command 'trian': did you mean train?\n"


def test_an_error_of_the_engine_is_its_own_line():
    done = alpha("train", "--layers", "none", "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "alpha: error: --layers: 'none' is not a whole number\n"


def test_help_of_a_command_is_the_engines():
    assert alpha("help", "plan").stdout == alpha("plan", "--help").stdout


def test_broken_settings_are_one_line():
    done = alpha("train", DJANGO_SETTINGS_MODULE="no_such_settings")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no_such_settings" in done.stderr


def test_the_version_is_alphas_not_djangos():
    assert alpha("version").stdout == engine.__version__ + "\n"
