"""Named things that may come from outside: optimizers, tokenizers, sinks, ...

A registry maps a name to an object. A third party adds its own by importing the
registry and calling `register`; `load_plugins` imports the modules that do so.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Generic, TypeVar

from engine.errors import ConfigError

T = TypeVar("T")

PLUGIN_GROUP = "alpha.plugins"


class Registry(Generic[T]):
    """A table from names to objects of one kind, in order of registration.

    `kind` is the word used in errors ("optimizer", "tokenizer").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: `@optimizers.register("sgd")`. Refuses a name in use."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ConfigError(self.kind, name, "this name is already registered")
            self._entries[name] = entry
            return entry

        return add

    def unregister(self, name: str) -> None:
        """Take a name out again (tests of third-party entries do)."""
        self._entries.pop(name, None)

    def get(self, name: str) -> T:
        """The entry; a ConfigError that lists the known names otherwise."""
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(self._entries)
            raise ConfigError(self.kind, name, f"known are: {known}") from None

    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)


def load_plugins(modules: Iterable[str] = ()) -> None:
    """Import `modules`, and every installed entry point of group `alpha.plugins`.

    Importing such a module registers what it brings. Raises ConfigError for a
    module that cannot be imported.
    """
    loads: list[tuple[str, Callable[[], object]]] = [
        (entry_point.name, entry_point.load)
        for entry_point in importlib.metadata.entry_points(group=PLUGIN_GROUP)
    ]
    loads += [(name, partial(importlib.import_module, name)) for name in modules]
    for name, load in loads:
        try:
            load()
        except (ImportError, AttributeError) as error:
            raise ConfigError("plugin", name, f"cannot be imported: {error}") from error
