"""Settings come from `.env.local` and the environment, and are closed by default."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SHOW = """
import json
from pathlib import Path
import environ

read = environ.Env.read_env
environ.Env.read_env = lambda path: read(Path("env.local"))

from alpha_site import settings

print(json.dumps({
    "debug": settings.DEBUG,
    "hosts": settings.ALLOWED_HOSTS,
    "key": str(settings.SECRET_KEY) if SHOW_KEY else None,
}))
"""


def settings_in(
    folder: Path, *, show_key: bool = False, **environment: str
) -> dict[str, object]:
    """The settings of a fresh process in `folder`, whose `env.local` is read."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW.replace("SHOW_KEY", str(show_key))],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "ALPHA_HOME": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_what_is_not_set_is_closed_and_leaves_no_file(tmp_path: Path):
    found = settings_in(tmp_path)
    assert found["debug"] is False
    assert found["hosts"] == ["localhost", "127.0.0.1", "[::1]"]
    assert list(tmp_path.iterdir()) == []


def test_the_environment_stands_over_the_file(tmp_path: Path):
    (tmp_path / "env.local").write_text("DEBUG=yes\nALLOWED_HOSTS=a.example\n")
    assert settings_in(tmp_path)["debug"] is True
    found = settings_in(tmp_path, ALLOWED_HOSTS="b.example,c.example")
    assert found["hosts"] == ["b.example", "c.example"]


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path):
    first = settings_in(tmp_path, show_key=True)["key"]
    assert isinstance(first, str)
    assert len(first) >= 50
    assert settings_in(tmp_path, show_key=True)["key"] == first
    file = tmp_path / "var" / "secret_key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_key_in_the_environment_is_used_and_not_written(tmp_path: Path):
    found = settings_in(tmp_path, show_key=True, SECRET_KEY="given by the operator")
    assert found["key"] == "given by the operator"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["perhaps", "0"])
def test_debug_is_on_only_for_a_word_that_says_so(word: str, tmp_path: Path):
    assert settings_in(tmp_path, DEBUG=word)["debug"] is False
