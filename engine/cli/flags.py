"""Command-line flags made from the config classes, and configs made from the flags.

A field is one flag: its name with dashes, or the name its `option` gives. What wins,
from weak to strong: the class's default, `--preset`, the domain's defaults,
`--config FILE`, the flags themselves. Knows no command and no domain.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from engine.config import (
    PRESETS,
    DataConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    TrainConfig,
    config_fields,
    from_mapping,
)
from engine.errors import ConfigError

C = TypeVar("C")
Field = dataclasses.Field[Any]

#: section of a RunConfig -> its class.
SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "optim": OptimConfig,
    "data": DataConfig,
    "train": TrainConfig,
}
CONFIG_CLASSES = tuple(SECTIONS.values())
METAVARS = {int: "N", float: "X", str: "VALUE"}


def flag(item: Field) -> str:
    """The flag of a config field: "--layers" for n_layer."""
    return str(item.metadata.get("flag") or "--" + item.name.replace("_", "-"))


def add_config_arguments(
    parser: argparse.ArgumentParser, classes: Iterable[type] = CONFIG_CLASSES
) -> None:
    """Add `--preset`, `--config` and one flag for each field of `classes`.

    A flag that is not given leaves no attribute in the parsed options, so that
    `given` can tell what the user said from what is only a default.
    """
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="gpt2",
        help="settings under all others (default: gpt2)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML or JSON file of settings, by the names of the config classes",
    )
    for cls in classes:
        group = parser.add_argument_group(first_line(cls))
        hints = get_type_hints(cls)
        for item in config_fields([cls]):
            add_argument(group, item, hints[item.name])


def first_line(cls: type) -> str:
    """What a config class is about, as the title of its flags."""
    return (cls.__doc__ or cls.__name__).splitlines()[0].rstrip(".").lower()


def add_argument(group: argparse._ArgumentGroup, item: Field, kind: type) -> None:
    """Add the flag of one field of type `kind`."""
    shown = "" if item.default == "" else f" (default: {item.default})"
    text = (item.metadata["help"] + shown).replace("%", "%%")
    if kind is bool:
        group.add_argument(
            flag(item),
            dest=item.name,
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=text.replace("True", "yes").replace("False", "no"),
        )
        return
    group.add_argument(
        flag(item),
        dest=item.name,
        type=reader(kind),
        choices=item.metadata["choices"] or None,
        metavar=None if item.metadata["choices"] else METAVARS[kind],
        default=argparse.SUPPRESS,
        help=text,
    )


def reader(kind: type) -> Callable[[str], Any]:
    """A converter for argparse whose error says what would be right."""
    wanted = {int: "a whole number", float: "a number", str: "a text"}[kind]

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from None

    return read


def given(
    options: argparse.Namespace, classes: Iterable[type] = CONFIG_CLASSES
) -> dict[str, Any]:
    """What the user said, by field name: `--config FILE` under the flags."""
    known = [item.name for item in config_fields(classes)]
    flags = {name: getattr(options, name) for name in known if hasattr(options, name)}
    path = getattr(options, "config", None)
    return {**(read_config_file(path) if path else {}), **flags}


def read_config_file(path: Path) -> dict[str, Any]:
    """Settings of a TOML or JSON file, flat or under [model], [optim], ...

    Raises ConfigError when the file cannot be read, holds a name no config class
    has, or a value of the wrong kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError("config", str(path), error.strerror or "unreadable") from None
    except ValueError as error:
        expected = "must be a JSON file" if path.suffix == ".json" else "must be TOML"
        raise ConfigError("config", str(path), f"{expected}: {error}") from None
    if not isinstance(record, dict):
        raise ConfigError("config", str(path), "must hold a table of settings")
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= value if name in SECTIONS and isinstance(value, dict) else {name: value}
    kinds = {n: k for cls in CONFIG_CLASSES for n, k in get_type_hints(cls).items()}
    for name, value in flat.items():
        if name not in kinds:
            raise ConfigError(name, value, f"no such setting (in {path})")
    return {name: coerce(name, value, kinds[name]) for name, value in flat.items()}


def coerce(name: str, value: Any, kind: type) -> Any:
    """`value` from a file as the field's type; a ConfigError when it is another."""
    if kind is float and type(value) is int:
        return float(value)
    if kind is str and type(value) is int:
        return str(value)
    if type(value) is not kind:
        raise ConfigError(name, value, f"must be of type {kind.__name__}")
    return value


def resolve(
    settings: Mapping[str, Any],
    preset: str = "gpt2",
    domain_defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration of a run: `settings` over the domain's over the preset's.

    Raises ConfigError for a name that no config class has, and for every value that
    the classes refuse.
    """
    if preset not in PRESETS:
        raise ConfigError("preset", preset, f"one of {', '.join(PRESETS)}")
    merged = {**PRESETS[preset], **(domain_defaults or {}), **settings}
    known = {item.name for item in config_fields(CONFIG_CLASSES)}
    for name, value in merged.items():
        if name not in known:
            raise ConfigError(name, value, "no such setting")
    return RunConfig(
        model=section(ModelConfig, merged),
        optim=section(OptimConfig, merged),
        data=section(DataConfig, merged),
        train=section(TrainConfig, merged),
    )


def section(cls: type[C], settings: Mapping[str, Any]) -> C:
    """A config class from those of `settings` that it has a field for."""
    names = {item.name for item in config_fields([cls])}
    return from_mapping(cls, {n: v for n, v in settings.items() if n in names})


def in_flags(error: ConfigError) -> str:
    """The error's line in the words of the command line: flags for field names."""
    names = {item.name: flag(item) for item in config_fields(CONFIG_CLASSES)}
    names |= {name: f"--{name}" for name in ("config", "plugin", "preset")}
    compound = "|".join(name for name in names if "_" in name)
    expected = re.sub(rf"\b({compound})\b", lambda m: names[m[0]], error.expected)
    return f"{names.get(error.field, error.field)} = {error.value!r}: {expected}"
