"""Dance tunes in ABC notation: two parts of eight bars, each repeated.

What there is to learn: the header's order, how many notes fill a bar of each metre,
that bars 5 and 6 bring back 1 and 2, that a part ends on the tonic of its key.

Source: the ABC music standard 2.1 (abcnotation.com), sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.datagen.draw import Draw, words
from engine.datagen.generator import Generator, endless, generators
from engine.datagen.theory import LETTERS

#: Rhythms of a beat by its length in eighths, each with its weight.
BEATS: dict[int, tuple[tuple[tuple[int, ...], int], ...]] = {
    2: (((1, 1), 6), ((2,), 4)),
    3: (((1, 1, 1), 6), ((2, 1), 4), ((3,), 1)),
    4: (((1, 1, 1, 1), 8), ((2, 1, 1), 4), ((1, 1, 2), 2), ((3, 1), 2), ((2, 2), 2)),
}

#: How a part ends, by the length of its last beat.
LAST = {2: (2,), 3: (3,), 4: (2, 2)}

#: Scale degrees that carry each harmony, and the harmonies of a phrase's bars.
HARMONY = {"I": (0, 2, 4), "II": (1, 3, 5), "IV": (3, 5, 0), "V": (4, 6, 1)}
PHRASES = ("I I IV V", "I IV I V", "I V I V", "I II IV V", "I IV II V")


@dataclass(frozen=True)
class Dance:
    """A metre: beats of a bar in eighths, its tempo, and whether pairs are dotted."""

    metre: str
    beats: tuple[int, ...]
    tempo: tuple[int, int]
    dotted: bool = False


DANCES: dict[str, Dance] = {
    "reel": Dance("4/4", (4, 4), (176, 216)),
    "jig": Dance("6/8", (3, 3), (100, 124)),
    "slip jig": Dance("9/8", (3, 3, 3), (100, 120)),
    "hornpipe": Dance("4/4", (2, 2, 2, 2), (140, 172), dotted=True),
    "waltz": Dance("3/4", (2, 2, 2), (120, 168)),
    "polka": Dance("2/4", (2, 2), (112, 136)),
}

KEYS = ("G", "D", "A", "C", "Em", "Am", "Bm", "Ador", "Edor", "Ddor", "Amix", "Dmix")

FIRST = words(
    "The Old|The Merry|The Wandering|The Miller's|The Fiddler's|The Rakish|The Lame|"
    "The Widow's|The Tinker's|Paddy's|Biddy's|Captain Byrne's",
    "|",
)
SECOND = words(
    "Kettle Goose Gate Blanket Farewell Daughter Return Bonnet Goat Candle Fancy "
    "Chimney Petticoat Barrel Delight Lantern Boots Cupboard"
)

LOW, HIGH = 1, 13  # D below the stave to the b above it


def note(position: int) -> str:
    """ABC's name of a place on the stave; 0 is middle C, 7 the c above it."""
    octave, letter = divmod(position, 7)
    name = LETTERS[letter]
    if octave <= 0:
        return name + "," * -octave
    return name.lower() + "'" * (octave - 1)


def length(eighths: int) -> str:
    """ABC's spelling of a length in units of L:1/8."""
    return "" if eighths == 1 else str(eighths)


class Melody:
    """A line that walks by step and lands on the harmony where a beat begins."""

    def __init__(self, draw: Draw, tonic: int, low: int, high: int) -> None:
        self._draw, self._tonic, self._low, self._high = draw, tonic, low, high
        self._at = self._nearest((low + high) // 2, HARMONY["I"])

    def bar(self, dance: Dance, harmony: str) -> str:
        """A bar over a harmony: beats one after the other, a space between them."""
        return " ".join(self._beat(dance, beat, harmony) for beat in dance.beats)

    def close(self, dance: Dance) -> str:
        """The last bar: down to the tonic, and held."""
        beats = [self._beat(dance, beat, "V") for beat in dance.beats[:-1]]
        self._at = self._nearest(self._at, (0,))
        held = "".join(note(self._at) + length(n) for n in LAST[dance.beats[-1]])
        return " ".join((*beats, held))

    def _beat(self, dance: Dance, beat: int, harmony: str) -> str:
        rhythm = self._draw.weighted(BEATS[beat])
        aim = self._at + self._draw.pick((-2, -1, 0, 1, 2))
        self._at = self._nearest(aim, HARMONY[harmony])
        notes = [note(self._at)]
        heading = self._draw.pick((-1, 1))
        for _ in rhythm[1:]:
            self._step(heading)
            notes.append(note(self._at))
        if dance.dotted and rhythm == (1, 1):
            return ">".join(notes)
        return "".join(n + length(k) for n, k in zip(notes, rhythm, strict=True))

    def _step(self, heading: int) -> None:
        stride = heading * self._draw.weighted(((1, 5), (2, 2), (-1, 2)))
        inside = self._low <= self._at + stride <= self._high
        self._at += stride if inside else -stride

    def _nearest(self, aim: int, degrees: tuple[int, ...]) -> int:
        places = [
            place
            for place in range(self._low, self._high + 1)
            if (place - self._tonic) % 7 in degrees
        ]
        return min(places, key=lambda place: (abs(place - aim), place))


def part(draw: Draw, dance: Dance, tonic: int, low: int, high: int) -> list[str]:
    """Eight bars: four, the first two again, a bar that leads home, the close."""
    melody = Melody(draw, tonic, low, high)
    first = [melody.bar(dance, h) for h in draw.pick(PHRASES).split()]
    home = melody.bar(dance, draw.pick(("IV", "II", "V")))
    return [*first, first[0], first[1], home, melody.close(dance)]


def document(draw: Draw) -> str:
    """One tune."""
    name = draw.pick(tuple(DANCES))
    dance = DANCES[name]
    key = draw.pick(KEYS)
    tonic = LETTERS.index(key[0])
    low, high = dance.tempo
    beat = "3/8" if dance.metre.endswith("/8") else "1/4"
    lines = [
        f"X:{draw.document + 1}",
        f"T:{draw.pick(FIRST)} {draw.pick(SECOND)}",
        f"R:{name}",
        f"M:{dance.metre}",
        "L:1/8",
        f"Q:{beat}={draw.between(low // 4, high // 4) * 4}",
        f"K:{key}",
    ]
    for bottom, top in ((LOW, HIGH - 3), (LOW + 3, HIGH)):
        bars = part(draw, dance, tonic, bottom, top)
        lines.append(f"|: {' | '.join(bars[:4])} |")
        lines.append(f"{' | '.join(bars[4:])} :|")
    return "\n".join(lines) + "\n"


generators.register("abc")(Generator("dance tunes in ABC notation", endless(document)))
