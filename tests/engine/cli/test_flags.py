"""Every field of the config classes is a flag, and the strongest word wins."""

from __future__ import annotations

import dataclasses
import json
from argparse import Namespace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from engine.cli import flags
from engine.cli.parser import Parser
from engine.config import PRESETS, ModelConfig, RunConfig, TrainConfig, config_fields
from engine.errors import ConfigError, InputError

FIELDS = config_fields(flags.CONFIG_CLASSES)


def parse(*arguments: str) -> Namespace:
    parser = Parser(prog="alpha test")
    flags.add_config_arguments(parser)
    return parser.parse(arguments)


def kind_of(item: flags.Field) -> type:
    for cls in flags.CONFIG_CLASSES:
        if item in dataclasses.fields(cls):
            return get_type_hints(cls)[item.name]
    raise AssertionError(item.name)


def test_no_two_fields_share_a_name_or_a_flag():
    assert len({item.name for item in FIELDS}) == len(FIELDS)
    assert len({flags.flag(item) for item in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize("item", FIELDS, ids=lambda item: item.name)
def test_every_field_is_a_flag_that_says_what_it_means(item: flags.Field):
    parser = Parser(prog="alpha test")
    flags.add_config_arguments(parser)
    action = parser._option_string_actions[flags.flag(item)]
    assert action.dest == item.name
    assert item.metadata["help"].split()[0] in parser.format_help()


@pytest.mark.parametrize("item", FIELDS, ids=lambda item: item.name)
def test_a_flag_given_with_its_default_changes_nothing(item: flags.Field):
    word = flags.flag(item)
    if kind_of(item) is bool:
        arguments = [word if item.default else "--no-" + word.removeprefix("--")]
    else:
        arguments = [f"{word}={item.default}"]
    settings = flags.given(parse(*arguments))
    assert settings == {item.name: item.default}
    assert type(settings[item.name]) is kind_of(item)
    assert flags.resolve(settings) == RunConfig()


def test_what_is_not_said_is_not_given():
    assert flags.given(parse()) == {}
    assert flags.given(parse("--layers", "3", "--no-tie")) == {
        "n_layer": 3,
        "tie": False,
    }


def test_only_the_fields_of_the_classes_asked_for_are_given():
    options = parse("--layers", "3", "--iters", "7")
    assert flags.given(options, [ModelConfig]) == {"n_layer": 3}
    assert flags.given(options, [TrainConfig]) == {"iters": 7}


def test_from_weak_to_strong_default_preset_domain_file_flag(tmp_path: Path):
    file = tmp_path / "run.toml"

    def activation(domain: dict[str, Any], in_file: str, *arguments: str) -> str:
        file.write_text(in_file)
        options = parse("--config", str(file), *arguments)
        settings = flags.given(options)
        return flags.resolve(settings, options.preset, domain).model.activation

    modern = ("--preset", "modern")
    domain = {"activation": "relu"}
    in_file = 'activation = "silu"'
    assert activation({}, "") == "gelu"
    assert activation({}, "", *modern) == "swiglu"
    assert activation(domain, "", *modern) == "relu"
    assert activation(domain, in_file, *modern) == "silu"
    assert activation(domain, in_file, *modern, "--activation", "gelu") == "gelu"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_valid_run(name: str):
    assert flags.resolve({}, name).to_dict()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--layers", "six"], ["--layers", "'six'", "whole number"]),
        (["--lr", "fast"], ["--lr", "'fast'", "number"]),
        (["--norm", "batchnorm"], ["--norm", "batchnorm", "rmsnorm"]),
        (["--preset", "gpt5"], ["--preset", "gpt5", "modern"]),
        (["--layer", "6"], ["--layer", "did you mean --layers"]),
        (["--layers"], ["--layers", "expected one argument"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_flag_is_named_with_what_would_be_right(
    arguments: list[str], words: list[str]
):
    with pytest.raises(InputError) as caught:
        parse(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"n_layer": 0}, "--layers = 0: must be at least 1"),
        (
            {"n_head": 5, "n_embd": 64},
            "--heads = 5: must divide the width --dim = 64",
        ),
        ({"batch": "many"}, "--batch = 'many': must be a positive number or auto"),
        ({"tokenizer_vocab": -1}, "--vocab-size = -1: must be >= 0"),
    ],
)
def test_an_error_of_a_config_speaks_in_flags(settings: dict[str, Any], line: str):
    with pytest.raises(ConfigError) as caught:
        flags.resolve(settings)
    assert flags.in_flags(caught.value) == line


def test_an_error_about_no_field_keeps_its_own_name():
    error = ConfigError("generator", "x", "known are: chords")
    assert flags.in_flags(error) == "generator = 'x': known are: chords"


def test_a_setting_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="layers_count"):
        flags.resolve({}, domain_defaults={"layers_count": 3})
    with pytest.raises(ConfigError, match="gpt5"):
        flags.resolve({}, "gpt5")


FILES = {
    "flat.toml": "n_layer = 3\nlr = 1\nbatch = 4\ntie = false",
    "sections.toml": (
        "[model]\nn_layer = 3\ntie = false\n[optim]\nlr = 1\n[train]\nbatch = 4"
    ),
    "flat.json": '{"n_layer": 3, "lr": 1, "batch": 4, "tie": false}',
    "sections.json": json.dumps(
        {
            "model": {"n_layer": 3, "tie": False},
            "optim": {"lr": 1},
            "train": {"batch": 4},
        }
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_settings_is_flat_or_in_sections(name: str, tmp_path: Path):
    (tmp_path / name).write_text(FILES[name])
    settings = flags.read_config_file(tmp_path / name)
    assert settings == {"n_layer": 3, "lr": 1.0, "batch": "4", "tie": False}
    assert type(settings["lr"]) is float
    flags.resolve(settings)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "n_layer = ", ["a.toml", "must be TOML"]),
        ("a.json", "{", ["a.json", "must be a JSON file"]),
        ("a.json", "[1]", ["a.json", "table of settings"]),
        ("a.toml", "layers = 3", ["layers", "no such setting"]),
        ("a.toml", "n_layer = 3.5", ["n_layer", "3.5", "int"]),
        ("a.toml", "n_layer = true", ["n_layer", "True", "int"]),
        ("a.toml", "tie = 1", ["tie", "bool"]),
        ("a.toml", "norm = 1.5", ["norm", "str"]),
    ],
)
def test_a_wrong_file_of_settings_is_refused(
    name: str, text: str, words: list[str], tmp_path: Path
):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        flags.read_config_file(tmp_path / name)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_missing_file_of_settings_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"gone\.toml.*No such file"):
        flags.read_config_file(tmp_path / "gone.toml")


@for_all(
    n_layer=st.integers(1, 10**6),
    lr=st.floats(1e-12, 1e6),
    dropout=st.floats(0.0, 0.99),
    tie=st.booleans(),
    batch=st.one_of(st.just("auto"), st.integers(1, 10**9).map(str)),
)
def test_values_survive_the_command_line(
    n_layer: int, lr: float, dropout: float, tie: bool, batch: str
):
    options = parse(
        f"--layers={n_layer}",
        f"--lr={lr!r}",
        f"--dropout={dropout!r}",
        "--tie" if tie else "--no-tie",
        f"--batch={batch}",
    )
    config = flags.resolve(flags.given(options))
    assert config.model.n_layer == n_layer
    assert config.model.dropout == dropout
    assert config.model.tie is tie
    assert config.optim.lr == lr
    assert config.train.batch == batch
