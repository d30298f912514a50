"""Scales and chords by name, spelled as musicians spell them.

Knows letters, semitones and keys. Knows nothing about tunes or layouts.
"""

from __future__ import annotations

import re

LETTERS = "CDEFGAB"
_SEMITONES = (0, 2, 4, 5, 7, 9, 11)

#: Semitones of each mode's seven degrees above its tonic.
MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}

_DEGREES = {"I": 0, "II": 1, "III": 2, "IV": 3, "V": 4, "VI": 5, "VII": 6}
_ROMAN = re.compile(r"(b?)([IV]+|[iv]+)(.*)")


def semitone(note: str) -> int:
    """A note name ("F#", "Bb") as semitones above C, 0 to 11."""
    sharps = note.count("#") - note[1:].count("b")
    return (_SEMITONES[LETTERS.index(note[0])] + sharps) % 12


def spell(letter: int, pitch: int) -> str:
    """The letter with the accidentals that bring it to `pitch` (0 to 11)."""
    shift = (pitch - _SEMITONES[letter % 7] + 6) % 12 - 6
    return LETTERS[letter % 7] + ("#" * shift if shift > 0 else "b" * -shift)


def scale(tonic: str, mode: str) -> list[str]:
    """The seven notes of a key, each letter once."""
    first, base = LETTERS.index(tonic[0]), semitone(tonic)
    return [
        spell(first + degree, (base + step) % 12)
        for degree, step in enumerate(MODES[mode])
    ]


def chord(roman: str, tonic: str, mode: str) -> str:
    """A roman numeral's chord in a key: ("ii7", "G", "major") is "Am7".

    Lower case is minor, a leading b lowers the root, the rest is kept as it stands.
    """
    match = _ROMAN.fullmatch(roman)
    if match is None:
        raise ValueError(f"{roman!r} is not a roman numeral")
    flat, numeral, rest = match.groups()
    root = scale(tonic, mode)[_DEGREES[numeral.upper()]]
    if flat:
        root = spell(LETTERS.index(root[0]), (semitone(root) - 1) % 12)
    return root + ("m" if numeral.islower() else "") + rest
