"""ALPHA_HOME moves what the program writes, and nothing is written by asking."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import home


def test_without_alpha_home_files_go_into_the_checkout(monkeypatch):
    monkeypatch.delenv("ALPHA_HOME", raising=False)
    assert home.outputs_dir() == home.CHECKOUT / "outputs"
    assert home.var_dir() == home.CHECKOUT / "var"
    assert home.cache_dir() == home.CHECKOUT / "var" / "cache"


def test_alpha_home_moves_all_of_them(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ALPHA_HOME", str(tmp_path / "elsewhere"))
    for place in (home.outputs_dir(), home.var_dir(), home.cache_dir()):
        assert place.is_relative_to(tmp_path / "elsewhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", ["~/alpha", "relative/place"])
def test_alpha_home_is_made_absolute(monkeypatch, written: str):
    monkeypatch.setenv("ALPHA_HOME", written)
    assert home.home().is_absolute()
    assert "~" not in str(home.home())


def test_an_installation_without_a_checkout_uses_the_current_directory(
    monkeypatch, tmp_path: Path
):
    monkeypatch.delenv("ALPHA_HOME", raising=False)
    monkeypatch.setattr(home, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert home.home() == tmp_path
