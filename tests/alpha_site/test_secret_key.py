"""Two processes that start together agree on one key."""

from __future__ import annotations

from pathlib import Path

from alpha_site.secret_key import write_once


def test_the_first_to_write_wins_and_nothing_else_is_left(tmp_path: Path):
    path = tmp_path / "var" / "secret_key"
    write_once(path, "first")
    write_once(path, "second")
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]
