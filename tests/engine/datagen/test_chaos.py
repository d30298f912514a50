import itertools

import pytest

from engine.datagen.chaos import (
    ROWS,
    RULES,
    WIDTH,
    automaton,
    decimal,
    document,
    henon,
    logistic,
    lorenz,
)
from engine.datagen.draw import Draw

SERIES = [document(Draw(2, index)).splitlines() for index in range(400)]


def of(name):
    return [lines for lines in SERIES if lines[0].startswith(name)]


def numbers(line, places):
    """Decimals as integers in units of their last place."""
    found = []
    for text in line.split():
        assert len(text.partition(".")[2]) == places
        found.append(int(text.replace(".", "")))
    return found


def steps(values):
    return itertools.pairwise(values)


@pytest.mark.parametrize("lines", of("logistic")[:20])
def test_logistic_series_satisfy_their_recurrence(lines):
    r = int(lines[0].removeprefix("logistic r=").replace(".", ""))
    values = [value for line in lines[1:] for value in numbers(line, 4)]
    assert len(values) == 64
    assert all(0 <= value <= 10_000 for value in values)
    for x, after in steps(values):
        assert after == logistic(x, r)
        assert abs(after / 1e4 - r / 1e3 * (x / 1e4) * (1 - x / 1e4)) < 1.001e-4


@pytest.mark.parametrize("lines", of("henon")[:20])
def test_henon_series_satisfy_their_recurrence(lines):
    a, b = (int(part[2:].replace(".", "")) for part in lines[0].split()[1:])
    points = [tuple(numbers(line, 3)) for line in lines[1:]]
    assert len(points) == 24
    for (x, y), after in steps(points):
        assert after == henon((x, y), a, b)
        real = (1 - a / 1e3 * (x / 1e3) ** 2 + y / 1e3, b / 1e3 * x / 1e3)
        assert abs(after[0] / 1e3 - real[0]) < 1.001e-3
        assert abs(after[1] / 1e3 - real[1]) < 1.001e-3
    assert all(abs(x) < 2000 for x, _ in points), "it must stay near its attractor"


@pytest.mark.parametrize("lines", of("lorenz")[:20])
def test_lorenz_series_satisfy_their_recurrence(lines):
    points = [tuple(numbers(line, 2)) for line in lines[1:]]
    assert len(points) == 24
    for state, after in steps(points):
        assert after == lorenz(state)
    for x, y, z in points:
        assert abs(x) < 2500
        assert abs(y) < 3500
        assert 0 <= z < 6000


def test_lorenz_steps_are_those_of_eulers_method():
    x, y, z = state = (-512, 777, 2222)
    for _ in range(4):
        u, v, w = x / 100, y / 100, z / 100
        x += 10 * (v - u) * 0.01 * 100
        y += (u * (28 - w) - v) * 0.01 * 100
        z += (u * v - 8 / 3 * w) * 0.01 * 100
    for found, real in zip(lorenz(state), (x, y, z), strict=True):
        assert abs(found - real) < 12


@pytest.mark.parametrize("lines", of("automaton")[:20])
def test_automaton_rows_follow_their_rule(lines):
    rule = int(lines[0].removeprefix("automaton rule="))
    rows = lines[1:]
    assert rule in RULES
    assert len(rows) == ROWS
    assert {len(row) for row in rows} == {WIDTH}
    for row, after in steps(rows):
        around = row[-1] + row + row[0]
        for i, cell in enumerate(after):
            bits = around[i : i + 3].replace(".", "0").replace("#", "1")
            assert "#" in cell if rule >> int(bits, 2) & 1 else "." in cell


def test_rule_90_is_an_exclusive_or():
    assert automaton("...#...", 90) == "..#.#.."
    assert automaton("#......", 90) == ".#....#"


def test_all_four_kinds_come_up():
    for name, least in (("logistic", 90), ("automaton", 90), ("henon", 50)):
        assert len(of(name)) > least
    assert len(of("lorenz")) > 50


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(5, 3, "0.005"), (-5, 3, "-0.005"), (12345, 2, "123.45"), (-99, 2, "-0.99")],
)
def test_decimals(value, places, text):
    assert decimal(value, places) == text
