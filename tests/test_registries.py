"""Everything swappable is in a registry, and a third party can add to each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from engine import registry
from engine.errors import ConfigError
from engine.registry import Registry


def test_an_entry_is_found_by_its_name_in_the_order_of_registration():
    shapes: Registry[type] = Registry("shape")
    shapes.register("square")(int)
    shapes.register("circle")(float)
    assert shapes.get("circle") is float
    assert shapes.names() == ["square", "circle"] == list(shapes)
    assert "square" in shapes
    assert "cube" not in shapes


def test_an_unknown_name_is_refused_with_the_known_ones():
    shapes: Registry[type] = Registry("shape")
    shapes.register("square")(int)
    with pytest.raises(ConfigError, match="shape = 'cube': known are: square"):
        shapes.get("cube")


def test_a_name_cannot_be_taken_twice_but_can_be_given_back():
    shapes: Registry[type] = Registry("shape")
    shapes.register("square")(int)
    with pytest.raises(ConfigError, match=r"square.*already registered"):
        shapes.register("square")(float)
    shapes.unregister("square")
    shapes.register("square")(float)
    assert shapes.get("square") is float


def test_a_plugin_registers_by_being_imported(monkeypatch, tmp_path: Path):
    (tmp_path / "third_party_schedule.py").write_text(
        "from engine.optim.schedules import schedules\n"
        "@schedules.register('third_party')\n"
        "def third_party(progress):\n"
        "    return 1.0 - progress * progress\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from engine.optim.schedules import schedules

    try:
        registry.load_plugins(["third_party_schedule"])
        assert schedules.get("third_party")(0.5) == 0.75
    finally:
        schedules.unregister("third_party")
        sys.modules.pop("third_party_schedule", None)


def test_a_plugin_that_cannot_be_imported_is_named():
    with pytest.raises(ConfigError, match=r"no_such_plugin.*cannot be imported"):
        registry.load_plugins(["no_such_plugin"])


def test_installed_plugins_are_found_by_their_entry_point(monkeypatch):
    class EntryPoint:
        loaded = False

        def load(self) -> None:
            EntryPoint.loaded = True

    def entry_points(group: str) -> list[EntryPoint]:
        assert group == registry.PLUGIN_GROUP
        return [EntryPoint()]

    monkeypatch.setattr(registry.importlib.metadata, "entry_points", entry_points)
    registry.load_plugins()
    assert EntryPoint.loaded
