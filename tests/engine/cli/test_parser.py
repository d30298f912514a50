"""The parser raises one line and guesses what was meant."""

from __future__ import annotations

import pytest

from engine.cli.parser import Parser, did_you_mean
from engine.errors import InputError


def parser() -> Parser:
    found = Parser(prog="alpha test")
    found.add_argument("--layers", type=int)
    inner = found.add_subparsers(dest="what").add_parser("inner")
    inner.add_argument("--against")
    return found


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--layer=3"], "unknown argument --layer: did you mean --layers?"),
        (
            ["inner", "--againts", "x"],
            "unknown argument --againts: did you mean --against?",
        ),
        (["--zzzz"], "unknown argument --zzzz"),
        (["--layers", "x"], "--layers: invalid int value: 'x'"),
    ],
)
def test_a_mistake_raises_one_line(arguments: list[str], line: str):
    with pytest.raises(InputError) as caught:
        parser().parse(arguments)
    assert str(caught.value) == line


def test_flags_are_not_abbreviated():
    with pytest.raises(InputError, match="unknown argument --lay"):
        parser().parse(["--lay=3"])


def test_a_name_like_no_other_gets_no_guess():
    assert did_you_mean("xyz", ["train", "sample"]) == ""
    assert did_you_mean("smaple", ["train", "sample"]) == ": did you mean sample?"
