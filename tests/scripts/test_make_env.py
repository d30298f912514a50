"""The environment is made from whatever Python the machine has, and only when needed.

The commands that would be run are recorded instead.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_env.py"


class Machine:
    """A machine that records commands; the test says what it has and what works."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.modules = {"ensurepip", "pip"}
        self.env_works = True

    def run(self, *command: str | Path, remedy: str) -> None:
        self.ran.append(" ".join(map(str, command)))
        if "python3-venv" in command:
            self.modules.add("ensurepip")

    def succeeds(self, *command: str | Path) -> bool:
        return self.env_works

    def has_module(self, name: str) -> bool:
        return name in self.modules


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def make_env(monkeypatch, tmp_path: Path, machine: Machine) -> ModuleType:
    """The script, at work in an empty checkout on `machine`."""
    spec = importlib.util.spec_from_file_location("make_env", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "ENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "ENV_PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "alpha-setup.json")
    for name in ("run", "succeeds", "has_module"):
        monkeypatch.setattr(module, name, getattr(machine, name))
    return module


def test_the_first_time_it_makes_and_installs(make_env, machine: Machine):
    make_env.main([])
    assert [line.split()[1:3] for line in machine.ran] == [
        ["-m", "venv"],
        ["-m", "pip"],
    ]
    assert machine.ran[-1].endswith(f"--editable {make_env.ROOT}")


def test_the_second_time_it_does_nothing(make_env, machine: Machine):
    make_env.main(["dev"])
    machine.ran.clear()
    make_env.main(["dev"])
    make_env.main([])
    assert machine.ran == []


def test_further_extras_join_those_that_are_there(make_env, machine: Machine):
    make_env.main(["dev"])
    machine.ran.clear()
    make_env.main(["bench"])
    assert len(machine.ran) == 1
    assert machine.ran[0].endswith("[bench,dev]")
    assert json.loads(make_env.STAMP.read_text())["extras"] == ["bench", "dev"]


def test_a_changed_project_is_installed_again_into_the_same_place(
    make_env, machine: Machine
):
    make_env.main(["dev"])
    machine.ran.clear()
    (make_env.ROOT / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    make_env.main([])
    assert len(machine.ran) == 1
    assert machine.ran[0].endswith("[dev]")


def test_a_moved_checkout_is_made_anew(make_env, machine: Machine):
    make_env.main(["dev"])
    record = json.loads(make_env.STAMP.read_text())
    make_env.STAMP.write_text(json.dumps({**record, "place": "/elsewhere/.venv"}))
    machine.ran.clear()
    make_env.main([])
    assert "venv --clear" in machine.ran[0]


def test_an_environment_whose_python_is_gone_is_made_anew(make_env, machine: Machine):
    make_env.main(["dev"])
    machine.ran.clear()
    machine.env_works = False
    make_env.main([])
    assert "venv --clear" in machine.ran[0]


def test_a_setup_that_failed_is_not_taken_for_done(make_env, monkeypatch):
    def fails(*command: str | Path, remedy: str) -> None:
        raise SystemExit(1)

    make_env.main([])
    (make_env.ROOT / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.setattr(make_env, "run", fails)
    with pytest.raises(SystemExit):
        make_env.main([])
    assert not make_env.STAMP.exists()


def test_without_ensurepip_the_machines_own_pip_fills_the_environment(
    make_env, machine: Machine
):
    machine.modules = {"pip"}
    make_env.main([])
    assert "--without-pip" in machine.ran[0]
    assert "-m pip --python" in machine.ran[1]


def test_without_pip_root_on_debian_gets_the_missing_package(
    make_env, machine: Machine, monkeypatch
):
    machine.modules = set()
    monkeypatch.setattr(make_env.os, "geteuid", lambda: 0)
    monkeypatch.setattr(make_env.shutil, "which", lambda name: f"/usr/bin/{name}")
    make_env.main([])
    assert machine.ran[0].startswith("apt-get update")
    assert machine.ran[1].endswith("python3-venv")
    assert "-m venv" in machine.ran[2]


def test_without_pip_others_are_told_the_line(
    make_env, machine: Machine, monkeypatch, capsys
):
    machine.modules = set()
    monkeypatch.setattr(make_env.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        make_env.main([])
    assert ended.value.code == 1
    err = capsys.readouterr().err
    assert err.endswith("sudo apt-get install -y python3-venv\n")
    assert machine.ran == []


def test_an_old_python_hands_over_to_a_newer_one(make_env, monkeypatch):
    started: list[list[str]] = []
    monkeypatch.setattr(make_env.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(make_env.sys, "argv", ["make_env.py", "dev"])
    monkeypatch.setattr(
        make_env.shutil,
        "which",
        lambda name: "/usr/bin/python3.12" if name == "python3.12" else None,
    )

    def execv(path: str, arguments: list[str]) -> None:
        started.append(arguments)
        raise SystemExit(0)

    monkeypatch.setattr(make_env.os, "execv", execv)
    with pytest.raises(SystemExit):
        make_env.main([])
    assert started == [["/usr/bin/python3.12", "make_env.py", "dev"]]


def test_an_old_python_alone_is_an_error_with_the_remedy(make_env, monkeypatch, capsys):
    monkeypatch.setattr(make_env.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(make_env.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        make_env.main([])
    assert ended.value.code == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "Python 3.9.2 is too old" in line
    assert "make setup PYTHON=" in line


def test_the_script_itself_can_be_read_by_an_older_python():
    import ast

    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
    assert sys.version_info >= (3, 11)
