"""A command line becomes a result on stdout or one line on stderr, and a status."""

from __future__ import annotations

import argparse
import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import engine
from engine.cli import main as cli
from engine.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    GraphError,
    StorageError,
)

ROOT = Path(__file__).resolve().parents[3]
Install = Callable[[Callable[[argparse.Namespace], dict[str, object]]], None]


@pytest.fixture
def probe(monkeypatch) -> Install:
    """Install a command called `probe` that runs a given function."""

    def install(run: Callable[[argparse.Namespace], dict[str, object]]) -> None:
        module = ModuleType("probe_command")
        vars(module).update(
            HELP="a command of the tests",
            add_arguments=lambda parser: parser.add_argument("--size", type=int),
            run=run,
        )
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(cli.COMMANDS, "probe", "probe_command")

    return install


def raising(error: BaseException) -> Callable[[argparse.Namespace], dict[str, object]]:
    def run(options: argparse.Namespace) -> dict[str, object]:
        raise error

    return run


def test_json_is_one_line_on_stdout_and_nothing_else(probe: Install, capsys):
    probe(lambda options: {"size": options.size, "path": Path("a/b"), "loss": 0.5})
    assert cli.main(["probe", "--size", "3", "--json"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out) == {"size": 3, "path": "a/b", "loss": 0.5}
    assert err == ""


def test_without_json_the_result_is_not_printed(probe: Install, capsys):
    probe(lambda options: {"size": options.size})
    assert cli.main(["probe"]) == 0
    assert capsys.readouterr() == ("", "")


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device", "out.bin")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            ConfigError("n_layer", 0, "must be at least 1"),
            2,
            "error: --layers = 0: must be at least 1",
        ),
        (DataError("a.txt is empty"), 2, "error: a.txt is empty"),
        (CheckpointError("truncated"), 2, "error: truncated"),
        (GraphError("no rule for op 'sin'"), 1, "error: no rule for op 'sin'"),
        (StorageError("the disk is full"), 1, "error: the disk is full"),
        (
            full_disk(),
            1,
            "error: the disk is full (writing out.bin); make room and try again",
        ),
        (
            MemoryError(),
            1,
            "error: out of memory; a smaller --batch or model fits",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt"),
            2,
            "error: a.txt: No such file or directory",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.txt"),
            1,
            "error: a.txt: Permission denied",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_foreseen_error_is_one_line_and_a_status(
    error: BaseException, status: int, line: str, probe: Install, capsys
):
    probe(raising(error))
    assert cli.main(["probe", "--json"]) == status
    assert capsys.readouterr() == ("", f"alpha: {line}\n")


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyError("x"), SystemExit(3)])
def test_a_mistake_of_the_program_is_not_hidden(error: BaseException, probe: Install):
    probe(raising(error))
    with pytest.raises(type(error)):
        cli.main(["probe"])


def test_traceback_shows_where_a_foreseen_error_came_from(probe: Install):
    probe(raising(DataError("empty")))
    with pytest.raises(DataError):
        cli.main(["probe", "--traceback"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["prob"], "unknown command 'prob': did you mean probe?"),
        (["qqqq"], "unknown command 'qqqq': `alpha help` lists them"),
        (["probe", "--size", "big"], "--size: invalid int value: 'big'"),
        (["probe", "--sise", "1"], "unknown argument --sise: did you mean --size?"),
        (["probe", "--plugin"], "--plugin: expected one argument"),
        (
            ["probe", "--plugin", "no_such_module"],
            (
                "--plugin = 'no_such_module': cannot be imported: "
                "No module named 'no_such_module'"
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    arguments: list[str], line: str, probe: Install, capsys
):
    probe(lambda options: {})
    assert cli.main(arguments) == 2
    assert capsys.readouterr() == ("", f"alpha: error: {line}\n")


def test_a_plugin_beside_the_user_is_imported_before_the_command_runs(
    probe: Install, monkeypatch, tmp_path: Path
):
    (tmp_path / "plugin_of_the_test.py").write_text("LOADED = True\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    probe(lambda options: {"loaded": "plugin_of_the_test" in sys.modules})
    assert cli.main(["probe", "--plugin", "plugin_of_the_test"]) == 0
    assert sys.modules.pop("plugin_of_the_test").LOADED


@pytest.mark.parametrize("arguments", [[], ["help"], ["-h"], ["--help"]])
def test_the_overview_names_every_command(arguments: list[str], capsys):
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"  {name} " in out
        assert cli.load(name).HELP in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: alpha {name}")
    assert "--json" in out


def test_the_version_is_the_packages(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == engine.__version__ + "\n"


WITHOUT_DJANGO = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django", "environ", "alpha_site", "runs"):
            raise ImportError(name + " is not here")

sys.meta_path.insert(0, Absent())
sys.argv = ["engine", "help"]
runpy.run_module("engine", run_name="__main__", alter_sys=True)
"""


def test_the_commands_need_no_web_framework():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DJANGO],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m engine COMMAND")


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"'{sys.executable}' -m engine help | true; exit ${{PIPESTATUS[0]}}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
