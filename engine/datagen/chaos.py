"""Deterministic chaos as text: series whose every value follows from the one before.

    logistic  x' = r x (1 - x), in ten-thousandths
    henon     x' = 1 - a x^2 + y, y' = b x, in thousandths
    lorenz    four Euler steps of 1/100 between two lines, in hundredths
    automaton rows of an elementary cellular automaton on a ring

All arithmetic is on integers, so that a printed value determines the next one
printed: what there is to learn is the map itself.

Sources: May, Nature 261 (1976); Henon, Commun. Math. Phys. 50 (1976); Lorenz,
J. Atmos. Sci. 20 (1963); Wolfram, Rev. Mod. Phys. 55 (1983).
"""

from __future__ import annotations

from engine.datagen.draw import Draw
from engine.datagen.generator import Generator, endless, generators

RULES = (18, 22, 30, 45, 54, 60, 73, 90, 105, 106, 110, 122, 126, 150, 182)
WIDTH = 31
ROWS = 24
VALUES = 64
VALUES_A_LINE = 8
POINTS = 24

Point = tuple[int, int]
State = tuple[int, int, int]


def logistic(x: int, r: int) -> int:
    """The logistic map; x in ten-thousandths, r in thousandths."""
    return r * x * (10_000 - x) // 10_000_000


def henon(point: Point, a: int, b: int) -> Point:
    """The Henon map; everything in thousandths."""
    x, y = point
    return 1000 - a * x * x // 1_000_000 + y, b * x // 1000


def lorenz(state: State) -> State:
    """Four steps of 1/100 with sigma 10, rho 28, beta 8/3; in hundredths."""
    x, y, z = state
    for _ in range(4):
        x, y, z = (
            x + (y - x) // 10,
            y + (x * (2800 - z) // 100 - y) // 100,
            z + (x * y // 100 - 8 * z // 3) // 100,
        )
    return x, y, z


def automaton(cells: str, rule: int) -> str:
    """The next row: bit 4 left + 2 middle + right of `rule`, on a ring."""
    bits = [int(cell == "#") for cell in cells]
    last = len(bits) - 1
    return "".join(
        ".#"[
            rule >> (4 * bits[i - 1] + 2 * bits[i] + bits[i + 1 if i < last else 0]) & 1
        ]
        for i in range(len(bits))
    )


def decimal(value: int, places: int) -> str:
    """An integer as a decimal number with that many places: (-5, 3) is -0.005."""
    whole, rest = divmod(abs(value), 10**places)
    return f"{'-' * (value < 0)}{whole}.{rest:0{places}d}"


def logistic_series(draw: Draw) -> list[str]:
    """64 values of the logistic map, beyond its period doublings."""
    r, x = draw.between(3570, 3990), draw.between(500, 9500)
    lines = [f"logistic r={decimal(r, 3)}"]
    for _ in range(VALUES // VALUES_A_LINE):
        row = []
        for _ in range(VALUES_A_LINE):
            row.append(decimal(x, 4))
            x = logistic(x, r)
        lines.append(" ".join(row))
    return lines


def henon_series(draw: Draw) -> list[str]:
    """24 points of the Henon map, near its attractor."""
    a, b = draw.between(100, 140) * 10, 300
    point = (draw.between(-300, 300), draw.between(-100, 100))
    lines = [f"henon a={decimal(a, 3)} b={decimal(b, 3)}"]
    for _ in range(POINTS):
        lines.append(f"{decimal(point[0], 3)} {decimal(point[1], 3)}")
        point = henon(point, a, b)
    return lines


def lorenz_series(draw: Draw) -> list[str]:
    """24 points of the Lorenz system, after it has found its attractor."""
    state = (draw.between(-900, 900), draw.between(-900, 900), draw.between(1500, 3500))
    for _ in range(50):
        state = lorenz(state)
    lines = ["lorenz sigma=10 rho=28 beta=8/3 dt=0.04"]
    for _ in range(POINTS):
        lines.append(" ".join(decimal(value, 2) for value in state))
        state = lorenz(state)
    return lines


def automaton_rows(draw: Draw) -> list[str]:
    """24 rows of an elementary automaton, from one cell or from a random row."""
    rule = draw.pick(RULES)
    if draw.chance(30):
        row = "." * (WIDTH // 2) + "#" + "." * (WIDTH // 2)
    else:
        row = "".join(".#"[draw.below(2)] for _ in range(WIDTH))
    lines = [f"automaton rule={rule}"]
    for _ in range(ROWS):
        lines.append(row)
        row = automaton(row, rule)
    return lines


SERIES = (
    (logistic_series, 3),
    (automaton_rows, 3),
    (henon_series, 2),
    (lorenz_series, 2),
)


def document(draw: Draw) -> str:
    """One series, with its name and parameters in the first line."""
    return "\n".join(draw.weighted(SERIES)(draw)) + "\n"


generators.register("chaos")(
    Generator("logistic, Henon and Lorenz series, cellular automata", endless(document))
)
