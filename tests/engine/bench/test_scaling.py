"""The bench of scaling: exponents, and growth beside the count of operations."""

from __future__ import annotations

import argparse

import pytest

from engine.bench import scaling
from engine.errors import ConfigError


def test_the_exponent_of_a_power_is_found() -> None:
    sizes = [1.0, 2.0, 5.0, 9.0]
    values = [3 * size**1.7 for size in sizes]
    assert scaling.exponent(sizes, values) == pytest.approx(1.7)


def test_operations_grow_as_the_axes_say() -> None:
    def growth(axis: str) -> float:
        points = scaling.AXES[axis]
        return points[-1].flops / points[0].flops

    assert growth("tokens") == pytest.approx(8.0)
    assert 5.0 < growth("depth") <= 6.0
    assert 6.0 < growth("width") <= 9.0
    assert 8.0 < growth("block") < 10.0


def test_a_row_says_how_time_operations_and_memory_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = {"tokens": scaling.AXES["tokens"][:2]}
    monkeypatch.setattr(scaling, "AXES", short)
    report = scaling.run(argparse.Namespace(backend="numpy", axis=["tokens"], pairs=1))
    (row,) = report.rows
    assert row.theirs == pytest.approx(1.0)
    assert row.extra["flop_growth"] == pytest.approx(2.0)
    assert row.ratio == pytest.approx(2.0 / row.extra["time_growth"])
    assert 0.0 < row.extra["memory_exponent"] < 1.0


def test_pairs_are_checked() -> None:
    with pytest.raises(ConfigError, match="pairs = 0"):
        scaling.run(argparse.Namespace(pairs=0))
