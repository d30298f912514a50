"""A registry takes names from anywhere, refuses clashes, and lists what it knows."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.registry import PLUGIN_GROUP, Registry, load_plugins


@pytest.fixture
def animals() -> Registry[str]:
    registry: Registry[str] = Registry("animal")
    registry.register("cat")("meow")
    registry.register("dog")("woof")
    return registry


def test_an_entry_is_found_by_its_name(animals: Registry[str]) -> None:
    assert animals.get("cat") == "meow"
    assert "cat" in animals
    assert "cow" not in animals


def test_names_keep_the_order_of_registration(animals: Registry[str]) -> None:
    animals.register("ant")("...")
    assert animals.names() == ["cat", "dog", "ant"]
    assert list(animals) == animals.names()


def test_register_is_a_decorator_that_leaves_its_object_alone() -> None:
    registry: Registry[type] = Registry("thing")

    @registry.register("mine")
    class Mine:
        """Something."""

    assert registry.get("mine") is Mine


def test_a_name_in_use_is_refused(animals: Registry[str]) -> None:
    with pytest.raises(ConfigError, match=r"animal = 'cat': .*already registered"):
        animals.register("cat")("purr")
    assert animals.get("cat") == "meow"


def test_an_unknown_name_lists_the_known_ones(animals: Registry[str]) -> None:
    with pytest.raises(ConfigError, match="animal = 'cow': known are: cat, dog"):
        animals.get("cow")


def test_a_name_taken_out_may_come_again(animals: Registry[str]) -> None:
    animals.unregister("cat")
    animals.unregister("never there")
    assert animals.names() == ["dog"]
    animals.register("cat")("purr")
    assert animals.get("cat") == "purr"


def test_plugins_are_imported_by_module_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "third_party_plugin.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_plugins(["third_party_plugin"])
    assert sys.modules.pop("third_party_plugin").loaded


def test_plugins_are_found_among_installed_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "installed_plugin.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("mine", "installed_plugin", PLUGIN_GROUP)

    def installed(group: str) -> EntryPoints:
        return EntryPoints([entry]).select(group=group)

    monkeypatch.setattr("importlib.metadata.entry_points", installed)
    load_plugins()
    assert sys.modules.pop("installed_plugin").loaded


@pytest.mark.parametrize(
    "text", ["import nothing_of_this_name\n", None], ids=["broken", "absent"]
)
def test_a_plugin_that_cannot_be_imported_is_named(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "bad_plugin.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="plugin = 'bad_plugin': cannot be imported"):
        load_plugins(["bad_plugin"])


def test_an_installed_plugin_that_cannot_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("mine", "no_module_of_this_name", PLUGIN_GROUP)
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: EntryPoints([entry])
    )
    with pytest.raises(ConfigError, match="plugin = 'mine': cannot be imported"):
        load_plugins()
